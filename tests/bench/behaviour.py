"""The behaviour gate on three layers of Qwen3-30B-A3B's shape: 2,048 tokens through source and 4bit artifact.

    python -m tests.bench.behaviour --work DIR

DIR needs some 6 GB. At most 60 s on two cores.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from hubbot.checks.behaviour import gate
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.subject import subject_of
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
from tests.bench import shapes
from tests.bench.synthetic import write

TOKENS = 2048
LAYERS = 3


def behaviour(work: Path, variants: tuple[str, ...] = ("4bit",)) -> dict[str, float]:
    """Return the seconds of the behaviour gate by variant; the first one's are with the unquantized model's."""
    source = work / f"qwen3-shape-{LAYERS}"
    write(source, shapes.qwen_config(LAYERS), shapes.qwen_tensors(LAYERS))
    checkpoint = inspect(Folder(source))
    planned = plan(checkpoint, classify(checkpoint), variants, working_bytes=256 << 20)
    bounds = Bounds(working_bytes=256 << 20, shard_bytes=5 << 30)
    made = convert(
        checkpoint, planned, source=source, out=work / "behaviour", bounds=bounds, progress=lambda *_: None
    )
    examination = Examination(tokens=TOKENS, answers=work / "answers")
    seconds = {}
    for artifact in made:
        subject = subject_of(
            checkpoint, source, Path(artifact.path), progress=lambda *_: None, examination=examination
        )
        started = time.monotonic()
        outcome = gate.check(subject)
        seconds[artifact.variant] = round(time.monotonic() - started, 1)
        assert outcome.measurements["divergence"] is not None, outcome.findings
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    sys.stdout.write(json.dumps(behaviour(parser.parse_args().work)) + "\n")
