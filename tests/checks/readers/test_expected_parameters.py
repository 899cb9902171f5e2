from pathlib import Path

import numpy as np
import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from tests.checkpoints_on_disk import Workshop, look, read_stored, safetensors
from tests.checks.values.test_alternatives import expectations
from tests.reference.checkpoints import case, tensors, write


@pytest.mark.parametrize("form", ["orig", "v5", "hub", "sharded"])
@pytest.mark.parametrize("projection", ["gate", "up", "down"])
def test_every_form_gives_the_same_expert_as_transformers_spells_it(
    form: str, projection: str, workshop: Workshop
) -> None:
    held = tensors(case("qwen3_moe/orig"))
    found = expectations(f"qwen3_moe/{form}", workshop)
    parameter = f"model.layers.1.mlp.switch_mlp.{projection}_proj.weight"
    place = found.place(parameter)
    assert place == ExpertPlace(prefix="model.layers.1", projection=projection)
    assert found.experts_at(place) == 8
    for expert in range(8):
        key = f"model.layers.1.mlp.experts.{expert}.{projection}_proj.weight"
        assert np.array_equal(found.expert(place, expert), held[key])
    assert found.source_dtype(parameter) == "F32"


def test_a_plain_parameter_gives_its_own_rows(workshop: Workshop) -> None:
    found = expectations("mixtral/v5", workshop)
    held = tensors(case("mixtral/v5"))
    name = "model.layers.0.block_sparse_moe.gate.weight"
    assert found.place(name) is None
    assert found.source_name(name) == "model.layers.0.mlp.gate.weight"
    assert np.array_equal(found.rows(name, 2, 5), held["model.layers.0.mlp.gate.weight"][2:5])


def test_what_nobody_holds_is_listed(workshop: Workshop) -> None:
    found = expectations("qwen3_moe/hub", workshop)
    every = {
        f"model.layers.{layer}.mlp.switch_mlp.{part}_proj.weight"
        for layer in (0, 1)
        for part in ("gate", "up", "down")
    }
    plain = {name for name in tensors(case("qwen3_moe/hub")) if ".experts." not in name}
    assert found.unused(every | plain) == []
    assert found.unused((every | plain) - {"model.norm.weight"}) == ["model.norm.weight"]
    lost = found.unused(plain)
    assert len(lost) == 2 * 8 * 3


def test_a_lost_projection_of_a_layer_is_listed(workshop: Workshop) -> None:
    found = expectations("qwen3_moe/hub", workshop)
    every = {
        f"model.layers.{layer}.mlp.switch_mlp.{part}_proj.weight"
        for layer in (0, 1)
        for part in ("gate", "up", "down")
    }
    plain = {name for name in tensors(case("qwen3_moe/hub")) if ".experts." not in name}
    assert len(found.unused((every | plain) - {"model.layers.1.mlp.switch_mlp.up_proj.weight"})) == 8


def test_a_tied_output_layer_is_dropped_by_rule(tmp_path: Path) -> None:
    folder = write(case("qwen3_moe/tied/hub"), tmp_path)
    stored = read_stored(folder / "model.safetensors")
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"]
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    source = look(folder)
    found = Expectations(folder, source.checkpoint, BY_MODEL_TYPE["qwen3_moe"], source.checkpoint.config)
    assert set(found.dropped) == {"lm_head.weight"}
    # A class that keeps an output layer of its own would be given the embedding; this one has none.
    assert found.source_name("lm_head.weight") == "model.embed_tokens.weight"
    assert found.copied(["model.embed_tokens.weight"]) is None
    assert found.copied(["model.embed_tokens.weight", "lm_head.weight"]) == "model.embed_tokens.weight"
