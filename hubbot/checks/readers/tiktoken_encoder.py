"""A tiktoken vocabulary put to use: text to token ids by tiktoken's algorithm, in code of the referee's own.

It opens no files and knows no maker; `tiktoken_sources` reads those. Nothing is shared with the converter's
rewriting of the same files.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import regex  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Token ids: `ranks` of byte strings, `special` of special tokens, and those put around every text.

    `pattern` cuts a text before bytes are merged, after `normalizer` (None for no change). `shown` are the special
    tokens that a reader of plain text still sees. `settings` is what tokenizer_config.json has to say.
    """

    pattern: str
    normalizer: Literal["NFC"] | None
    ranks: Mapping[bytes, int]
    special: Mapping[str, int]
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    shown: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text: special tokens first, then the pattern, then the pair of the lowest rank."""
        ids = list(self.before)
        for part in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                for piece in self.pieces(part):
                    ids += self._merged(piece.encode())
        return [*ids, *self.after]

    def pieces(self, text: str) -> list[str]:
        """Return what the pattern cuts a text without special tokens into."""
        normal = unicodedata.normalize(self.normalizer, text) if self.normalizer else text
        return [str(piece) for piece in regex.findall(self.pattern, normal, flags=regex.V1)]

    def _merged(self, piece: bytes) -> list[int]:
        if piece in self.ranks:
            return [self.ranks[piece]]
        parts = [bytes([byte]) for byte in piece]
        never = len(self.ranks)
        while len(parts) > 1:
            joins = [self.ranks.get(one + other, never) for one, other in pairwise(parts)]
            if min(joins) == never:
                break
            at = joins.index(min(joins))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.ranks[part] for part in parts]

    def merges(self) -> list[tuple[bytes, bytes]]:
        """Return every pair of tokens that together are one, by the rank of what they make."""
        return [
            (token[:cut], token[cut:])
            for token in sorted(self.ranks, key=self.ranks.__getitem__)
            for cut in range(1, len(token))
            if token[:cut] in self.ranks and token[cut:] in self.ranks
        ]
