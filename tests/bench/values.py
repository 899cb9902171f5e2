"""The values gate on three layers of Qwen3-30B-A3B's shape beside the conversion that it judges.

    python -m tests.bench.values --work DIR [--variant NAME ...]

DIR needs some 12 GB. The gate takes at most half the conversion's time for one variant, and 0.35 of it for each
of four. Both run in a process of their own, with the source in the file cache, kernels compiled before.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hubbot.checks.subject import subject_of
from hubbot.checks.values import first_sight, gate
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
from tests.bench import shapes
from tests.bench.measuring import fill_cache
from tests.bench.report import FOUR
from tests.bench.synthetic import write

LAYERS = 3
BYTES = 256 << 20


def converted(source: Path, out: Path, variants: Sequence[str]) -> float:
    """Convert all variants in one pass into `out` and return the seconds."""
    shutil.rmtree(out, ignore_errors=True)
    checkpoint = inspect(Folder(source))
    planned = plan(checkpoint, classify(checkpoint), variants, working_bytes=BYTES)
    bounds = Bounds(working_bytes=BYTES, shard_bytes=5 << 30)
    started = time.monotonic()
    convert(checkpoint, planned, source=source, out=out, bounds=bounds, progress=lambda *_: None)
    return time.monotonic() - started


def judged(source: Path, out: Path, variants: Sequence[str]) -> float:
    """Judge all variants in one pass and return the seconds."""
    checkpoint = inspect(Folder(source))
    subjects = [subject_of(checkpoint, source, out / name, progress=lambda *_: None) for name in variants]
    first_sight.prepare()
    for subject in subjects:
        assert subject.digests  # as the referee does before; it has a time of its own
    started = time.monotonic()
    outcomes = gate.check_together(subjects)
    seconds = time.monotonic() - started
    failed = [found for outcome in outcomes for found in outcome.findings if found.status != "pass"]
    assert not failed, failed[:3]
    return seconds


def measured(work: Path, step: str, variants: Sequence[str]) -> float:
    """Return the seconds that `step` ("converted" or "judged") takes in a process of its own."""
    source, out = work / f"qwen3-shape-{LAYERS}", work / "values"
    line = f"print({step}(Path({str(source)!r}), Path({str(out)!r}), {tuple(variants)!r}))"
    fill_cache(source)
    command = [sys.executable, "-c", f"from pathlib import Path; from tests.bench.values import *; {line}"]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def values(work: Path, some: Sequence[str]) -> str:
    """Return how long the gate takes for variants `some` in one pass, beside the conversion, in words."""
    write(work / f"qwen3-shape-{LAYERS}", shapes.qwen_config(LAYERS), shapes.qwen_tensors(LAYERS))
    made, seen = (measured(work, step, some) for step in ("converted", "judged"))
    return f"{seen / made:.2f} of the conversion's {made:.1f} s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--variant", action="append")
    given = parser.parse_args()
    asked = [given.variant] if given.variant else [["4bit"], list(FOUR)]
    sys.stdout.write(json.dumps({" + ".join(some): values(given.work, some) for some in asked}) + "\n")
