"""hubbot against mlx_lm.convert, side by side in one run; the README's figures are written by this program.

    python -m tests.bench.run --work DIR [--repeats 3] [--write-readme]

DIR needs some 45 GB; the plot needs the extra `bench`. Both programs convert the same synthetic checkpoints in
turn, and the figures are medians of what each turn gave. Before each run the source is put out of the file cache,
as one is that was fetched yesterday or is larger than memory.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench import shapes
from tests.bench.measuring import Measured, measure, uncache
from tests.bench.report import BEGIN, END, FOUR, plot, render
from tests.bench.synthetic import write

ROOT = Path(__file__).parents[2]
MLX_VARIANTS = {name: [] if name == "bf16" else ["-q", "--q-bits", name.removesuffix("bit")] for name in FOUR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where things lie and how to run both programs."""

    work: Path
    repeats: int

    def hubbot(self, source: Path, *variants: str) -> Measured:
        """Convert with hubbot, all variants in one pass."""
        out = self._emptied("hubbot")
        uncache(source)
        flags = [flag for variant in variants for flag in ("--variant", variant)]
        return measure(
            [sys.executable, "-m", "hubbot", "convert", str(source), "--out", str(out), *flags, "--json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def mlx_lm(self, source: Path, variant: str) -> Measured:
        """Convert one variant with mlx_lm.convert."""
        out = self._emptied("mlx-lm") / variant
        uncache(source)
        command = [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", str(source), "--mlx-path", str(out)]
        return measure([*command, *MLX_VARIANTS[variant]], env=os.environ)

    def cp(self, source: Path) -> Measured:
        """Copy the same bytes: the floor."""
        uncache(source)
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
        plot(results, ROOT / "tests/bench/figures.svg")


def run(bench: Bench) -> dict[str, Any]:
    """Return every measurement, run by run."""
    small, large, fp8 = (bench.work / name for name in ("qwen3-shape-3", "qwen3-shape-6", "fp8-shape-6"))
    sizes = {
        "small": write(small, shapes.qwen_config(3), shapes.qwen_tensors(3)),
        "large": write(large, shapes.qwen_config(6), shapes.qwen_tensors(6)),
        "fp8": write(fp8, shapes.fp8_config(6), shapes.fp8_tensors(6)),
    }
    plan: dict[str, Callable[[], Measured]] = {
        "cp small": lambda: bench.cp(small),
        "hubbot small 4bit": lambda: bench.hubbot(small, "4bit"),
        "mlx-lm small 4bit": lambda: bench.mlx_lm(small, "4bit"),
        "hubbot large 4bit": lambda: bench.hubbot(large, "4bit"),
        "mlx-lm large 4bit": lambda: bench.mlx_lm(large, "4bit"),
        "hubbot fp8 4bit": lambda: bench.hubbot(fp8, "4bit"),
        "mlx-lm fp8 4bit": lambda: bench.mlx_lm(fp8, "4bit"),
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
