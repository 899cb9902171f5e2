"""hubbot against mlx_lm.convert, side by side in one run; the README's figures are written by this program.

    python -m tests.bench.run --work DIR [--repeats 3] [--write-readme]

DIR needs some 40 GB. Both programs convert the same synthetic checkpoints in turn; ratios are of medians.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.measuring import Measured, measure
from tests.bench.synthetic import write

ROOT = Path(__file__).parents[2]
MLX_VARIANTS = {
    "bf16": [],
    "8bit": ["-q", "--q-bits", "8"],
    "6bit": ["-q", "--q-bits", "6"],
    "4bit": ["-q", "--q-bits", "4"],
}
FOUR = tuple(MLX_VARIANTS)
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where things lie and how to run both programs."""

    work: Path
    repeats: int

    def hubbot(self, source: Path, *variants: str) -> Measured:
        """Convert with hubbot, all variants in one pass."""
        out = self._emptied("hubbot")
        flags = [flag for variant in variants for flag in ("--variant", variant)]
        return measure(
            [sys.executable, "-m", "hubbot", "convert", str(source), "--out", str(out), *flags, "--json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def mlx_lm(self, source: Path, variant: str) -> Measured:
        """Convert one variant with mlx_lm.convert."""
        out = self._emptied("mlx-lm") / variant
        command = [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", str(source), "--mlx-path", str(out)]
        return measure([*command, *MLX_VARIANTS[variant]], env=os.environ)

    def cp(self, source: Path) -> Measured:
        """Copy the same bytes: the floor."""
        return measure(["cp", "-r", str(source), str(self._emptied("cp") / "copy")], env=os.environ)

    def _emptied(self, name: str) -> Path:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def main() -> None:
    """Run everything, print and keep the results, and rewrite the README's section if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write-readme", action="store_true")
    given = parser.parse_args()
    bench = Bench(work=given.work, repeats=given.repeats)
    results = run(bench)
    (given.work / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    section = render(results)
    sys.stdout.write(section)
    if given.write_readme:
        rewrite(ROOT / "README.md", section)


def run(bench: Bench) -> dict[str, object]:
    """Return every measurement, run by run."""
    small, large = bench.work / "qwen3-shape-3", bench.work / "qwen3-shape-6"
    sizes = {"small": write(small, 3), "large": write(large, 6)}
    plan: dict[str, Callable[[], Measured]] = {
        "cp small": lambda: bench.cp(small),
        "hubbot small 4bit": lambda: bench.hubbot(small, "4bit"),
        "mlx-lm small 4bit": lambda: bench.mlx_lm(small, "4bit"),
        "hubbot large 4bit": lambda: bench.hubbot(large, "4bit"),
        "mlx-lm large 4bit": lambda: bench.mlx_lm(large, "4bit"),
        "hubbot small four": lambda: bench.hubbot(small, *FOUR),
        **{f"mlx-lm small {v}": (lambda v=v: bench.mlx_lm(small, v)) for v in FOUR},  # type: ignore[misc]
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in plan}
    # In turn, so that whatever else the machine does falls on both alike.
    for turn in range(bench.repeats):
        for name, once in plan.items():
            measured = once()
            runs[name].append(asdict(measured))
            sys.stderr.write(f"{turn + 1}/{bench.repeats} {name}: {measured.wall_seconds:.1f} s\n")
    return {"machine": machine(), "sizes": sizes, "runs": runs}


def machine() -> str:
    """Return what the figures were taken on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.processor() or platform.machine(),
    )
    return f"{os.cpu_count()} cores, {model}, {platform.system()}, Python {platform.python_version()}"


def render(results: dict[str, object]) -> str:
    """Return the README's section."""
    runs: dict[str, list[dict[str, float]]] = results["runs"]  # type: ignore[assignment]
    sizes: dict[str, int] = results["sizes"]  # type: ignore[assignment]

    def median(name: str, field: str) -> float:
        return statistics.median(run[field] for run in runs[name])

    def spread(name: str) -> str:
        walls = [run["wall_seconds"] for run in runs[name]]
        return f"{statistics.median(walls):.1f} s ({min(walls):.1f} to {max(walls):.1f})"

    four = sum(median(f"mlx-lm small {variant}", "wall_seconds") for variant in FOUR)
    rows = [
        ("cp of the source", "cp small", "small"),
        ("hubbot, 4bit", "hubbot small 4bit", "small"),
        ("mlx_lm.convert, 4bit", "mlx-lm small 4bit", "small"),
        ("hubbot, 4bit", "hubbot large 4bit", "large"),
        ("mlx_lm.convert, 4bit", "mlx-lm large 4bit", "large"),
        ("hubbot, bf16 8bit 6bit 4bit in one pass", "hubbot small four", "small"),
    ]
    lines = [
        BEGIN,
        f"Measured on {results['machine']}, median of {len(runs['cp small'])} runs in turn:",
        "",
        "| what | source | wall (least to most) | CPU | peak memory | read | written |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, name, size in rows:
        cells = [
            label,
            f"{sizes[size] / 1e9:.1f} GB",
            spread(name),
            f"{median(name, 'cpu_seconds'):.0f} s",
            f"{median(name, 'peak_memory_bytes') / (1 << 20):.0f} MiB",
            # The kernel copies for cp without read and write calls, so its counts would mislead.
            "" if name.startswith("cp") else f"{median(name, 'bytes_read') / 1e9:.1f} GB",
            "" if name.startswith("cp") else f"{median(name, 'bytes_written') / 1e9:.1f} GB",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    speed = median("mlx-lm large 4bit", "wall_seconds") / median("hubbot large 4bit", "wall_seconds")
    memory = median("hubbot large 4bit", "peak_memory_bytes") / median("mlx-lm large 4bit", "peak_memory_bytes")
    all_four = four / median("hubbot small four", "wall_seconds")
    one = f"One variant: {speed:.1f} times as fast as `mlx_lm.convert`, in {memory:.2f} of its memory."
    pass_ = f"Four variants in one pass: {all_four:.1f} times as fast as four runs of it ({four:.0f} s together)."
    lines += ["", f"{one} {pass_}", END, ""]
    return "\n".join(lines)


def rewrite(readme: Path, section: str) -> None:
    """Put `section` between its marks in the README."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n")
    readme.write_text(before + section + "\n" + after, encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


if __name__ == "__main__":
    main()
