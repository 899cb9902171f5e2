"""Byte-pair vocabularies learnt from a text, and tiktoken's algorithm by hand."""

import base64
import unicodedata
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import regex  # type: ignore[import-untyped]


def learnt(size: int, text: str, pattern: str) -> list[bytes]:
    """A byte-pair vocabulary of up to `size` tokens learnt from `text`, the bytes in an order of their own."""
    tokens = [bytes([int(b)]) for b in np.random.default_rng(3).permutation(256)]
    pieces = [[bytes([b]) for b in word.encode()] for word in regex.findall(pattern, text, regex.V1)]
    while len(tokens) < size:
        pairs = Counter(pair for piece in pieces for pair in pairwise(piece))
        if not pairs:
            break
        (left, right), _ = pairs.most_common(1)[0]
        pieces = [joined(piece, left + right) for piece in pieces]
        if left + right not in tokens:
            tokens.append(left + right)
    return tokens


def joined(piece: list[bytes], token: bytes) -> list[bytes]:
    out: list[bytes] = []
    for part in piece:
        if out and out[-1] + part == token:
            out[-1] = token
        else:
            out.append(part)
    return out


def by_hand(
    text: str, ranks: Mapping[bytes, int], special: Mapping[str, int], pattern: str, form: str | None
) -> list[int]:
    """tiktoken's algorithm: special tokens, then the pattern, then the adjacent pair of the lowest rank first."""
    text = unicodedata.normalize("NFC", text) if form == "NFC" else text
    ids: list[int] = []
    for stretch in regex.split("(" + "|".join(map(regex.escape, special)) + ")", text):
        if stretch in special:
            ids.append(special[stretch])
            continue
        for piece in regex.findall(pattern, stretch, regex.V1):
            parts = [bytes([b]) for b in piece.encode()]
            while piece.encode() not in ranks and len(parts) > 1:
                joins = [ranks.get(a + b, len(ranks)) for a, b in pairwise(parts)]
                if min(joins) == len(ranks):
                    break
                at = joins.index(min(joins))
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            ids += [ranks[piece.encode()]] if piece.encode() in ranks else [ranks[part] for part in parts]
    return ids


def vocabulary(tokens: list[bytes]) -> bytes:
    """The vocabulary file: a line "base64 rank" for every token."""
    return b"".join(base64.b64encode(token) + f" {rank}\n".encode() for rank, token in enumerate(tokens))
