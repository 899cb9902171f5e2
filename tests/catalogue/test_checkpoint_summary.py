from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubbot.catalogue.checkpoint_summary import Portrait, portrait
from hubbot.catalogue.resolution import expert_count
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.folders import Folder
from hubbot.steps.inspect import inspect
from tests.reference.checkpoints import case, write


def of(name: str, folder: Path) -> tuple[Checkpoint, Portrait]:
    checkpoint = inspect(Folder(write(case(name), folder)))
    return checkpoint, portrait(checkpoint)


@pytest.mark.parametrize(
    ("name", "shared", "vision", "tied"),
    [
        ("qwen3_moe/hub", 0, False, False),
        ("qwen2_moe/hub", 1, False, False),
        ("deepseek_v3/hub", 1, False, False),
        ("mixtral/tied/hub", 0, False, True),
        ("granitemoe/tied/hub", 0, False, True),
        ("qwen3_vl_moe/orig", 0, True, False),
    ],
)
def test_what_transformers_saved_is_recognised(
    name: str, shared: int, vision: bool, tied: bool, tmp_path: Path
) -> None:
    _, seen = of(name, tmp_path)
    assert (seen.shared_experts > 0) is (shared > 0)
    assert (seen.vision, seen.tied, seen.mtp) == (vision, tied, False)


def test_active_parameters_are_the_whole_without_the_experts_not_chosen(tmp_path: Path) -> None:
    checkpoint, seen = of("qwen3_moe/hub", tmp_path)
    each = {name: info.elements for name, info in checkpoint.tensors.items() if ".experts." in name}
    config = checkpoint.config
    assert seen.total == sum(info.elements for info in checkpoint.tensors.values())
    unused = (
        config["num_local_experts" if "num_local_experts" in config else "num_experts"]
        - config["num_experts_per_tok"]
    )
    alone = sum(size for name, size in each.items() if ".experts.0." in name)
    assert seen.active == seen.total - unused * alone


def with_tensors(checkpoint: Checkpoint, *names: str) -> Checkpoint:
    made = {name: TensorInfo(name=name, dtype="BF16", shape=(2,), shard="x", start=0, end=4) for name in names}
    return replace(checkpoint, tensors={**checkpoint.tensors, **made})


@pytest.mark.parametrize(
    "name", ["mtp.layers.0.mlp.gate.weight", "model.mtp.fc.weight", "model.layers.2.eh_proj.weight"]
)
def test_a_head_that_predicts_further_is_seen_by_its_tensors(name: str, tmp_path: Path) -> None:
    checkpoint, seen = of("qwen3_moe/hub", tmp_path)
    assert not seen.mtp
    assert portrait(with_tensors(checkpoint, name)).mtp


def test_a_head_that_is_only_claimed_is_not_there(tmp_path: Path) -> None:
    checkpoint, _ = of("qwen3_moe/hub", tmp_path)
    claimed = replace(checkpoint, config={**checkpoint.config, "num_nextn_predict_layers": 1})
    assert not portrait(claimed).mtp


def test_shared_experts_are_counted_by_config_else_by_number(tmp_path: Path) -> None:
    checkpoint, _ = of("qwen3_moe/hub", tmp_path)
    several = with_tensors(
        checkpoint, *(f"model.layers.0.mlp.shared_experts.{n}.up_proj.weight" for n in range(3))
    )
    assert portrait(several).shared_experts == 3
    said = replace(several, config={**several.config, "n_shared_experts": 2})
    assert portrait(said).shared_experts == 2


def test_packed_weights_are_counted_by_what_they_hold(tmp_path: Path) -> None:
    checkpoint, _ = of("qwen3_moe/hub", tmp_path)
    unknown = replace(checkpoint, config={**checkpoint.config, "quantization_config": {"quant_method": "never"}})
    assert portrait(unknown).total == portrait(checkpoint).total


@pytest.mark.parametrize(
    "config",
    [
        {"num_experts": 8},
        {"num_local_experts": 8},
        {"n_routed_experts": 8},
        {"moe_num_experts": 8},
        {"text_config": {"num_experts": 8}},
        {"ffn_config": {"moe_num_experts": 8}},
        {"thinker_config": {"text_config": {"num_experts": 8}}},
        {"language_config": {"n_routed_experts": 8}},
        {"llm_config": {"num_experts": 8}},
    ],
    ids=str,
)
def test_the_number_of_experts_is_found_wherever_configs_hide_it(config: dict[str, Any]) -> None:
    found = expert_count(config)
    assert found is not None
    assert found[1] == 8
    assert expert_count({"num_experts": True, "text_config": None}) is None
