"""HunYuan end to end: a bias is used or refused by name, and a tokenizer that is only code becomes a file.

A published note 'fixed' loading this family by dropping every bias and swapping RMSNorm for LayerNorm.
"""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest

from hubbot.errors import ConfigUnresolved, HubbotError, IncompleteCover, NeedsHuman
from tests.catalogue.tokenizers.test_hunyuan_tokenizer import CODE, TOKENS, by_hand
from tests.catalogue.tokenizers.tiktoken_vocabularies import vocabulary
from tests.checkpoints_on_disk import (
    Stored,
    answer,
    converted,
    judged,
    look,
    planned,
    read_folder,
    relative,
    safetensors,
)
from tests.reference.checkpoints import case, write


def source(folder: Path, name: str, config: dict[str, Any], tensors: Stored) -> Path:
    """The reference `name` with other config values and further tensors."""
    write(case(name), folder)
    told = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "model.safetensors").write_bytes(safetensors(read_folder(folder) | tensors))
    return folder


def ones(*shape: int) -> tuple[str, Any]:
    return "F32", np.ones(shape, np.float32).view(np.uint32)


@pytest.mark.parametrize("name", ["hunyuan/renormalised/orig", "hunyuan/fused/orig"])
def test_biases_of_attention_are_used(name: str, tmp_path: Path) -> None:
    folder = write(case(name), tmp_path / "source")
    biases = {key for key in read_folder(folder) if key.endswith(".bias")}
    assert biases
    made = converted(look(folder), tmp_path / "out", "fp32")["fp32"]
    model, *_ = mlx_lm.utils.load_model(made, trust_remote_code=True)
    assert relative(answer(model, case(name).ids), case(name).logits) < 1e-5
    layer = model.layers[0].self_attn
    layer.q_proj.bias = mx.zeros_like(layer.q_proj.bias)
    assert relative(answer(model, case(name).ids), case(name).logits) > 1e-3


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        ("model.layers.0.self_attn.q_proj.bias", (64,)),
        ("model.layers.1.input_layernorm.bias", (64,)),
        ("model.norm.bias", (64,)),
        ("model.layers.0.self_attn.query_layernorm.bias", (16,)),
        ("model.layers.0.mlp.gate.wg.bias", (4,)),
        ("model.layers.1.mlp.experts.2.up_proj.bias", (128,)),
    ],
)
def test_a_bias_that_the_config_does_not_speak_of_is_refused_by_name(
    tensor: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    folder = source(tmp_path / "source", "hunyuan/orig", {}, {tensor: ones(*shape)})
    with pytest.raises(HubbotError) as caught:
        converted(look(folder), tmp_path / "out", "fp32")
    assert caught.value.exit_code == 4
    assert tensor in str(caught.value)


def test_a_bias_that_the_config_promises_and_nobody_stored_is_refused_by_name(tmp_path: Path) -> None:
    folder = source(tmp_path / "source", "hunyuan/orig", {"attention_bias": True}, {})
    with pytest.raises(IncompleteCover, match=r"self_attn\.q_proj\.bias"):
        planned(look(folder), "fp32")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"norm_type": "layernorm"}, "norm_type = 'layernorm'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "fixed alpha"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0, "alpha": 3.0}}, "fixed alpha"),
        ({"moe_drop_tokens": True}, "moe_drop_tokens = True"),
        ({"norm_topk_prob": False}, "norm_topk_prob = False"),
        ({"use_mla": True}, "use_mla = True"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"moe_topk": [1, 2, 1, 1]}, r"moe_topk = \[1, 2, 1, 1\]"),
    ],
)
def test_a_flag_that_would_change_the_function_is_refused_by_name_and_value(
    config: dict[str, Any], told: str, tmp_path: Path
) -> None:
    folder = source(tmp_path / "source", "hunyuan/orig", config, {})
    with pytest.raises(ConfigUnresolved, match=told):
        look(folder)


def test_values_given_once_a_layer_are_one_value(tmp_path: Path) -> None:
    lists = {"moe_topk": [1] * 4, "num_shared_expert": [1] * 4, "moe_intermediate_size": [128] * 4}
    folder = source(tmp_path / "source", "hunyuan/orig", lists, {})
    made = converted(look(folder), tmp_path / "out", "fp32")["fp32"]
    written = json.loads((made / "config.json").read_text())
    assert {key: written[key] for key in lists} == {key: value[0] for key, value in lists.items()}


def test_a_tokenizer_that_is_only_code_becomes_a_file_and_the_repo_is_approved(tmp_path: Path) -> None:
    folder = write(case("hunyuan/orig"), tmp_path / "source")
    (folder / "hy.tiktoken").write_bytes(vocabulary(TOKENS))
    (folder / "tokenization_hy.py").write_text(CODE)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "HYTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_hy.HYTokenizer"]}}
        )
    )
    found = look(folder)
    made = converted(found, tmp_path / "out", "fp32")["fp32"]
    assert sorted(path.name for path in made.glob("*.py")) == ["hunyuan.py"]
    assert judged(found, made).verdict == "approved"
    _, tokenizer, *_ = mlx_lm.load(str(made), trust_remote_code=True)
    assert tokenizer.encode("a fox doesn't jump") == by_hand("a fox doesn't jump")


def test_a_tokenizer_that_is_other_code_parks_the_conversion(tmp_path: Path) -> None:
    folder = write(case("hunyuan/orig"), tmp_path / "source")
    (folder / "hy.tiktoken").write_bytes(vocabulary(TOKENS))
    (folder / "tokenization_hy.py").write_text(CODE.replace("NFC", "NFD"))
    with pytest.raises(NeedsHuman, match="NFC"):
        converted(look(folder), tmp_path / "out", "fp32")
    assert not (tmp_path / "out" / "fp32").exists()
