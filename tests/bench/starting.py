"""How long a person waits before anything happens: medians of five runs of --help, inspect and a tiny convert.

    python -m tests.bench.starting

Run it in an environment without torch; it ends with 1 where a limit of the README is not kept.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.measuring import measure
from tests.reference.checkpoints import case, write

ROOT = Path(__file__).parents[2]
REPEATS = 5
LIMITS: Mapping[str, float] = {"--help": 0.5, "inspect": 1.5, "convert": 6.0}


def commands(folder: Path) -> Mapping[str, Sequence[str]]:
    """The three commands, on the smallest reference checkpoint."""
    source = write(case("qwen3_moe/hub"), folder / "source")
    return {
        "--help": ["--help"],
        "inspect": ["inspect", str(source), "--json"],
        "convert": ["convert", str(source), "--out", str(folder / "out"), "--variant", "4bit", "--json"],
    }


def main() -> int:
    """Measure, print a line each, and return how many limits were broken."""
    broken = 0
    with tempfile.TemporaryDirectory() as name:
        for command, arguments in commands(Path(name)).items():
            line = [sys.executable, "-m", "hubbot", *arguments]
            runs = [measure(line, env={**os.environ, "PYTHONPATH": str(ROOT)}) for _ in range(REPEATS)]
            seconds = statistics.median(run.wall_seconds for run in runs)
            broken += seconds > LIMITS[command]
            sys.stdout.write(f"{command:8} {seconds:5.2f} s, at most {LIMITS[command]} s\n")
    return broken


if __name__ == "__main__":
    sys.exit(min(1, main()))
