"""What the bench measured, as the README's table and as a plot: medians with spread, ratios turn by turn."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubbot.engine.compute_threads import CPU_LANES
from hubbot.engine.streaming import READERS

FOUR = ("bf16", "8bit", "6bit", "4bit")
COLD, WARM = "cold", "warm"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
MIB = 1 << 20
MLX_FOUR = tuple(f"mlx-lm small {variant}" for variant in FOUR)
# What, its source, and the runs that together are it.
ROWS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("cp of the source", "small", ("cp small",)),
    ("hubbot, 4bit", "large", ("hubbot large 4bit",)),
    ("mlx_lm.convert, 4bit", "large", ("mlx-lm large 4bit",)),
    ("hubbot, 4bit of fused fp8", "fp8", ("hubbot fp8 4bit",)),
    ("mlx_lm.convert, 4bit of fused fp8", "fp8", ("mlx-lm fp8 4bit",)),
    ("hubbot, bf16 8bit 6bit 4bit in one pass", "small", ("hubbot small four",)),
    ("mlx_lm.convert, the same in four runs", "small", MLX_FOUR),
)
Results = dict[str, Any]


def render(results: Results) -> str:
    """Return the README's section."""
    lines = [
        BEGIN,
        f"Measured on {results['machine']},",
        f"medians of {len(results['runs'][f'cp small {COLD}'])} in turn (least to most), with the source out of",
        "the file cache and in it:",
        "",
        "| what | source | wall, out of the cache | wall, in the cache | CPU | peak memory | written |",
        "|---|---|---|---|---|---|---|",
        *(_row(results, *row) for row in ROWS),
        "",
        *(f"- {line}" for line in (*_ratios(results), *_parts(results))),
        "",
        "![hubbot beside mlx_lm.convert](tests/bench/figures.svg)",
        END,
        "",
    ]
    return "\n".join(lines)


