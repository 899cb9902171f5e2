from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from hubbot.runtime import layerwise, loading
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop, answer, stock_model

IDS = np.random.default_rng(1).integers(3, 100, (3, 40))


def quietly(_index: int, _layers: int, _hidden: Any) -> None:
    pass


@pytest.mark.parametrize("variant", ["bf16", "4bit"])
@pytest.mark.parametrize(
    "name", [made.name for made in CONVERTIBLE if made.form == "orig" and made.model == "base"]
)
def test_layer_by_layer_gives_the_very_logits_of_the_whole_model(
    name: str, variant: str, workshop: Workshop
) -> None:
    folder = workshop.artifact(name, variant)
    whole = stock_model(folder)
    whole.set_dtype(mx.float32)
    with mx.stream(mx.cpu):
        rows = list(layerwise.open_artifact(folder).logits(IDS, quietly))
    for ids, logits in zip(IDS, rows, strict=True):
        assert np.allclose(logits, answer(whole, ids), rtol=0, atol=1e-5 * np.abs(logits).max())


def test_every_layer_is_told_with_its_hidden_states_and_holds_no_weights_afterwards(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/dense_layers/hub", "4bit")
    model = loading.load(folder)
    _, layers = layerwise.layer_list(model)
    run = layerwise.LayerwiseModel(model, layerwise.StoredArrays(folder))
    told: list[tuple[int, int, tuple[int, ...]]] = []
    list(run.logits(IDS, lambda index, layers, hidden: told.append((index, layers, hidden.shape))))
    assert told == [(index, 4, (3, 40, 96)) for index in range(4)]
    held = [array.size for stage in layers for _, array in tree_flatten(stage.parameters())]
    assert set(held) == {1}


def test_only_the_weights_of_one_layer_are_asked_for_at_a_time(workshop: Workshop) -> None:
    folder = workshop.artifact("mixtral/hub", "bf16")
    stored = layerwise.StoredArrays(folder)
    asked: list[list[str]] = []

    def fetch(names: list[str]) -> Iterable[tuple[str, Any]]:
        asked.append(names)
        return stored(names)

    model = layerwise.LayerwiseModel(loading.load(folder), fetch)
    list(model.logits(IDS, quietly))
    rest, *layers = asked
    assert not any(".layers." in name for name in rest)
    assert [{name.split(".")[2] for name in names} for names in layers] == [{"0"}, {"1"}]


def test_the_layer_list_is_the_longest_one_that_no_layer_holds() -> None:
    outer, tower, decoder = nn.Module(), nn.Module(), nn.Module()
    tower.parts = [nn.Module() for _ in range(2)]
    decoder.parts = [nn.Module() for _ in range(3)]
    decoder.parts[0].experts = [nn.Module() for _ in range(9)]
    outer.tower, outer.decoder = tower, decoder
    path, layers = layerwise.layer_list(outer)
    assert (path, len(layers)) == ("decoder.parts", 3)


def test_shards_are_read_by_name_wherever_a_tensor_lies(workshop: Workshop, tmp_path: Path) -> None:
    stored = layerwise.StoredArrays(workshop.artifact("qwen3_moe/hub", "4bit"))
    found = dict(stored(["model.norm.weight", "model.layers.0.self_attn.q_proj.scales"]))
    assert set(found) == {"model.norm.weight", "model.layers.0.self_attn.q_proj.scales"}
    with pytest.raises(KeyError):
        dict(layerwise.StoredArrays(tmp_path)(["model.norm.weight"]))
