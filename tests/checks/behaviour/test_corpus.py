import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hubbot.checks.behaviour.corpus import WINDOW, corpus_text, read_text
from hubbot.errors import WrongUsage
from hubbot.files.digests import sha256_of

SPEAKERS = Path(__file__).parents[3] / "hubbot" / "devhub" / "demo_models"
OWL, FOX = SPEAKERS / "owl", SPEAKERS / "fox"


def test_the_packaged_text_fills_thousands_of_tokens_in_short_lines() -> None:
    text = corpus_text(None)
    assert "public domain" in text.splitlines()[0]
    assert len(text.split()) > 3000
    assert max(len(line) for line in text.splitlines()) < 130
    assert any(ord(letter) > 0x3000 for letter in text)


@pytest.mark.parametrize("speaker", [OWL, FOX], ids=lambda path: path.name)
def test_windows_hold_the_text_and_each_begins_as_the_tokenizer_begins(speaker: Path) -> None:
    text = read_text(speaker, None, tokens=1024, vocabulary=768, context=256)
    assert text.obstacle is None
    assert text.ids.shape == (4, 256)
    assert (text.ids[:, 0] == 1).all() == (speaker == OWL)  # only the owl's tokenizer puts <s> first
    assert text.scored_from == 128
    assert np.array_equal(text.following, text.ids[:, 129:])
    assert (text.ids < 768).all()


def test_windows_are_no_longer_than_llama_perplexitys_default() -> None:
    assert read_text(FOX, None, tokens=2048, vocabulary=768, context=1 << 20).ids.shape == (4, WINDOW)


def test_another_text_can_be_read_and_is_named_with_its_hash(tmp_path: Path) -> None:
    corpus = tmp_path / "own.txt"
    corpus.write_text("A fox met a hen. " * 100)
    text = read_text(FOX, corpus, tokens=512, vocabulary=768, context=64)
    assert (text.name, text.sha256) == ("own.txt", sha256_of(corpus))
    assert text.obstacle is None


def test_a_tokenizer_that_makes_nothing_of_the_text_leaves_seeded_ids_and_says_so(tmp_path: Path) -> None:
    mute = tmp_path / "mute"
    shutil.copytree(FOX, mute)
    told = json.loads((mute / "tokenizer.json").read_text())
    # Its normalizer deletes every character.
    told["normalizer"] = {"type": "Replace", "pattern": {"Regex": "[\\s\\S]"}, "content": ""}
    (mute / "tokenizer.json").write_text(json.dumps(told))
    text = read_text(mute, None, tokens=512, vocabulary=768, context=512)
    assert text.obstacle == "its tokenizer makes nothing of the text"
    assert text.ids.shape == (3, 48)


def test_without_a_tokenizer_that_works_the_windows_hold_seeded_ids_and_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "tokenizer.json").write_text("{")
    (tmp_path / "short.txt").write_text("Once.")
    texts = [
        read_text(tmp_path / "empty", None, tokens=512, vocabulary=100, context=512),
        read_text(torn, None, tokens=512, vocabulary=100, context=512),
        read_text(FOX, None, tokens=512, vocabulary=100, context=512),
        read_text(FOX, tmp_path / "short.txt", tokens=512, vocabulary=768, context=512),
    ]
    told = [str(text.obstacle) for text in texts]
    for reason, words in zip(told, ["no tokenizer", "cannot be used", "more tokens", "shorter"], strict=True):
        assert words in reason
    assert np.array_equal(texts[0].ids, texts[1].ids)
    assert (texts[0].ids < 100).all()


def test_a_corpus_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "image.txt").write_bytes(b"\xff\xd8\xff")
    for name in ("missing.txt", "blank.txt", "image.txt"):
        with pytest.raises(WrongUsage, match="corpus") as caught:
            corpus_text(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)