def plot(results: Results, path: Path) -> None:
    """Draw wall time and peak memory of both programs, with the spread of the runs."""
    import matplotlib as mpl  # noqa: PLC0415 - only with the extra `bench`

    mpl.use("svg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "hubbot"  # the same figures give the same file
    pairs = [
        (row[0].removeprefix("hubbot, "), row[2], other[2])
        for row, other in zip(ROWS[1::2], ROWS[2::2], strict=True)
    ]
    bars = [
        (
            f"{label.removesuffix(' in one pass')}, {cache}",
            [f"{name} {cache}" for name in ours],
            [f"{name} {cache}" for name in theirs],
        )
        for label, ours, theirs in pairs
        for cache in (COLD, WARM)
        if f"{ours[0]} {cache}" in results["runs"]
    ]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, field, scale, label in (
        (axes[0], "wall_seconds", 1, "seconds"),
        (axes[1], "peak_memory_bytes", MIB, "peak MiB"),
    ):
        for offset, side, colour in ((-0.2, 1, "#3b7dd8"), (0.2, 2, "#b9bec7")):
            turns = [[value / scale for value in _together(results, bar[side], field)] for bar in bars]
            middles = [statistics.median(values) for values in turns]
            spread = [
                [m - min(v) for m, v in zip(middles, turns, strict=True)],
                [max(v) - m for m, v in zip(middles, turns, strict=True)],
            ]
            places = [place + offset for place in range(len(bars))]
            name = "hubbot" if side == 1 else "mlx_lm.convert"
            axis.bar(places, middles, 0.38, yerr=spread, color=colour, label=name, capsize=3)
        axis.set_xticks(range(len(bars)), [bar[0] for bar in bars], rotation=20, ha="right", fontsize=7)
        axis.set_ylabel(label)
        axis.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _row(results: Results, label: str, size: str, names: Sequence[str]) -> str:
    first = COLD if f"{names[0]} {COLD}" in results["runs"] else WARM
    run = [f"{name} {first}" for name in names]
    cells = [
        label,
        f"{results['sizes'][size] / 1e9:.1f} GB",
        *(_wall(results, [f"{name} {cache}" for name in names]) for cache in (COLD, WARM)),
        f"{statistics.median(_together(results, run, 'cpu_seconds')):.0f} s",
        f"{statistics.median(_together(results, run, 'peak_memory_bytes')) / MIB:.0f} MiB",
        # The kernel copies for cp without write calls, so its counts would mislead.
        ""
        if label.startswith("cp")
        else f"{statistics.median(_together(results, run, 'bytes_written')) / 1e9:.1f} GB",
    ]
    return "| " + " | ".join(cells) + " |"


def _wall(results: Results, names: Sequence[str]) -> str:
    if names[0] not in results["runs"]:
        return ""
    walls = _together(results, names, "wall_seconds")
    return f"{statistics.median(walls):.1f} s ({min(walls):.1f} to {max(walls):.1f})"


def _ratios(results: Results) -> Iterator[str]:
    for label, size, ours, theirs in (
        (
            f"4bit of {results['sizes']['large'] / 1e9:.0f} GB",
            "large",
            ("hubbot large 4bit",),
            ("mlx-lm large 4bit",),
        ),
        ("4bit of fused fp8", "fp8", ("hubbot fp8 4bit",), ("mlx-lm fp8 4bit",)),
        ("four variants in one pass", "small", ("hubbot small four",), MLX_FOUR),
    ):
        told = []
        for cache, where in ((COLD, "out of the cache"), (WARM, "in it")):
            if f"{ours[0]} {cache}" in results["runs"]:
                pair = ([f"{name} {cache}" for name in names] for names in (theirs, ours))
                told.append(f"{_over(*(_together(results, names, 'wall_seconds') for names in pair))} {where}")
            else:
                told.append(f"not measured {where}: {results['sizes'][size] / 1e9:.0f} GB do not stay there")
        yield f"{label}: {', '.join(told)}, times as fast as `mlx_lm.convert`"
    one, four = (
        _median(results, f"hubbot {name} {COLD}", "peak_memory_bytes") / MIB
        for name in ("large 4bit", "small four")
    )
    read = _median(results, f"hubbot small four {COLD}", "bytes_read") / results["sizes"]["small"]
    yield f"peak memory: one variant {one:.0f} MiB, four {four:.0f} MiB; four read the source {read:.2f} times"
    yield f"longest stage of 4bit out of the cache: {_longest(results, f'hubbot large 4bit {COLD}')}"
    alone, usual = f"hubbot large 4bit one core {WARM}", f"hubbot large 4bit {WARM}"
    if alone in results["runs"] and usual in results["runs"]:
        ratio = _over(*(_values(results, name, "wall_seconds") for name in (alone, usual)))
        yield f"on one core 4bit takes {ratio} times as long"


def _longest(results: Results, name: str) -> str:
    """Return the stage that keeps its threads busiest, and for which part of the wall time."""
    threads = {"read": READERS, "compute": CPU_LANES}
    shares: dict[str, list[float]] = {}
    for run in results["runs"][name]:
        for stage, seconds in run["stages"].items():
            if stage != "stream":
                shares.setdefault(stage, []).append(seconds / threads.get(stage, 1) / run["wall_seconds"])
    if not shares:
        return "not told"
    longest = max(shares, key=lambda stage: statistics.median(shares[stage]))
    return f"{longest}, {100 * statistics.median(shares[longest]):.0f} % of the wall time"


def _parts(results: Results) -> Iterator[str]:
    parts: Mapping[str, Any] = results["parts"]
    speed = parts.get("arithmetic")
    if speed:
        by = "the compiled kernels" if speed["numpy_because"] is None else "numpy"
        times = f"{speed['all'] / speed['one']:.2f} times"
        yield f"arithmetic of 4bit by {by}: {speed['one']} GB/s on one core, {times} that on {speed['lanes']}"
    for name, what in (("values", "values gate"), ("behaviour", "behaviour gate"), ("tiny_job", "a tiny job")):
        yield f"{what}: {_told(parts.get(name))}"
    yield f"GPU: {results['gpu'] or 'none here, so not measured'}"


def _told(found: Any) -> str:
    """Return what a part of the bench printed, in words."""
    if found is None:
        return "not measured"
    if isinstance(found, dict):
        return ", ".join(
            f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in found.items()
        )
    return str(found)


def _over(one: Sequence[float], other: Sequence[float]) -> str:
    """Return the ratio of two series, turn by turn: the median and the spread."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _together(results: Results, names: Sequence[str], field: str) -> list[float]:
    """Return, turn by turn, what the runs `names` took together; of memory the most."""
    join = max if field == "peak_memory_bytes" else sum
    return [join(values) for values in zip(*(_values(results, name, field) for name in names), strict=True)]


def _values(results: Results, name: str, field: str) -> list[float]:
    return [run[field] for run in results["runs"][name]]


def _median(results: Results, name: str, field: str) -> float:
    return statistics.median(_values(results, name, field))
