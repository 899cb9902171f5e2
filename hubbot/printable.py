"""Text from outside as text: control characters and what turns a line around become visible escapes."""

import re

# C0 and C1 controls, DEL, marks that reorder or hide text, other line ends, halves of surrogate pairs.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """Return `text` without control characters, each written as its escape; `lines` keeps newlines and tabs."""
    return _CONTROL.sub(lambda found: found[0] if lines and found[0] in "\n\t" else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
