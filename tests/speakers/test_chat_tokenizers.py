from __future__ import annotations

import json
from pathlib import Path
from random import Random

import jinja2
import pytest
from tokenizers import Tokenizer

from hubbot.devhub import demo_models
from tests.speakers.chat_tokenizers import CHATML, CONTEXT, INST, ChatFormat, train_tokenizer, write_tokenizer
from tests.speakers.stories import hold_conversation

FOLDER = Path(demo_models.__file__).parent
TONGUES = [pytest.param(CHATML, "fox", 8, id="fox"), pytest.param(INST, "owl", 13, id="owl")]


@pytest.mark.parametrize(("chat", "name", "seed"), TONGUES)
def test_what_is_learned_is_what_the_chat_template_writes(chat: ChatFormat, name: str, seed: int) -> None:
    tokenizer = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
    template = jinja2.Environment(autoescape=False).from_string(chat.template)
    random = Random(seed)
    for _ in range(100):
        turns = hold_conversation(random)
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        written = template.render(messages=messages, bos_token=chat.start, eos_token=chat.end)
        parts = [tokenizer.encode(text, add_special_tokens=False).ids for text, _ in chat.talk_parts(turns)]
        whole = tokenizer.encode(written, add_special_tokens=False).ids

        assert whole == [number for part in parts for number in part]
        assert len(whole) <= CONTEXT + 16


@pytest.mark.parametrize(("chat", "name", "seed"), TONGUES)
def test_training_the_tokenizer_again_gives_the_packaged_files(
    chat: ChatFormat, name: str, seed: int, tmp_path: Path
) -> None:
    write_tokenizer(tmp_path, chat, train_tokenizer(chat, seed))

    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert json.loads((tmp_path / file).read_text("utf-8")) == json.loads(
            (FOLDER / name / file).read_text("utf-8")
        )


@pytest.mark.parametrize("name", ["fox", "owl"])
def test_any_text_survives_the_tokenizer(name: str) -> None:
    tokenizer = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
    text = "Once upon a time, Zürich and 日本 had 42 foxes! 🦊"

    assert tokenizer.decode(tokenizer.encode(text).ids) == text
