"""The bounds of the behaviour gate: text, tokens, time and memory, and where baselines are kept.

It also says how many tokens fit into the time; it runs nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The bounds of gate 5.

    `corpus` is a text file (None: the packaged text), `tokens` how much of it is read (None: what suits the
    device and the time). `answers` is a folder in which the unquantized model's answers are kept for the next
    variant of the same source (None: nowhere). `seconds` limits the time by `clock`, `memory_bytes` what one layer
    may need.
    """

    corpus: Path | None = None
    tokens: int | None = None
    answers: Path | None = None
    seconds: float = 3600.0
    memory_bytes: int | None = None
    clock: Callable[[], float] = time.monotonic


# Of the time allowed, what products may take: reading, decoding and everything else need the rest.
SHARE_OF_PRODUCTS = 0.5
# One window of text.
FEWEST_TOKENS = 512


def affordable_tokens(most: int, *, weights: float, rate: float, seconds: float) -> int:
    """Return how many tokens two models can read in `seconds`: `most`, or a half, a quarter... of it.

    `weights` are those that one token is multiplied by in one model, `rate` the operations a second. It is never
    below one window; steps of two keep the number the same from variant to variant.
    """
    operations = 2 * 2 * max(1.0, weights)
    tokens = most
    while tokens > FEWEST_TOKENS and tokens * operations > SHARE_OF_PRODUCTS * seconds * rate:
        tokens //= 2
    return tokens
