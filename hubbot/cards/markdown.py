"""Text from outside in Markdown: shown as it is, never as markup."""

import re

# Control characters, marks of direction, halves of surrogate pairs: nothing that a reader could see.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~!])")
_LONGEST = 300


def text(value: object) -> str:
    """Return a string that a Markdown reader shows as it is, on one line, in a table or outside."""
    return re.sub(r"^(\s*)([-+=])", r"\1\\\2", _MARKUP.sub(r"\\\1", _plain(value)))


def code(value: object) -> str:
    """Return a string as a code span, for use outside tables."""
    return f"`{_plain(value).replace('`', chr(39)).strip() or ' '}`"


def cell_code(value: object) -> str:
    """Return a string as a code span in a table, where a bar ends the cell."""
    return code(value).replace("|", "\\|")


def fenced(value: str, language: str) -> str:
    """Return a text of several lines in a fence that it cannot close itself."""
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{value}\n{fence}"


def _plain(value: object) -> str:
    return _INVISIBLE.sub(" ", str(value))[:_LONGEST]
