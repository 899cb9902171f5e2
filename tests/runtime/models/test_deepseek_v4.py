"""DeepSeek-V4's class: however a text is cut, a token sees the same; and what its cache promises mlx-lm."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache

from hubbot.runtime import loading
from tests.checkpoints_on_disk import (
    Workshop,
    edit_json,
    look,
    planned,
    read_stored,
    relative,
    safetensors,
    workshop,
)
from tests.reference.checkpoints import Floats, case, write

__all__ = ["workshop"]

# Longer than the window and many groups, with more entries than an indexer chooses.
TOKENS = 64
CASES = ("deepseek_v4/orig", "deepseek_v4/unscaled/orig")
CUTS: dict[str, list[int]] = {
    "whole": [0, TOKENS],
    "in pieces": [0, 7, 8, 40, 41, 44, TOKENS],
    "token by token": list(range(TOKENS + 1)),
    "a prompt, then token by token": [0, *range(30, TOKENS + 1)],
}


def ids() -> mx.array:
    """Two sequences of the case's tokens, once more and again."""
    row = np.resize(case(CASES[0]).ids, TOKENS)
    return mx.array(np.stack([row, row[::-1]]))


def cut(model: Any, places: list[int]) -> Floats:
    """The logits of `ids` fed in these pieces to one cache."""
    tokens, cache = ids(), make_prompt_cache(model)
    found = []
    for start, stop in pairwise(places):
        found.append(model(tokens[:, start:stop], cache))
        mx.eval(found[-1], [one.state for one in cache])
    assert all(one.size() == TOKENS and not one.empty() and one.nbytes for one in cache)
    return np.array(mx.concatenate(found, axis=1))


@pytest.mark.parametrize("name", CASES)
def test_a_text_has_the_same_logits_however_it_is_cut(name: str, workshop: Workshop) -> None:
    folder: Path = workshop.artifact(name, "fp32")
    with mx.stream(mx.cpu):
        model = loading.load(folder)
        whole = np.array(model(ids()))
        for told, places in CUTS.items():
            assert relative(cut(model, places), whole) < 1e-5, told
        # No token sees a later one, nor an entry whose group is not finished.
        for length in (1, 3, 4, 7, 8, 9, 33):
            assert relative(np.array(model(ids()[:, :length])), whole[:, :length]) < 1e-5, length


def test_its_cache_cannot_be_trimmed_and_says_so(workshop: Workshop) -> None:
    model = loading.load(workshop.artifact(CASES[0], "fp32"))
    assert not can_trim_prompt_cache(make_prompt_cache(model))


def test_in_bfloat16_what_joins_the_streams_and_chooses_stays_as_it_is_stored(workshop: Workshop) -> None:
    model = loading.load(workshop.artifact("deepseek_v4/orig", "bf16"))
    layer = model.model.layers[0]
    assert layer.attn_hc.fn.dtype == layer.mlp.gate.weight.dtype == mx.float32
    assert layer.mlp.gate.tid2eid.dtype == mx.int64
    assert layer.self_attn.q_a_proj.weight.dtype == mx.bfloat16


def test_deepseek_v4s_head_of_further_tokens_is_left_out_by_name(tmp_path: Path) -> None:
    folder = write(case("deepseek_v4/fp4_e8m0"), tmp_path / "source")
    path = folder / "model.safetensors"
    stored = read_stored(path)
    head = {name.replace("layers.4.", "mtp.0."): stored[name] for name in stored if name.startswith("layers.4.")}
    path.write_bytes(safetensors({**stored, **head}))
    edit_json(folder / "config.json", num_nextn_predict_layers=1)
    made = planned(look(folder), "4bit")
    dropped = {drop.name: drop.reason for drop in made.drops}
    assert any(name.startswith("mtp.0.ffn.experts.") for name in dropped)
    assert all(name.startswith("mtp.0.") and "multi-token-prediction" in why for name, why in dropped.items())
