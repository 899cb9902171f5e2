import base64
import json
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex  # type: ignore[import-untyped]
from transformers import AutoTokenizer

from hubbot.catalogue import tiktokens
from hubbot.errors import NeedsHuman

TEXT = (
    "The quick brown fox doesn't jump over 1234 lazy dogs; it's 56% there.\n\n  Two spaces,\ttabs\r\nand "
    "中文字符 漢字 and café and naïve résumé, banana bandana, aaaaaaa, emoji 😀😀 and ملف عربي. "
    "WE'LL SEE I'M they'Re\n"
)
# Written for this test in the shape that such files have.
CODE = r'''
import unicodedata
PAT_STR = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|""" \
          r"""[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|""" \
          r"""\s*[\r\n]+|\s+(?!\S)|\s+"""
ENDOFTEXT = "<|endoftext|>"
STARTOFTEXT = "<|startoftext|>"
BOSTOKEN = "<|bos|>"
EOSTOKEN = "<|eos|>"
PADTOKEN = "<|pad|>"
EXTRAS = tuple((f"<|extra_{i}|>" for i in range(7)))
raise SystemExit("this must never be run")

class HYTokenizer:
    def tokenize(self, text):
        return unicodedata.normalize("NFC", text)
'''
AROUND = """
    def __init__(self, vocab_file, add_bod_token=True, add_eod_token=False):
        pass

    def build_inputs_with_special_tokens(self, ids):
        pass
"""


def learnt(size: int) -> list[bytes]:
    """A byte-pair vocabulary learnt from TEXT, the bytes in an order of their own."""
    tokens = [bytes([int(b)]) for b in np.random.default_rng(3).permutation(256)]
    pieces = [[bytes([b]) for b in word.encode()] for word in regex.findall(tiktokens.PATTERN, TEXT)]
    while len(tokens) < size:
        pairs = Counter(pair for piece in pieces for pair in pairwise(piece))
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


def by_hand(text: str, ranks: dict[bytes, int], special: dict[str, int]) -> list[int]:
    """tiktoken's algorithm: special tokens, then the pattern, then the adjacent pair of the lowest rank first."""
    text = unicodedata.normalize("NFC", text)
    ids: list[int] = []
    for stretch in regex.split("(" + "|".join(map(regex.escape, special)) + ")", text):
        if stretch in special:
            ids.append(special[stretch])
            continue
        for piece in regex.findall(tiktokens.PATTERN, stretch):
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
    return b"".join(base64.b64encode(token) + f" {rank}\n".encode() for rank, token in enumerate(tokens))


def write(folder: Path, code: str, config: dict[str, Any], tokens: list[bytes]) -> Any:
    for name, data in tiktokens.rewritten(code.encode(), vocabulary(tokens), config).items():
        (folder / name).write_bytes(data)
    return AutoTokenizer.from_pretrained(folder)


CONFIG = {
    "tokenizer_class": "HYTokenizer",
    "auto_map": {"AutoTokenizer": ["x.HYTokenizer", None]},
    "eos_token": "<|eos|>",
}
TOKENS = learnt(360)
RANKS = {token: rank for rank, token in enumerate(TOKENS)}
SPECIAL = {
    token: len(TOKENS) + index
    for index, token in enumerate(
        [
            "<|endoftext|>",
            "<|startoftext|>",
            "<|bos|>",
            "<|eos|>",
            "<|pad|>",
            *(f"<|extra_{i}|>" for i in range(7)),
        ]
    )
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write(tmp_path_factory.mktemp("tokenizer"), CODE, CONFIG, TOKENS)


@pytest.mark.parametrize("seed", range(8))
def test_the_ids_are_those_of_tiktokens_algorithm(seed: int, tokenizer: Any) -> None:
    draw = np.random.default_rng(seed)
    letters = list(TEXT + "éßЖ日 \u0301\u00a0\u3000'\u2019\r\n\t0\uff19½") + list(SPECIAL)
    for _ in range(60):
        text = "".join(draw.choice(letters, size=int(draw.integers(1, 60))))
        assert tokenizer.encode(text) == by_hand(text, RANKS, SPECIAL), repr(text)


def test_a_text_survives_and_special_tokens_are_known(tokenizer: Any) -> None:
    text = unicodedata.normalize("NFC", TEXT)
    ids = tokenizer.encode(text)
    assert ids == by_hand(text, RANKS, SPECIAL)
    assert len(ids) < len(text.encode())
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == SPECIAL["<|eos|>"]
    assert tokenizer.decode([SPECIAL["<|eos|>"], RANKS[b"a"]], skip_special_tokens=True) == "a"


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [({}, ["<|startoftext|>"], []), ({"add_bod_token": False, "add_eod_token": True}, [], ["<|endoftext|>"])],
)
def test_tokens_that_the_code_puts_around_a_text_are_put_there(
    config: dict[str, Any], before: list[str], after: list[str], tmp_path: Path
) -> None:
    found = write(tmp_path, CODE + AROUND, {**CONFIG, **config}, TOKENS)
    around = [SPECIAL[token] for token in before], [SPECIAL[token] for token in after]
    assert found.encode("a fox") == around[0] + by_hand("a fox", RANKS, SPECIAL) + around[1]
    assert found.encode("a fox", add_special_tokens=False) == by_hand("a fox", RANKS, SPECIAL)


def test_no_code_is_named_in_what_is_written(tmp_path: Path) -> None:
    write(tmp_path, CODE, CONFIG, TOKENS)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config == {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|eos|>"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (r"\p{N}|", r"\p{N}{1,3}|", "another pattern"),
        ('BOSTOKEN = "<|bos|>"', "BOSTOKEN = make()", "BOSTOKEN"),
        ("range(7)", "range(count)", "EXTRAS"),
        ('"NFC"', '"NFKC"', "NFC"),
        ("class HYTokenizer:", "class HYTokenizer", "no Python"),
    ],
)
def test_other_code_than_is_known_parks_by_name(old: str, new: str, told: str) -> None:
    assert old in CODE
    with pytest.raises(NeedsHuman, match=told):
        tiktokens.specials(CODE.replace(old, new), {})


def test_tokens_around_a_text_need_a_word_on_whether_they_are_put_there() -> None:
    silent = CODE + AROUND.replace(", add_bod_token=True, add_eod_token=False", "")
    with pytest.raises(NeedsHuman, match="add_bod_token"):
        tiktokens.specials(silent, {})
    with pytest.raises(NeedsHuman, match="around a text"):
        tiktokens.specials(CODE + AROUND, {"bod_token": "<|bos|>"})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"YQ== 0\nYQ== 1\n", "line 2 .* twice"),
        (b"YQ== 0\n!!! 1\n", "line 2"),
        (b"YQ==\n", "line 1"),
        (b"YQ== 0\n", "256 bytes"),
        (base64.b64encode(b"x" * 2000) + b" 0\n", "odd length"),
    ],
)
def test_a_vocabulary_that_is_none_parks_by_line(data: bytes, told: str) -> None:
    special = tiktokens.specials(CODE, {})
    with pytest.raises(NeedsHuman, match=told):
        tiktokens.tokenizer_json(data, special)


def test_only_code_without_a_tokenizer_json_is_rewritten() -> None:
    assert tiktokens.is_rewritable({"hy.tiktoken", "tokenization_hy.py", "config.json"})
    assert not tiktokens.is_rewritable({"hy.tiktoken", "tokenization_hy.py", "tokenizer.json"})
    assert not tiktokens.is_rewritable({"qwen.tiktoken", "tokenization_qwen.py"})
