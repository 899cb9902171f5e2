"""hubbot against mlx_lm.convert, side by side in one run; the README's figures are written by this program.

    python -m tests.bench.run --work DIR [--repeats 3] [--write-readme | --quick]

DIR needs some 45 GB; the plot needs the extra `bench`. Both programs convert the same synthetic checkpoints in
turn, with the source out of the file cache and in it, and the figures are medians of what each turn gave.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubbot.engine.memory import physical_bytes
from tests.bench import shapes
from tests.bench.measuring import Measured, fill_cache, measure, uncache
from tests.bench.report import BEGIN, COLD, END, FOUR, WARM, plot, render
from tests.bench.synthetic import write

ROOT = Path(__file__).parents[2]
MLX_VARIANTS = {name: [] if name == "bf16" else ["-q", "--q-bits", name.removesuffix("bit")] for name in FOUR}
# Commands that print one line of JSON: seconds of gates and of a tiny job. `--work DIR` where True.
PARTS = {"arithmetic": False, "values": True, "behaviour": True, "tiny_job": False}
# Of the machine's memory: a source that is larger does not stay in the cache beside what is written.
CACHED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where things lie and how to run both programs, with the source in the file cache or out of it."""

    work: Path
    repeats: int
    quick: bool

    def hubbot(self, source: Path, variants: Sequence[str], cache: str, within: Sequence[str] = ()) -> Measured:
        """Convert with hubbot, all variants in one pass, by way of the command `within`."""
        out = self._emptied("hubbot")
        flags = [flag for variant in variants for flag in ("--variant", variant)]
        return measure(
            [*within, sys.executable, "-m", "hubbot", "convert", str(source), "--out", str(out), *flags, "--json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            before=partial(_cache, source, cache),
        )

    def mlx_lm(self, source: Path, variant: str, cache: str) -> Measured:
        """Convert one variant with mlx_lm.convert."""
        out = self._emptied("mlx-lm") / variant
        command = [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", str(source), "--mlx-path", str(out)]
        return measure([*command, *MLX_VARIANTS[variant]], env=os.environ, before=partial(_cache, source, cache))

    def cp(self, source: Path, cache: str) -> Measured:
        """Copy the same bytes: the floor."""
        command = ["cp", "-r", str(source), str(self._emptied("cp") / "copy")]
        return measure(command, env=os.environ, before=partial(_cache, source, cache))

    def _emptied(self, name: str) -> Path:
        for other in ("hubbot", "mlx-lm", "cp"):
            shutil.rmtree(self.work / other, ignore_errors=True)
        folder = self.work / name
        folder.mkdir(parents=True)
        return folder


def _cache(source: Path, state: str) -> None:
    (uncache if state == COLD else fill_cache)(source)


def main() -> None:
    """Run everything, print and keep the results, and rewrite the README's section if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write-readme", action="store_true")
    what.add_argument("--quick", action="store_true", help="one turn with a quarter of the layers")
    given = parser.parse_args()
    bench = Bench(work=given.work, repeats=1 if given.quick else given.repeats, quick=given.quick)
    results = run(bench)
    (given.work / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    section = render(results)
    sys.stdout.write(section)
    if given.write_readme:
        rewrite(ROOT / "README.md", section)
        plot(results, ROOT / "tests/bench/figures.svg")


def run(bench: Bench) -> dict[str, Any]:
    """Return every measurement, run by run."""
    few, many = (1, 2) if bench.quick else (3, 6)
    folders = {
        name: bench.work / name for name in (f"qwen3-shape-{few}", f"qwen3-shape-{many}", f"fp8-shape-{many}")
    }
    small, large, fp8 = folders.values()
    sizes = {
        "small": write(small, shapes.qwen_config(few), shapes.qwen_tensors(few)),
        "large": write(large, shapes.qwen_config(many), shapes.qwen_tensors(many)),
        "fp8": write(fp8, shapes.fp8_config(many), shapes.fp8_tensors(many)),
    }
    runs: dict[str, list[dict[str, Any]]] = {}
    # In turn, so that whatever else the machine does falls on both alike.
    for turn in range(bench.repeats):
        for name, once in _plan(bench, small, large, fp8, sizes).items():
            measured = once()
            runs.setdefault(name, []).append(asdict(measured))
            sys.stderr.write(f"{turn + 1}/{bench.repeats} {name}: {measured.wall_seconds:.1f} s\n")
    parts = {name: _part(name, bench.work, takes_work) for name, takes_work in PARTS.items()}
    return {
        "machine": machine(),
        "gpu": gpu(),
        "sizes": sizes,
        "layers": [few, many],
        "runs": runs,
        "parts": parts,
    }


def _plan(
    bench: Bench, small: Path, large: Path, fp8: Path, sizes: dict[str, int]
) -> dict[str, Callable[[], Measured]]:
    """Return what is measured in one turn, by name."""
    made: dict[str, Callable[[], Measured]] = {f"cp small {COLD}": partial(bench.cp, small, COLD)}
    for cache in (COLD, WARM):
        for size, source in (("large", large), ("small", small), ("fp8", fp8)):
            if cache == WARM and not _fits(sizes[size]):
                continue
            if size != "small":
                made[f"hubbot {size} 4bit {cache}"] = partial(bench.hubbot, source, ("4bit",), cache)
                made[f"mlx-lm {size} 4bit {cache}"] = partial(bench.mlx_lm, source, "4bit", cache)
                continue
            made[f"hubbot small four {cache}"] = partial(bench.hubbot, source, FOUR, cache)
            for variant in FOUR:
                made[f"mlx-lm small {variant} {cache}"] = partial(bench.mlx_lm, source, variant, cache)
    if shutil.which("taskset") and _fits(sizes["large"]):
        one_core = partial(bench.hubbot, large, ("4bit",), WARM, ("taskset", "-c", "0"))
        made[f"hubbot large 4bit one core {WARM}"] = one_core
    return made


def _fits(nbytes: int) -> bool:
    memory = physical_bytes()
    return memory is None or nbytes < memory * CACHED


def _part(name: str, work: Path, takes_work: bool) -> dict[str, Any] | None:
    """Return what a bench of one part prints, or None where it is not there or fails, which is told."""
    module = f"tests.bench.{name}"
    if find_spec(module) is None:
        return None
    command = [sys.executable, "-m", module, *(("--work", str(work)) if takes_work else ())]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(f"{name} failed: {done.stderr[-1000:]}\n")
        return None
    sys.stderr.write(f"{name}: {done.stdout}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


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


def gpu() -> str | None:
    """Return the name of the GPU on which mlx_lm.convert computes, None where there is none."""
    code = (
        "import mlx.core as mx; gpu = mx.default_device() == mx.gpu; "
        "print(mx.device_info().get('device_name', 'GPU') if gpu else '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


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
