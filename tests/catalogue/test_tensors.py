from typing import Any

import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.tensors import drop_reason, runtime_name

ZEROS = {"zero_expert_num": 3, "n_routed_experts": 6}


def test_rotary_frequencies_are_dropped_with_a_reason() -> None:
    assert "rope_theta" in (drop_reason("model.layers.0.self_attn.rotary_emb.inv_freq", {}) or "")


def test_a_tied_output_layer_is_dropped_and_an_untied_one_is_not() -> None:
    assert "tie_word_embeddings" in (drop_reason("lm_head.weight", {"tie_word_embeddings": True}) or "")
    assert drop_reason("lm_head.weight", {"tie_word_embeddings": False}) is None
    assert drop_reason("lm_head.weight", {}) is None


def test_nothing_else_is_dropped() -> None:
    names = [
        "model.norm.weight",
        "model.layers.61.eh_proj.weight",
        "lm_head.bias",
        "my_lm_head.weight",
        "lm_head.weight.x",
    ]
    assert [drop_reason(name, {"tie_word_embeddings": True}) for name in names] == [None] * 5


def test_the_moe_block_takes_the_runtimes_name_and_nothing_else_changes() -> None:
    mixtral = BY_MODEL_TYPE["mixtral"]
    expected = "model.layers.12.block_sparse_moe.gate.weight"
    assert runtime_name("model.layers.12.mlp.gate.weight", mixtral) == expected
    assert runtime_name(expected, mixtral) == expected
    for name in ("model.embed_tokens.weight", "model.layers.12.self_attn.q_proj.weight"):
        assert runtime_name(name, mixtral) == name
    qwen = BY_MODEL_TYPE["qwen3_moe"]
    assert runtime_name("model.layers.1.mlp.gate.weight", qwen) == "model.layers.1.mlp.gate.weight"


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("model.layers.3.mlp.experts.0.up_proj.weight", {"num_nextn_predict_layers": 1}, "prediction head"),
        ("model.layers.3.eh_proj.weight", {"num_nextn_predict_layers": 1}, "prediction head"),
        ("mtp.layers.0.mlp.experts.0.up_proj.weight", {}, "prediction head"),
        ("model.visual.blocks.0.attn.qkv.weight", {"text_config": {"num_experts": 6}}, "vision or audio tower"),
        ("vision_tower.layers.0.mlp.fc1.weight", {"text_config": {"num_experts": 6}}, "vision or audio tower"),
        (
            "model.layers.1.mlp.experts.6.up_proj.weight",
            {"zero_expert_num": 3, "n_routed_experts": 6},
            "zero expert",
        ),
    ],
)
def test_what_a_text_decoder_does_not_compute_is_dropped_with_the_reason(
    name: str, config: dict[str, Any], told: str
) -> None:
    assert told in str(drop_reason(name, {"num_hidden_layers": 3, **config}))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("model.layers.3.mlp.gate.weight", {}),
        ("model.layers.4.mlp.gate.weight", {"num_nextn_predict_layers": 1}),
        ("model.layers.2.mlp.gate.weight", {"num_nextn_predict_layers": 1}),
        ("model.visual.blocks.0.attn.qkv.weight", {}),
        ("model.layers.1.mlp.experts.9.up_proj.weight", ZEROS),
        ("model.layers.1.mlp.experts.6.up_proj.weight", {"n_routed_experts": 6}),
    ],
)
def test_what_no_config_announces_is_never_dropped(name: str, config: dict[str, Any]) -> None:
    assert drop_reason(name, {"num_hidden_layers": 3, **config}) is None
