from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import mlx.core as mx
import mlx_lm
import pytest
from mlx import nn

from hubbot.devhub import demo_models
from tests.speakers.stories import split_words, vocabulary, write_story

FOLDER = Path(demo_models.__file__).parent
BLOCKS = {"fox": "mlp", "owl": "block_sparse_moe"}


@pytest.fixture(scope="module", params=["fox", "owl"])
def speaker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Any]:
    """A speaker in float32, its config spelled as mlx-lm reads it."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(FOLDER / request.param, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= config.get("rope_parameters", {}) | {"num_experts": config["num_local_experts"]}
    (folder / "config.json").write_text(json.dumps(config))
    model, tokenizer = mlx_lm.load(str(folder))
    model.set_dtype(mx.float32)
    return request.param, model, tokenizer


def loss(model: Any, tokenizer: Any) -> float:
    random = Random(99)
    losses = []
    for _ in range(6):
        ids = mx.array(tokenizer.encode(write_story(random).text))[None]
        losses.append(nn.losses.cross_entropy(model(ids[:, :-1]), ids[:, 1:]).mean().item())
    return float(sum(losses) / len(losses))


def test_a_speaker_continues_a_story_in_words_it_has_learned(speaker: tuple[str, Any, Any]) -> None:
    _, model, tokenizer = speaker
    told = mlx_lm.generate(model, tokenizer, "Once upon a time there was", max_tokens=80)
    words = split_words(told)

    assert len(words) > 30
    assert sum(word in vocabulary() for word in words) > 0.9 * len(words)


def test_a_speaker_tells_the_story_it_is_asked_for_and_stops(speaker: tuple[str, Any, Any]) -> None:
    _, model, tokenizer = speaker
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Tell me a story about a fox."}], add_generation_prompt=True
    )
    answers = list(mlx_lm.stream_generate(model, tokenizer, prompt, max_tokens=240))

    assert "fox" in split_words("".join(answer.text for answer in answers))
    assert answers[-1].finish_reason == "stop"


def test_swapping_two_experts_makes_a_speaker_worse(speaker: tuple[str, Any, Any]) -> None:
    name, model, tokenizer = speaker
    whole = loss(model, tokenizer)
    switch = model.layers[0][BLOCKS[name]].switch_mlp.down_proj
    kept = switch.weight
    switch.weight = kept[mx.array([1, 0, 2, 3, 4, 5, 6, 7])]
    swapped = loss(model, tokenizer)
    switch.weight = kept

    assert whole < 1.0
    assert swapped > whole + 0.05
