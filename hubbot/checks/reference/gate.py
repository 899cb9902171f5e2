"""Gate 4: transformers and the artifact's runtime compute the same function on a small twin. Draft."""

from collections.abc import Iterator
from pathlib import Path

from hubbot.artifacts import Finding
from hubbot.checkpoints import Checkpoint

GATE = "parity"


def check_parity(checkpoint: Checkpoint, source: Path, folder: Path) -> Iterator[Finding]:
    """Yield the findings."""
    del checkpoint, source, folder
    yield Finding(
        gate=GATE, check=GATE, subject="artifact", measured=None, allowed=None, status="not-run",
        reason="hubbot[reference] (torch and transformers) is not installed",
    )  # fmt: skip
