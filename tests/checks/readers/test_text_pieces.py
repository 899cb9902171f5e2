"""Both scanners cut text as their patterns do in a regular expression engine."""

import unicodedata

import pytest
import regex  # type: ignore[import-untyped]

from hubbot.catalogue.tokenizers import hunyuan_tokenizer, kimi_tokenizer
from hubbot.checks.readers import text_pieces
from hubbot.checks.readers.text_pieces import Cut
from hubbot.checks.structure.rewritten_tokenizer import TEXT
from tests.catalogue.tokenizers.kimi_files import SENTENCES, texts

CUTS = [(text_pieces.hunyuan, text_pieces.HUNYUAN), (text_pieces.kimi, text_pieces.KIMI)]
BOTH = pytest.mark.parametrize(("cut", "pattern"), CUTS, ids=["hunyuan", "kimi"])


def is_assigned(text: str) -> bool:
    """Of code points that this Python's Unicode does not have yet, the engine may know more."""
    return all(unicodedata.category(letter) != "Cn" for letter in text)


def cut_by_engine(pattern: str, text: str) -> list[str]:
    return [found[0] for found in regex.finditer(pattern, text, regex.V1)]


@BOTH
def test_texts_of_many_scripts_are_cut_alike(cut: Cut, pattern: str) -> None:
    for text in (TEXT, *SENTENCES, *TEXT.split(), "don't WE'LL they'Re 'S ''s it'x"):
        assert list(cut(text)) == cut_by_engine(pattern, text)


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_random_texts_are_cut_alike(seed: int, cut: Cut, pattern: str) -> None:
    for text in filter(is_assigned, texts(seed, 300)):
        assert list(cut(text)) == cut_by_engine(pattern, text), ascii(text)


def test_the_patterns_are_those_of_the_published_code() -> None:
    assert (text_pieces.HUNYUAN, text_pieces.KIMI) == (hunyuan_tokenizer.PATTERN, kimi_tokenizer.PATTERN)
