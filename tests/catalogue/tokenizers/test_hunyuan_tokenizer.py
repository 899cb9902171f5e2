import base64
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from hubbot.catalogue import tokenizers
from hubbot.catalogue.tokenizers import hunyuan_tokenizer, tiktokens
from hubbot.errors import NeedsHuman
from tests.catalogue.tokenizers import tiktoken_vocabularies
from tests.catalogue.tokenizers.tiktoken_vocabularies import learnt, vocabulary

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


def write(folder: Path, code: str, config: dict[str, Any], tokens: list[bytes]) -> Any:
    stored = {
        "hy.tiktoken": vocabulary(tokens),
        "tokenization_hy.py": code.encode(),
        "tokenizer_config.json": json.dumps(config).encode(),
    }
    for name, data in tokenizers.rewritten(stored, {}, stored.__getitem__).items():
        (folder / name).write_bytes(data)
    return AutoTokenizer.from_pretrained(folder)


CONFIG = {
    "tokenizer_class": "HYTokenizer",
    "auto_map": {"AutoTokenizer": ["x.HYTokenizer", None]},
    "eos_token": "<|eos|>",
}
TOKENS = learnt(360, TEXT, hunyuan_tokenizer.PATTERN)
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


def by_hand(text: str) -> list[int]:
    """The ids that tiktoken's algorithm gives for this vocabulary and these special tokens."""
    return tiktoken_vocabularies.by_hand(text, RANKS, SPECIAL, hunyuan_tokenizer.PATTERN, "NFC")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write(tmp_path_factory.mktemp("tokenizer"), CODE, CONFIG, TOKENS)


@pytest.mark.parametrize("seed", range(8))
def test_the_ids_are_those_of_tiktokens_algorithm(seed: int, tokenizer: Any) -> None:
    draw = np.random.default_rng(seed)
    letters = list(TEXT + "éßЖ日 \u0301\u00a0\u3000'\u2019\r\n\t0\uff19½") + list(SPECIAL)
    for _ in range(60):
        text = "".join(draw.choice(letters, size=int(draw.integers(1, 60))))
        assert tokenizer.encode(text) == by_hand(text), repr(text)


def test_a_text_survives_and_special_tokens_are_known(tokenizer: Any) -> None:
    text = unicodedata.normalize("NFC", TEXT)
    ids = tokenizer.encode(text)
    assert ids == by_hand(text)
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
    assert found.encode("a fox") == around[0] + by_hand("a fox") + around[1]
    assert found.encode("a fox", add_special_tokens=False) == by_hand("a fox")


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
        hunyuan_tokenizer.read(CODE.replace(old, new), {})


def test_tokens_around_a_text_need_a_word_on_whether_they_are_put_there() -> None:
    silent = CODE + AROUND.replace(", add_bod_token=True, add_eod_token=False", "")
    with pytest.raises(NeedsHuman, match="add_bod_token"):
        hunyuan_tokenizer.read(silent, {})
    with pytest.raises(NeedsHuman, match="around a text"):
        hunyuan_tokenizer.read(CODE + AROUND, {"bod_token": "<|bos|>"})


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
    with pytest.raises(NeedsHuman, match=told):
        tiktokens.ranks_of(data, "hy.tiktoken", by_line=True)


def test_only_code_without_a_tokenizer_json_is_rewritten() -> None:
    assert tokenizers.is_rewritable({"hy.tiktoken", "tokenization_hy.py", "config.json"})
    assert not tokenizers.is_rewritable({"hy.tiktoken", "tokenization_hy.py", "tokenizer.json"})
    assert not tokenizers.is_rewritable({"qwen.tiktoken", "tokenization_qwen.py"})
