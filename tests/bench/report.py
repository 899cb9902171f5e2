"""What the bench measured, as the README's table and as a plot: medians with spread, ratios turn by turn."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FOUR = ("bf16", "8bit", "6bit", "4bit")
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
MIB = 1 << 20
# (what, run, source)
ROWS = (
    ("cp of the source", "cp small", "small"),
    ("hubbot, 4bit", "hubbot small 4bit", "small"),
    ("mlx_lm.convert, 4bit", "mlx-lm small 4bit", "small"),
    ("hubbot, 4bit", "hubbot large 4bit", "large"),
    ("mlx_lm.convert, 4bit", "mlx-lm large 4bit", "large"),
    ("hubbot, 4bit of fused fp8", "hubbot fp8 4bit", "fp8"),
    ("mlx_lm.convert, 4bit of fused fp8", "mlx-lm fp8 4bit", "fp8"),
    ("hubbot, bf16 8bit 6bit 4bit in one pass", "hubbot small four", "small"),
    *((f"mlx_lm.convert, {variant}", f"mlx-lm small {variant}", "small") for variant in FOUR[:-1]),
)
Results = dict[str, Any]


def render(results: Results) -> str:
    """Return the README's section."""
    lines = [
        BEGIN,
        f"Measured on {results['machine']}, medians of {len(results['runs']['cp small'])} runs in turn,",
        "each beginning with its source out of the file cache:",
        "",
        "| what | source | wall (least to most) | CPU | peak memory | read | written |",
        "|---|---|---|---|---|---|---|",
        *(_row(results, *row) for row in ROWS),
        "",
        *(f"- {line}" for line in _ratios(results)),
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
        ("4bit, 4 GB", ["hubbot small 4bit"], ["mlx-lm small 4bit"]),
        ("4bit, 8 GB", ["hubbot large 4bit"], ["mlx-lm large 4bit"]),
        ("4bit, fp8", ["hubbot fp8 4bit"], ["mlx-lm fp8 4bit"]),
        ("four variants, 4 GB", ["hubbot small four"], [f"mlx-lm small {variant}" for variant in FOUR]),
    ]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, field, scale, label in (
        (axes[0], "wall_seconds", 1, "seconds"),
        (axes[1], "peak_memory_bytes", MIB, "peak MiB"),
    ):
        join = sum if field == "wall_seconds" else max
        for offset, side, colour in ((-0.2, 1, "#3b7dd8"), (0.2, 2, "#b9bec7")):
            turns = [
                [
                    join(values) / scale
                    for values in zip(*(_values(results, n, field) for n in pair[side]), strict=True)
                ]
                for pair in pairs
            ]
            middles = [statistics.median(values) for values in turns]
            spread = [
                [m - min(v) for m, v in zip(middles, turns, strict=True)],
                [max(v) - m for m, v in zip(middles, turns, strict=True)],
            ]
            places = [place + offset for place in range(len(pairs))]
            name = "hubbot" if side == 1 else "mlx_lm.convert"
            axis.bar(places, middles, 0.38, yerr=spread, color=colour, label=name, capsize=3)
        axis.set_xticks(range(len(pairs)), [pair[0] for pair in pairs])
        axis.set_ylabel(label)
        axis.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _row(results: Results, label: str, name: str, size: str) -> str:
    walls = _values(results, name, "wall_seconds")
    cells = [
        label,
        f"{results['sizes'][size] / 1e9:.1f} GB",
        f"{statistics.median(walls):.1f} s ({min(walls):.1f} to {max(walls):.1f})",
        f"{_median(results, name, 'cpu_seconds'):.0f} s",
        f"{_median(results, name, 'peak_memory_bytes') / MIB:.0f} MiB",
        # The kernel copies for cp without read and write calls, so its counts would mislead.
        "" if name.startswith("cp") else f"{_median(results, name, 'bytes_read') / 1e9:.1f} GB",
        "" if name.startswith("cp") else f"{_median(results, name, 'bytes_written') / 1e9:.1f} GB",
    ]
    return "| " + " | ".join(cells) + " |"


def _ratios(results: Results) -> Iterator[str]:
    def wall(name: str) -> Sequence[float]:
        return _values(results, name, "wall_seconds")

    for label, size in (("8 GB", "large"), ("4 GB", "small"), ("fused fp8", "fp8")):
        speed = _over(wall(f"mlx-lm {size} 4bit"), wall(f"hubbot {size} 4bit"))
        memory = _over(
            _values(results, f"hubbot {size} 4bit", "peak_memory_bytes"),
            _values(results, f"mlx-lm {size} 4bit", "peak_memory_bytes"),
        )
        yield f"4bit of {label}: {speed} times as fast as `mlx_lm.convert`, in {memory} of its memory"
    alone = [sum(turn) for turn in zip(*(wall(f"mlx-lm small {variant}") for variant in FOUR), strict=True)]
    four = _over(alone, wall("hubbot small four"))
    yield f"four variants in one pass: {four} times as fast as four runs of it ({statistics.median(alone):.0f} s)"
    one, all_four = (
        _median(results, f"hubbot small {name}", "peak_memory_bytes") / MIB for name in ("4bit", "four")
    )
    yield f"peak memory: one variant {one:.0f} MiB, four {all_four:.0f} MiB"
    large = _median(results, "hubbot large 4bit", "peak_memory_bytes") / MIB
    yield f"peak memory with 3 layers {one:.0f} MiB, with 6 {large:.0f} MiB"
    read = _median(results, "hubbot small four", "bytes_read") / results["sizes"]["small"]
    yield f"bytes read in the four-variant pass, over the source's size: {read:.2f}"


def _over(one: Sequence[float], other: Sequence[float]) -> str:
    """Return the ratio of two series, turn by turn: the median and the spread."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _values(results: Results, name: str, field: str) -> list[float]:
    return [run[field] for run in results["runs"][name]]


def _median(results: Results, name: str, field: str) -> float:
    return statistics.median(_values(results, name, field))
