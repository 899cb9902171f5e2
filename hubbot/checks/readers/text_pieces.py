"""Cuts text into the pieces in which byte pairs are merged, as the patterns of two published tokenizers cut it.

A scanner for each, by the categories of Unicode: code of the referee's own, where the converter hands the patterns
to the `tokenizers` library. It knows no vocabulary.
"""

import unicodedata
from collections.abc import Callable, Iterator

# HunYuan's pattern (tokenization_hy.py) and Kimi's (tokenization_kimi.py), which `hunyuan` and `kimi` carry out.
HUNYUAN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI = (
    rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
Cut = Callable[[str], Iterator[str]]
_ENDINGS = ("s", "t", "re", "ve", "m", "ll", "d")
_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(c) for c in range(0x2000, 0x200B)
}
# The script Han (Unicode, Scripts.txt), first and last of each range.
_HAN = (
    (0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029),
    (0x3038, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3),
    (0x16FF0, 0x16FF1), (0x20000, 0x2A6DF), (0x2A700, 0x2EE5D), (0x2F800, 0x2FA1D), (0x30000, 0x323AF),
)  # fmt: skip


def hunyuan(text: str) -> Iterator[str]:
    """Yield the pieces that pattern HUNYUAN cuts a text into, one after another."""
    yield from _pieces(text, _end_of_hunyuan)


def kimi(text: str) -> Iterator[str]:
    """Yield the pieces that pattern KIMI cuts a text into, one after another."""
    yield from _pieces(text, _end_of_kimi)


def _pieces(text: str, end: Callable[[str, int], int]) -> Iterator[str]:
    start = 0
    while start < len(text):
        stop = end(text, start)
        yield text[start:stop]
        start = stop


def _end_of_hunyuan(text: str, start: int) -> int:
    """Return where the piece that begins at `start` ends: the pattern's alternatives in their order."""
    ending = _ending(text, start)
    if ending > start:
        return ending
    for letters in _after_lead(text, start):
        if _is(text, letters, "L"):
            return _run(text, letters, lambda at: _is(text, at, "L"))
    if _is(text, start, "N"):
        return start + 1
    return _end_of_signs(text, start)


def _end_of_kimi(text: str, start: int) -> int:
    """Return where the piece that begins at `start` ends: the pattern's alternatives in their order."""
    if _is_han(text, start):
        return _run(text, start, lambda at: _is_han(text, at))
    for letters in _after_lead(text, start):
        uppers = _run(text, letters, lambda at: _is_cased(text, at, "Ll"))
        # Letters without case count for both; the last of them is left to the lower ones.
        lower = next((at for at in range(uppers, letters - 1, -1) if _is_cased(text, at, "LuLt")), None)
        if lower is not None:
            return _ending(text, _run(text, lower, lambda at: _is_cased(text, at, "LuLt")))
    for letters in _after_lead(text, start):
        uppers = _run(text, letters, lambda at: _is_cased(text, at, "Ll"))
        if uppers > letters:
            return _ending(text, uppers)
    if _is(text, start, "N"):
        return min(start + 3, _run(text, start, lambda at: _is(text, at, "N")))
    return _end_of_signs(text, start)


def _after_lead(text: str, start: int) -> tuple[int, ...]:
    """Return where the letters of a piece may begin: behind a sign before them, where there is one, or at once."""
    is_lead = not _is(text, start, "LN") and text[start] not in "\r\n"
    return (start + 1, start) if is_lead else (start,)


def _end_of_signs(text: str, start: int) -> int:
    """Return the end of a piece by the alternatives that both patterns end with: signs, line ends, white space."""
    signs = start + 1 if text[start] == " " else start
    after = _run(text, signs, lambda at: text[at] not in _SPACES and not _is(text, at, "LN"))
    if after > signs:
        return _run(text, after, lambda at: text[at] in "\r\n")
    stop = _run(text, start, lambda at: text[at] in _SPACES)
    newline = max(text.rfind("\n", start, stop), text.rfind("\r", start, stop))
    if newline >= 0:
        return newline + 1
    return stop if stop == len(text) or stop == start + 1 else stop - 1


def _ending(text: str, start: int) -> int:
    """Return where an English ending ('s, 't, 're ...) at `start` ends, `start` where there is none."""
    for ending in _ENDINGS if text[start : start + 1] == "'" else ():
        if text[start + 1 : start + 1 + len(ending)].replace("\u017f", "s").lower() == ending:
            return start + 1 + len(ending)
    return start


def _run(text: str, start: int, holds: Callable[[int], bool]) -> int:
    while start < len(text) and holds(start):
        start += 1
    return start


def _is(text: str, at: int, kinds: str) -> bool:
    return at < len(text) and unicodedata.category(text[at])[0] in kinds


def _is_cased(text: str, at: int, but: str) -> bool:
    """Say whether a letter or mark that is not Han stands there, of none of the categories in `but`."""
    return _is(text, at, "LM") and unicodedata.category(text[at]) not in but and not _is_han(text, at)


def _is_han(text: str, at: int) -> bool:
    return at < len(text) and any(first <= ord(text[at]) <= last for first, last in _HAN)
