import numpy as np
import pytest

from hubbot.checks.readers.tiktoken_encoder import Vocabulary
from hubbot.checks.readers.tiktoken_sources import HUNYUAN_PATTERN, KIMI_PATTERN
from tests.catalogue.tokenizers import kimi_files
from tests.catalogue.tokenizers.test_hunyuan_tokenizer import RANKS, SPECIAL, TEXT, by_hand


def hunyuan() -> Vocabulary:
    return Vocabulary(pattern=HUNYUAN_PATTERN, normalizer="NFC", ranks=RANKS, special=SPECIAL)


@pytest.mark.parametrize("seed", range(3))
def test_the_ids_are_those_of_tiktokens_algorithm(seed: int) -> None:
    letters = list(TEXT + "éßЖ日 \u00a0\u3000'\u2019\r\n\t0\uff19½  \n\n'''sStTrREveLLmd")
    draw = np.random.default_rng(seed)
    for _ in range(60):
        text = "".join(draw.choice([*letters, *SPECIAL], size=int(draw.integers(1, 60))))
        assert hunyuan().encode(text) == by_hand(text)


def test_kimis_ids_are_those_of_tiktoken_itself() -> None:
    tiktoken = pytest.importorskip("tiktoken", reason="the independent encoder is in the extra `test`")
    ranks = {token: rank for rank, token in enumerate(kimi_files.TOKENS)}
    special = kimi_files.special_ids()
    theirs = tiktoken.Encoding(name="kimi", pat_str=KIMI_PATTERN, mergeable_ranks=ranks, special_tokens=special)
    ours = Vocabulary(pattern=KIMI_PATTERN, normalizer=None, ranks=ranks, special=special)
    for text in [*kimi_files.SENTENCES, *kimi_files.texts(3, 200)]:
        if all(ord(letter) < 0x10000 for letter in text):  # beyond, the two know different versions of Unicode
            assert ours.encode(text) == theirs.encode(text, allowed_special="all"), repr(text)


def test_what_is_put_around_a_text_is_put_there() -> None:
    around = Vocabulary(
        pattern=HUNYUAN_PATTERN, normalizer="NFC", ranks=RANKS, special=SPECIAL, before=(7,), after=(8, 9)
    )
    assert around.encode("a fox") == [7, *hunyuan().encode("a fox"), 8, 9]


def test_text_is_normalised_only_where_the_code_does_so() -> None:
    plain = Vocabulary(pattern=KIMI_PATTERN, normalizer=None, ranks=RANKS, special={})
    assert plain.pieces("e\u0301") == ["e\u0301"]
    assert hunyuan().pieces("e\u0301") == ["\xe9"]


def test_every_pair_that_makes_a_token_is_a_merge() -> None:
    ranks = {token: rank for rank, token in enumerate([b"a", b"b", b"ab", b"c", b"abc", b"bc"])}
    known = Vocabulary(pattern=HUNYUAN_PATTERN, normalizer=None, ranks=ranks, special={})
    assert known.merges() == [(b"a", b"b"), (b"a", b"bc"), (b"ab", b"c"), (b"b", b"c")]
