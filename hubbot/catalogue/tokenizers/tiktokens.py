"""A tiktoken vocabulary and what a row knows of its code, as the tokenizer.json that gives the same ids.

It reads no files and runs no code; which code means what, the rows beside this module say.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.errors import NeedsHuman

LARGEST_VOCABULARY = 64 << 20
LONGEST_TOKEN = 1024
HINT = "a tokenizer.json beside the weights would be taken over as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A token that is found in a text as it is; `is_special` ones are left out where a reader asks for that."""

    text: str
    is_special: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What code makes of a vocabulary.

    `pattern` cuts a text before bytes are merged, `normalizer` is a Unicode form or None. `specials` take the ids
    behind the vocabulary's, in order; `before` and `after` are those put around every text. `config` is
    tokenizer_config.json for the rewritten tokenizer.
    """

    pattern: str
    normalizer: str | None
    specials: tuple[Special, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    config: Mapping[str, Any]


def ranks_of(vocabulary: bytes, file: str, *, by_line: bool) -> dict[bytes, int]:
    """Return token -> id of lines "base64 rank", ids being the lines' numbers or the ranks, from 0 without a gap.

    Raises NeedsHuman naming the line of `file` that holds no token, or what the vocabulary lacks.
    """
    lines = list(_lines(vocabulary, file))
    ranks = {token: number if by_line else rank for number, (token, rank) in enumerate(lines)}
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise NeedsHuman(f"the ranks of {file} are not 0 to {len(ranks) - 1}, each once", where=file, hint=HINT)
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise NeedsHuman(f"{file} does not hold all 256 bytes", where=file, hint=HINT)
    return dict(sorted(ranks.items(), key=lambda item: item[1]))


def tokenizer_json(ranks: Mapping[bytes, int], reading: Reading) -> dict[str, Any]:
    """Return the tokenizer.json that gives the same ids as tiktoken does.

    Every pair of tokens that together are a token is a merge, by the rank of what it makes: tiktoken's rule.
    """
    ids = {special.text: len(ranks) + index for index, special in enumerate(reading.specials)}
    _check_specials(ids, reading)
    split = {"type": "Split", "pattern": {"Regex": reading.pattern}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(special, ids[special.text]) for special in reading.specials],
        "normalizer": {"type": reading.normalizer} if reading.normalizer else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                split,
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": _template(reading, ids),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {_text(token): rank for token, rank in ranks.items()},
            "merges": [[_text(left), _text(right)] for left, right in _merges(ranks)],
        },
    }


def written(ranks: Mapping[bytes, int], reading: Reading) -> dict[str, bytes]:
    """Return tokenizer.json and tokenizer_config.json as the bytes to write."""
    made = tokenizer_json(ranks, reading)
    return {
        "tokenizer.json": (json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n").encode(),
        "tokenizer_config.json": (json.dumps(reading.config, indent=2, ensure_ascii=False) + "\n").encode(),
    }


def general_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return tokenizer_config.json without a word of code to load: the general class."""
    kept = {key: value for key, value in config.items() if key != "auto_map"}
    return {**kept, "tokenizer_class": "PreTrainedTokenizerFast"}


def _check_specials(ids: Mapping[str, int], reading: Reading) -> None:
    names = [special.text for special in reading.specials]
    twice = next((name for name in names if names.count(name) > 1), None) if len(ids) != len(names) else None
    if twice is not None or "" in ids:
        raise NeedsHuman(f"the special token {twice or ''!r} has two ids or no text", hint=HINT)
    ordered = sorted(names)
    for one, other in itertools.pairwise(ordered):
        if other.startswith(one):
            # tiktoken tries them in no order that anybody promises.
            told = f"the special token {one!r} begins {other!r}, and nobody says which of them a text holds"
            raise NeedsHuman(told, hint=HINT)


def _lines(vocabulary: bytes, file: str) -> Iterator[tuple[bytes, int]]:
    if len(vocabulary) > LARGEST_VOCABULARY:
        raise NeedsHuman(f"{file} has {len(vocabulary)} bytes, too many for a vocabulary", where=file)
    seen = set()
    for number, line in enumerate(vocabulary.split(b"\n"), 1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            token = base64.b64decode(parts[0], validate=True)
            rank = int(parts[1])
        except (binascii.Error, ValueError, IndexError) as error:
            raise NeedsHuman(f"line {number} of {file} is no token: {error}", where=file) from error
        if token in seen or not 0 < len(token) <= LONGEST_TOKEN:
            raise NeedsHuman(f"line {number} of {file} holds a token twice or of odd length", where=file)
        seen.add(token)
        yield token, rank


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    for token in ranks:
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(left, right) for left, right in halves if left in ranks and right in ranks]
        yield from sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


# How byte-level tokenizers write bytes as characters (GPT-2): printable ones as they are, others from U+0100 on.
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_CHARACTER = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + index) for index, byte in enumerate(sorted(set(range(256)) - set(_PRINTABLE)))
}


def _text(token: bytes) -> str:
    return "".join(_CHARACTER[byte] for byte in token)


def _added(special: Special, number: int) -> dict[str, Any]:
    return {
        "id": number, "content": special.text, "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": special.is_special,
    }  # fmt: skip


def _template(reading: Reading, ids: Mapping[str, int]) -> dict[str, Any]:
    names = reading.before + reading.after

    def around(sequence: str, number: int) -> list[dict[str, Any]]:
        tokens = {token: {"SpecialToken": {"id": token, "type_id": number}} for token in names}
        text = {"Sequence": {"id": sequence, "type_id": number}}
        return [*(tokens[t] for t in reading.before), text, *(tokens[t] for t in reading.after)]

    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in names},
    }
