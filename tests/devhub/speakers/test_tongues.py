from __future__ import annotations

import json
from pathlib import Path
from random import Random

import jinja2
import pytest
from tokenizers import Tokenizer

from hubbot.devhub import speakers
from hubbot.devhub.speakers.stories import hold_conversation
from hubbot.devhub.speakers.tongues import CHATML, CONTEXT, INST, Tongue, train_tokenizer, write_tokenizer

FOLDER = Path(speakers.__file__).parent
TONGUES = [pytest.param(CHATML, "fox", 8, id="fox"), pytest.param(INST, "owl", 13, id="owl")]


@pytest.mark.parametrize(("tongue", "name", "seed"), TONGUES)
def test_what_is_learned_is_what_the_chat_template_writes(tongue: Tongue, name: str, seed: int) -> None:
    tokenizer = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
    template = jinja2.Environment(autoescape=False).from_string(tongue.template)
    random = Random(seed)
    for _ in range(100):
        turns = hold_conversation(random)
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        written = template.render(messages=messages, bos_token=tongue.start, eos_token=tongue.end)
        parts = [tokenizer.encode(text, add_special_tokens=False).ids for text, _ in tongue.talk_parts(turns)]
        whole = tokenizer.encode(written, add_special_tokens=False).ids

        assert whole == [number for part in parts for number in part]
        assert len(whole) <= CONTEXT + 16


@pytest.mark.parametrize(("tongue", "name", "seed"), TONGUES)
def test_training_the_tokenizer_again_gives_the_packaged_files(
    tongue: Tongue, name: str, seed: int, tmp_path: Path
) -> None:
    write_tokenizer(tmp_path, tongue, train_tokenizer(tongue, seed))

    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert json.loads((tmp_path / file).read_text("utf-8")) == json.loads(
            (FOLDER / name / file).read_text("utf-8")
        )


@pytest.mark.parametrize("name", ["fox", "owl"])
def test_any_text_survives_the_tokenizer(name: str) -> None:
    tokenizer = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
    text = "Once upon a time, Zürich and 日本 had 42 foxes! 🦊"

    assert tokenizer.decode(tokenizer.encode(text).ids) == text
