"""The bounds of the behaviour gate: text, tokens, time and memory, and where baselines are kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The bounds of gate 5.

    `corpus` is a text file (None: the packaged text), `tokens` how much of it is read (None: what suits the
    device). `answers` is a folder in which the unquantized model's answers are kept for the next variant of the
    same source (None: nowhere). `seconds` limits the time by `clock`, `memory_bytes` what one layer may need.
    """

    corpus: Path | None = None
    tokens: int | None = None
    answers: Path | None = None
    seconds: float = 3600.0
    memory_bytes: int | None = None
    clock: Callable[[], float] = time.monotonic
