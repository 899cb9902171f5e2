"""A tiktoken vocabulary put to use: text to token ids by tiktoken's algorithm, in code of the referee's own.

It reads HunYuan's files as text (the vocabulary, the special tokens that its code names) and runs none of them.
The converter's rewriting of the same files stands in catalogue/tiktokens.py; nothing is shared.
"""

import ast
import base64
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hubbot.errors import CorruptConfig

# The pattern that `pieces` carries out; other code would cut text otherwise.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
NAMES = ("ENDOFTEXT", "STARTOFTEXT", "BOSTOKEN", "EOSTOKEN", "PADTOKEN")
_ENDINGS = ("s", "t", "re", "ve", "m", "ll", "d")
_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(c) for c in range(0x2000, 0x200B)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Token ids: `ranks` of byte strings, `special` of special tokens, and those put around every text."""

    ranks: Mapping[bytes, int]
    special: Mapping[str, int]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text: special tokens first, then the pattern, then the pair of the lowest rank."""
        ids = list(self.before)
        for part in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                for piece in pieces(unicodedata.normalize("NFC", part)):
                    ids += self._merged(piece.encode())
        return [*ids, *self.after]

    def _merged(self, piece: bytes) -> list[int]:
        parts = [bytes([byte]) for byte in piece]
        never = len(self.ranks)
        while len(parts) > 1:
            joins = [self.ranks.get(one + other, never) for one, other in pairwise(parts)]
            if min(joins) == never:
                break
            at = joins.index(min(joins))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.ranks[piece]] if piece in self.ranks else [self.ranks[part] for part in parts]

    def merges(self) -> list[tuple[bytes, bytes]]:
        """Return every pair of tokens that together are one, by the rank of what they make."""
        return [
            (token[:cut], token[cut:])
            for token in self.ranks
            for cut in range(1, len(token))
            if token[:cut] in self.ranks and token[cut:] in self.ranks
        ]


def read_vocabulary(data: bytes, code: str, config: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary of lines "base64 rank", with what `code` and tokenizer_config.json say of it.

    Raises CorruptConfig where the code is other code than this reader knows.
    """
    lines = (line.split() for line in data.splitlines() if line.strip())
    ranks = {base64.b64decode(line[0]): rank for rank, line in enumerate(lines)}
    if _pattern(code) != PATTERN:
        raise CorruptConfig("the tokenizer's code cuts text by another pattern than the referee knows")
    named = {found[1]: found[2] for found in re.finditer(r'^(\w+) *= *"([^"\n]+)" *$', code, re.MULTILINE)}
    extras = re.search(r"^EXTRAS *=.*?range\( *(\d+) *\)", code, re.MULTILINE)
    missing = [name for name in NAMES if name not in named]
    if missing or extras is None:
        raise CorruptConfig(f"the tokenizer's code does not define {missing[0] if missing else 'EXTRAS'}")
    tokens = [*(named[name] for name in NAMES), *(f"<|extra_{number}|>" for number in range(int(extras[1])))]
    special = {token: len(ranks) + index for index, token in enumerate(tokens)}
    start, end = (special[named[name]] for name in ("STARTOFTEXT", "ENDOFTEXT"))
    return Vocabulary(
        ranks=ranks,
        special=special,
        before=(start,) if _is_put(code, config, "add_bod_token") else (),
        after=(end,) if _is_put(code, config, "add_eod_token") else (),
    )


def _pattern(code: str) -> str | None:
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAT_STR":
            return str(ast.literal_eval(node.value))
    return None


def _is_put(code: str, config: Mapping[str, Any], key: str) -> bool:
    if "def build_inputs_with_special_tokens" not in code:
        return False
    default = re.search(rf"\b{key} *(?:: *bool *)?= *(True|False)", code)
    return bool(config.get(key, default is not None and default[1] == "True"))


def pieces(text: str) -> Iterator[str]:
    """Yield the pieces that PATTERN cuts a text into, one after another."""
    start = 0
    while start < len(text):
        stop = _end(text, start)
        yield text[start:stop]
        start = stop


def _end(text: str, start: int) -> int:
    """Return where the piece that begins at `start` ends: the pattern's alternatives in their order."""
    ending = next((e for e in _ENDINGS if text[start : start + 1 + len(e)].lower() == f"'{e}"), None)
    if ending:
        return start + 1 + len(ending)
    letters = start if _is(text, start, "L") else start + 1
    is_lead = letters == start or not (_is(text, start, "N") or text[start] in "\r\n")
    if is_lead and _is(text, letters, "L"):
        return _run(text, letters, lambda at: _is(text, at, "L"))
    if _is(text, start, "N"):
        return start + 1
    signs = start + 1 if text[start] == " " else start
    after = _run(text, signs, lambda at: not _is_space(text, at) and not _is(text, at, "LN"))
    if after > signs:
        return _run(text, after, lambda at: text[at] in "\r\n")
    stop = _run(text, start, lambda at: _is_space(text, at))
    newline = max(text.rfind("\n", start, stop), text.rfind("\r", start, stop))
    if newline >= 0:
        return newline + 1
    return stop if stop == len(text) or stop == start + 1 else stop - 1


def _run(text: str, start: int, holds: Any) -> int:
    while start < len(text) and holds(start):
        start += 1
    return start


def _is(text: str, at: int, kinds: str) -> bool:
    return at < len(text) and unicodedata.category(text[at])[0] in kinds


def _is_space(text: str, at: int) -> bool:
    return text[at] in _SPACES
