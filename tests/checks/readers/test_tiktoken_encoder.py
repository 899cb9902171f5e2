import unicodedata

import numpy as np
import pytest

from hubbot.checks.readers.tiktoken_encoder import read_hunyuan
from hubbot.checks.structure.rewritten_tokenizer import TEXT
from hubbot.errors import CorruptConfig
from tests.catalogue.tokenizers.test_hunyuan_tokenizer import AROUND, CODE, CONFIG, SPECIAL, TOKENS, by_hand
from tests.catalogue.tokenizers.tiktoken_vocabularies import vocabulary

LETTERS = list(TEXT + "éßЖ日 \u0301\u00a0\u3000'\u2019\r\n\t0\uff19½  \n\n'''sStTrREveLLmd")


@pytest.mark.parametrize("seed", range(3))
def test_the_ids_are_those_of_tiktokens_algorithm(seed: int) -> None:
    known = read_hunyuan(vocabulary(TOKENS), CODE, CONFIG)
    draw = np.random.default_rng(seed)
    for _ in range(60):
        text = "".join(draw.choice([*LETTERS, *SPECIAL], size=int(draw.integers(1, 60))))
        text = unicodedata.normalize("NFC", text)
        assert known.encode(text) == by_hand(text)


def test_what_the_code_puts_around_a_text_is_put_there() -> None:
    plain = read_hunyuan(vocabulary(TOKENS), CODE, {}).encode("a fox")
    around = read_hunyuan(vocabulary(TOKENS), CODE + AROUND, {}).encode("a fox")
    assert around == [SPECIAL["<|startoftext|>"], *plain]


@pytest.mark.parametrize("lost", ["BOSTOKEN", "EXTRAS"])
def test_code_that_does_not_name_its_special_tokens_is_not_guessed_at(lost: str) -> None:
    with pytest.raises(CorruptConfig, match=lost):
        read_hunyuan(vocabulary(TOKENS), CODE.replace(lost, "X"), {})


def test_every_pair_that_makes_a_token_is_a_merge() -> None:
    known = read_hunyuan(vocabulary([b"a", b"b", b"ab", b"c", b"abc", b"bc"]), CODE, {})
    assert known.merges() == [(b"a", b"b"), (b"a", b"bc"), (b"ab", b"c"), (b"b", b"c")]
