"""A tiktoken vocabulary put to use: text to token ids by tiktoken's algorithm, in code of the referee's own.

It reads the files of HunYuan's and Kimi's tokenizers as text (the vocabulary, and what their code says of special
tokens) and runs none of them. The converter's rewriting stands in catalogue/tokenizers; nothing is shared.
"""

import ast
import base64
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hubbot.checks.readers import text_pieces
from hubbot.checks.readers.text_pieces import Cut
from hubbot.errors import CorruptConfig

_HUNYUAN_NAMES = ("ENDOFTEXT", "STARTOFTEXT", "BOSTOKEN", "EOSTOKEN", "PADTOKEN")
# Kimi's special tokens by their place behind the vocabulary, where tokenizer_config.json does not list them
# (moonshotai's published repos).
_KIMI_PLACES: Mapping[int, str] = {
    0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 6: "<|start_header_id|>",
    7: "<|end_header_id|>", 9: "[EOT]", 10: "<|im_system|>", 11: "<|tool_calls_section_begin|>",
    12: "<|tool_calls_section_end|>", 13: "<|tool_call_begin|>", 14: "<|tool_call_argument_begin|>",
    15: "<|tool_call_end|>", 17: "<|im_middle|>", 254: "[UNK]", 255: "[PAD]",
}  # fmt: skip
# Those that only the models that also see have.
_KIMI_MEDIA: Mapping[int, str] = {
    18: "<|media_begin|>", 19: "<|media_content|>", 20: "<|media_end|>", 21: "<|media_pad|>", 22: "<think>",
    23: "</think>",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """How text becomes token ids: `cut` makes pieces, `ranks` are the ids of byte strings.

    `special` are the special tokens whose ids are known, and `count` says how many there are (None: unknown); the
    others are called <|reserved_token_ID|>, or as `perhaps` says, which only some models do. `before` and `after`
    are put around every text. `pattern` is what `cut` carries out; `is_composed` says that text is brought to
    Unicode's form NFC first.
    """

    pattern: str
    cut: Cut
    is_composed: bool
    ranks: Mapping[bytes, int]
    special: Mapping[str, int]
    perhaps: Mapping[int, str]
    count: int | None
    before: tuple[int, ...]
    after: tuple[int, ...]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text: special tokens first, then the pattern, then the pair of the lowest rank."""
        ids = list(self.before)
        for part in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                composed = unicodedata.normalize("NFC", part) if self.is_composed else part
                for piece in self.cut(composed):
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
            for token in sorted(self.ranks, key=lambda token: self.ranks[token])
            for cut in range(1, len(token))
            if token[:cut] in self.ranks and token[cut:] in self.ranks
        ]


def read_hunyuan(data: bytes, code: str, config: Mapping[str, Any]) -> Vocabulary:
    """Return HunYuan's vocabulary of lines "base64 rank", with what `code` and tokenizer_config.json say of it.

    Raises CorruptConfig where the code is other code than this reader knows.
    """
    ranks = {token: number for number, (token, _) in enumerate(_lines(data))}
    _check_pattern(code, "PAT_STR", text_pieces.HUNYUAN)
    named = {found[1]: found[2] for found in re.finditer(r'^(\w+) *= *"([^"\n]+)" *$', code, re.MULTILINE)}
    extras = re.search(r"^EXTRAS *=.*?range\( *(\d+) *\)", code, re.MULTILINE)
    missing = [name for name in _HUNYUAN_NAMES if name not in named]
    if missing or extras is None:
        raise CorruptConfig(f"the tokenizer's code does not define {missing[0] if missing else 'EXTRAS'}")
    extra = (f"<|extra_{number}|>" for number in range(int(extras[1])))
    tokens = [*(named[name] for name in _HUNYUAN_NAMES), *extra]
    special = {token: len(ranks) + index for index, token in enumerate(tokens)}
    start, end = (special[named[name]] for name in ("STARTOFTEXT", "ENDOFTEXT"))
    return Vocabulary(
        pattern=text_pieces.HUNYUAN,
        cut=text_pieces.hunyuan,
        is_composed=True,
        ranks=ranks,
        special=special,
        perhaps={},
        count=len(special),
        before=(start,) if _is_put(code, config, "add_bod_token") else (),
        after=(end,) if _is_put(code, config, "add_eod_token") else (),
    )


def read_kimi(data: bytes, code: str | None, config: Mapping[str, Any]) -> Vocabulary:
    """Return Kimi's vocabulary of lines "base64 rank", with what `code`, if any, and tokenizer_config.json say.

    Raises CorruptConfig where the code is other code than this reader knows.
    """
    ranks = dict(_lines(data))
    told, perhaps = config.get("added_tokens_decoder"), {}
    if isinstance(told, Mapping) and told:
        special = {str(token["content"]): int(number) for number, token in told.items()}
    else:
        special = {token: len(ranks) + place for place, token in _KIMI_PLACES.items()}
        perhaps = {len(ranks) + place: token for place, token in _KIMI_MEDIA.items()}
    count = None
    if code is not None:
        _check_pattern(code, "pat_str", text_pieces.KIMI)
        held = re.search(r"\bnum_reserved_special_tokens *= *(\d+)", code)
        more = re.search(r"\bself\.num_reserved_special_tokens *\+ *(\d+)", code)
        used = "self.num_reserved_special_tokens" in code
        count = int(held[1]) + (int(more[1]) if more else 0) if held and used else None
    return Vocabulary(
        pattern=text_pieces.KIMI, cut=text_pieces.kimi, is_composed=False, ranks=ranks, special=special,
        perhaps=perhaps, count=count, before=(), after=(),
    )  # fmt: skip


def _lines(data: bytes) -> Iterator[tuple[bytes, int]]:
    for line in data.splitlines():
        if line.strip():
            token, rank = line.split()
            yield base64.b64decode(token), int(rank)


def _check_pattern(code: str, name: str, known: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name and _text(node.value) == known:
            return
    raise CorruptConfig("the tokenizer's code cuts text by another pattern than the referee knows")


def _text(node: ast.expr) -> str | None:
    """Return a string as code writes it: a literal, or "|".join of a list of literals."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "'|'.join" and len(node.args) == 1:
        return "|".join(ast.literal_eval(node.args[0]))
    value = ast.literal_eval(node) if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def _is_put(code: str, config: Mapping[str, Any], key: str) -> bool:
    if "def build_inputs_with_special_tokens" not in code:
        return False
    default = re.search(rf"\b{key} *(?:: *bool *)?= *(True|False)", code)
    return bool(config.get(key, default is not None and default[1] == "True"))
