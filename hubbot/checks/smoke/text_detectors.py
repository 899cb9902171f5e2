"""Detectors on generated text: NaN, nothing, bytes that are no text, a loop, the prompt said back.

They judge form, not sense: a tiny or untrained model may talk nonsense and still pass.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

LOOP_REPEATS = 8
LOOP_LONGEST = 24
# A row of dots or dashes is shorter.
LOOP_SIGNS = 40
NON_TEXT_SHARE = 0.2
# Words beside the prompt that make an echo no answer.
ECHO_LEFT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a text; a fatal one refuses the artifact, any other is a warning on the card."""

    what: str
    fatal: bool


def problems(text: str, *, prompt: str, tokens: int, finite: bool) -> Iterator[Problem]:
    """Yield the problems of one generated text."""
    if not finite:
        yield Problem(what="the logits hold NaN or infinity", fatal=True)
        return
    if tokens == 0 or not text.strip():
        yield Problem(what="it says nothing", fatal=True)
        return
    share = _non_text_share(text)
    if share > NON_TEXT_SHARE:
        yield Problem(what=f"{share:.0%} of its characters are no text", fatal=True)
    loop = _loop(text)
    if loop is not None:
        # A base model loops on its own under greedy decoding, so a loop alone does not prove damage.
        yield Problem(what=f"it repeats {loop!r} until the end", fatal=False)
    if _echoes(text.strip(), prompt.strip()):
        yield Problem(what="it only says the prompt back", fatal=False)


def _non_text_share(text: str) -> float:
    bad = sum(
        1 for c in text if c == "\ufffd" or (unicodedata.category(c) in {"Cc", "Cn", "Co"} and c not in "\n\t\r")
    )
    return bad / len(text)


def _loop(text: str) -> str | None:
    words = re.findall(r"\S+", text)
    for length in range(1, min(LOOP_LONGEST, len(words) // LOOP_REPEATS) + 1):
        unit = words[-length:]
        if words[-length * LOOP_REPEATS :] == unit * LOOP_REPEATS:
            return " ".join(unit)
    # Without spaces between: "-fore-fore-fore", or the same sign for ever.
    end = text.rstrip()[-LOOP_LONGEST * LOOP_REPEATS :]
    for length in range(1, len(end) // LOOP_REPEATS + 1):
        repeats = max(LOOP_REPEATS, LOOP_SIGNS // length)
        if end.endswith(end[-length:] * repeats):
            return end[-length:]
    return None


def _echoes(text: str, prompt: str) -> bool:
    """Say whether a text is the prompt, once or over and over, and little else."""
    return bool(prompt) and text.startswith(prompt) and len(text.replace(prompt, "").split()) <= ECHO_LEFT
