import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model

from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.finishing import config_of, write_json
from tests.checkpoints_on_disk import Workshop, planned, read_folder, workshop
from tests.reference.checkpoints import case

__all__ = ["workshop"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_stock_mlx_lm_builds_the_layers_that_the_config_describes(variant: str, workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", variant)
    with mx.stream(mx.cpu):
        model, _ = load_model(folder, lazy=True, strict=True)
    config = json.loads((folder / "config.json").read_text())
    block = config.get("quantization", {})
    for path, module in model.named_modules():
        if not hasattr(module, "bits"):
            assert path not in block
            continue
        said = block.get(path, block)
        assert (module.bits, module.group_size, module.mode) == (said["bits"], said["group_size"], said["mode"])


def test_the_default_block_is_the_experts_and_only_exceptions_are_listed(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/bf16")
    plan = planned(source, "moe-3bit")
    block = config_of(plan, plan.variants[0])["quantization"]
    assert {key: block[key] for key in ("mode", "bits", "group_size")} == {
        "mode": "affine",
        "bits": 3,
        "group_size": 64,
    }
    others = {path: item for path, item in block.items() if isinstance(item, dict)}
    assert "lm_head" in others
    assert not any("switch_mlp" in path for path in others)
    assert all(item["bits"] == 8 for item in others.values())


def test_plain_variants_have_no_quantization_and_say_their_dtype(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/bf16")
    for name, dtype in (("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")):
        plan = planned(source, name)
        config = config_of(plan, plan.variants[0])
        assert config["dtype"] == dtype
        assert "quantization" not in config
        assert "quantization_config" not in config


def test_both_keys_of_the_quantization_say_the_same(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", "nvfp4")
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization"] == config["quantization_config"]
    stored = read_folder(folder)
    scaled = {name.removesuffix(".global_scale") for name in stored if name.endswith(".global_scale")}
    assert scaled == {
        path for path, item in config["quantization"].items() if isinstance(item, dict) and "global_scale" in item
    }
    experts = case("qwen3_moe/bf16").config["num_local_experts"]
    assert all(stored[f"{path}.global_scale"][1].shape == (experts,) for path in scaled)
    assert np.prod([len(scaled)]) == 6


def test_json_is_stable_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text("utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
