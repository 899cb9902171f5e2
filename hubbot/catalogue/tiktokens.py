"""HunYuan's tokenizer, which is published as a tiktoken vocabulary and Python code, as a tokenizer.json.

The code is read as text for the literals it defines (ast), never run; where it is not the code that this
conversion knows, that is said by name. It reads no files.
"""

import ast
import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.errors import NeedsHuman

VOCABULARY, CODE = "hy.tiktoken", "tokenization_hy.py"
LARGEST_VOCABULARY = 64 << 20
LARGEST_CODE = 1 << 18
LONGEST_TOKEN = 1024
# What tiktoken cuts text into before it merges bytes.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
NAMED = ("ENDOFTEXT", "STARTOFTEXT", "BOSTOKEN", "EOSTOKEN", "PADTOKEN")
_HINT = "a tokenizer.json beside the weights would be taken over as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Specials:
    """The special tokens in the order of their ids, and the text that is put before and after every text."""

    tokens: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


def is_rewritable(names: set[str]) -> bool:
    """Say whether a repo with files of these names has HunYuan's tokenizer as code only."""
    return {VOCABULARY, CODE} <= names and "tokenizer.json" not in names


def specials(code: str, config: Mapping[str, Any]) -> Specials:
    """Return the special tokens that tokenization_hy.py defines; NeedsHuman where it is other code than is known.

    `config` is tokenizer_config.json, whose add_bod_token and add_eod_token go before the code's own defaults.
    """
    if len(code) > LARGEST_CODE:
        raise _unknown(f"has {len(code)} characters")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unknown(f"is no Python: {error}") from error
    constants = dict(_constants(tree))
    if constants.get("PAT_STR") != PATTERN:
        raise _unknown("cuts text by another pattern than the known one")
    missing = [name for name in NAMED if not isinstance(constants.get(name), str)]
    if missing:
        raise _unknown(f"does not define {missing[0]}")
    if not any(isinstance(node, ast.Constant) and node.value == "NFC" for node in ast.walk(tree)):
        raise _unknown("does not normalise text to NFC")
    named = tuple(str(constants[name]) for name in NAMED)
    tokens = (*named, *(f"<|extra_{number}|>" for number in range(_extras(tree))))
    around = _around(tree, config)
    for key, token in (("bod_token", named[1]), ("eod_token", named[0])):
        if any(around) and config.get(key, token) != token:
            raise _unknown(f"puts {config[key]!r} around a text by tokenizer_config.json")
    return Specials(tokens=tokens, before=named[1:2] if around[0] else (), after=named[:1] if around[1] else ())


def tokenizer_json(vocabulary: bytes, special: Specials) -> dict[str, Any]:
    """Return the tokenizer.json that gives the same ids as tiktoken does for `vocabulary` (lines "base64 rank").

    Every pair of tokens that together are a token is a merge, by the rank of what it makes: tiktoken's rule.
    """
    ranks = {token: rank for rank, token in enumerate(_tokens(vocabulary))}
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise NeedsHuman(f"{VOCABULARY} does not hold all 256 bytes", where=VOCABULARY, hint=_HINT)
    added = {token: len(ranks) + index for index, token in enumerate(special.tokens)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, number) for token, number in added.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": _template(special, added),
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


def tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return tokenizer_config.json for the rewritten tokenizer: no code to load, the general class."""
    kept = {key: value for key, value in config.items() if key != "auto_map"}
    return {**kept, "tokenizer_class": "PreTrainedTokenizerFast"}


def rewritten(code: bytes, vocabulary: bytes, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return tokenizer.json and tokenizer_config.json as the bytes to write, from the source's files."""
    special = specials(code.decode("utf-8", errors="replace"), config)
    made = tokenizer_json(vocabulary, special)
    return {
        "tokenizer.json": (json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n").encode(),
        "tokenizer_config.json": (
            json.dumps(tokenizer_config(config), indent=2, ensure_ascii=False) + "\n"
        ).encode(),
    }


def _tokens(vocabulary: bytes) -> Iterator[bytes]:
    """Yield the tokens; their number is the line's, as Tencent's code counts them."""
    if len(vocabulary) > LARGEST_VOCABULARY:
        raise NeedsHuman(f"{VOCABULARY} has {len(vocabulary)} bytes, too many for a vocabulary", where=VOCABULARY)
    seen = set()
    for number, line in enumerate(vocabulary.split(b"\n"), 1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            token = base64.b64decode(parts[0], validate=True)
            int(parts[1])
        except (binascii.Error, ValueError, IndexError) as error:
            raise NeedsHuman(f"line {number} of {VOCABULARY} is no token: {error}", where=VOCABULARY) from error
        if token in seen or not 0 < len(token) <= LONGEST_TOKEN:
            raise NeedsHuman(
                f"line {number} of {VOCABULARY} holds a token twice or of odd length", where=VOCABULARY
            )
        seen.add(token)
        yield token


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


def _added(token: str, number: int) -> dict[str, Any]:
    return {
        "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True,
    }  # fmt: skip


def _template(special: Specials, added: Mapping[str, int]) -> dict[str, Any]:
    def around(sequence: str, number: int) -> list[dict[str, Any]]:
        tokens = {
            token: {"SpecialToken": {"id": token, "type_id": number}} for token in special.before + special.after
        }
        text = {"Sequence": {"id": sequence, "type_id": number}}
        return [*(tokens[t] for t in special.before), text, *(tokens[t] for t in special.after)]

    names = special.before + special.after
    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {name: {"id": name, "ids": [added[name]], "tokens": [name]} for name in names},
    }


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                yield node.targets[0].id, ast.literal_eval(node.value)
            except ValueError:
                continue


def _extras(tree: ast.Module) -> int:
    """Return how many <|extra_N|> there are: EXTRAS = tuple(f"<|extra_{i}|>" for i in range(N))."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "EXTRAS"
        ):
            constants = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            numbers = [value for value in constants if isinstance(value, int)]
            if len(numbers) == 1 and 0 <= numbers[0] <= 10_000 and "<|extra_" in constants and "|>" in constants:
                return numbers[0]
    raise _unknown("does not define EXTRAS as <|extra_0|>, <|extra_1|>, ...")


def _around(tree: ast.Module, config: Mapping[str, Any]) -> tuple[bool, bool]:
    """Say whether the begin- and end-of-text tokens are put around every text."""
    methods = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if "build_inputs_with_special_tokens" not in methods:
        return False, False
    defaults = _defaults(methods.get("__init__"))
    found = []
    for key in ("add_bod_token", "add_eod_token"):
        value = config.get(key, defaults.get(key))
        if not isinstance(value, bool):
            raise _unknown(f"puts tokens around a text, and nothing says {key}")
        found.append(value)
    return found[0], found[1]


def _defaults(function: ast.FunctionDef | None) -> dict[str, Any]:
    if function is None:
        return {}
    names = [argument.arg for argument in function.args.args]
    values = function.args.defaults
    pairs = zip(names[len(names) - len(values) :], values, strict=True)
    return {name: value.value for name, value in pairs if isinstance(value, ast.Constant)}


def _unknown(what: str) -> NeedsHuman:
    return NeedsHuman(
        f"the tokenizer exists only as code, and {CODE} {what}; hubbot never runs it", where=CODE, hint=_HINT
    )
