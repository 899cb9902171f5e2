from typing import Any

import pytest

from hubbot.checks.twins.shrinking import shrink

DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_size": 7168, "intermediate_size": 18432,
    "kv_lora_rank": 512, "moe_intermediate_size": 2048, "n_group": 8, "n_routed_experts": 256, "topk_group": 4,
    "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "eos_token_id": 1,
    "rope_scaling": {"type": "yarn", "factor": 40}, "rope_theta": 10000, "routed_scaling_factor": 2.5,
    "norm_topk_prob": True, "vocab_size": 129280,
}  # fmt: skip
NAMES = [f"model.layers.{i}.mlp.{'gate' if i >= 3 else 'up_proj'}.weight" for i in range(61)]


def test_sizes_shrink_and_switches_stay() -> None:
    small = shrink(DEEPSEEK, NAMES)
    kept = ("model_type", "first_k_dense_replace", "rope_scaling", "rope_theta", "routed_scaling_factor")
    assert {key: small[key] for key in kept} == {key: DEEPSEEK[key] for key in kept}
    assert small["num_hidden_layers"] == 4
    assert small["hidden_size"] <= 128
    assert small["vocab_size"] <= 256
    assert (small["num_attention_heads"], small["num_key_value_heads"]) == (4, 4)


def test_the_chosen_experts_fit_into_the_chosen_groups() -> None:
    small = shrink(DEEPSEEK, NAMES)
    per_group = small["n_routed_experts"] // small["n_group"]
    assert small["n_routed_experts"] % small["n_group"] == 0
    assert 1 < small["topk_group"] < small["n_group"]
    assert small["num_experts_per_tok"] < small["topk_group"] * per_group


def test_the_kind_of_head_sharing_stays() -> None:
    heads = {"hidden_size": 4096, "num_hidden_layers": 2, "num_attention_heads": 32}
    found = [shrink({**heads, "num_key_value_heads": shared}, [])["num_key_value_heads"] for shared in (32, 8, 1)]
    assert found == [4, 2, 1]


def test_what_is_small_already_does_not_grow() -> None:
    tiny = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    tiny |= {"num_experts": 4, "num_experts_per_tok": 1, "vocab_size": 50}
    assert shrink(tiny, []) == tiny


def test_a_decoder_inside_shrinks_with_its_tower_beside_it() -> None:
    config = {
        "model_type": "qwen3_vl_moe", "text_config": {**DEEPSEEK, "pad_token_id": 129000},
        "vision_config": {"depth": 27, "hidden_size": 1152, "out_hidden_size": 7168},
    }  # fmt: skip
    small = shrink(config, NAMES)
    assert small["text_config"]["num_hidden_layers"] == 4
    assert small["text_config"]["pad_token_id"] < small["text_config"]["vocab_size"]
    assert small["vision_config"]["depth"] == 1
    assert small["vision_config"]["out_hidden_size"] == small["text_config"]["hidden_size"]
    assert config["vision_config"] == {"depth": 27, "hidden_size": 1152, "out_hidden_size": 7168}


def test_lists_of_layers_and_of_layer_numbers_are_cut_together() -> None:
    small = shrink(
        {
            "hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 8, "mlp_only_layers": [0, 7],
            "layer_types": ["a", "b"] * 4, "linear_attn_config": {"kda_layers": [1, 2, 5], "head_dim": 4},
        },
        [],
    )  # fmt: skip
    assert small["num_hidden_layers"] == len(small["layer_types"]) == 2
    assert small["mlp_only_layers"] == [0]
    assert small["linear_attn_config"]["kda_layers"] == [1, 2]


def test_rotary_sections_fit_the_width_that_is_left() -> None:
    rope = {"mrope_section": [24, 20, 20], "long_factor": list(range(64)), "short_factor": list(range(64))}
    config = {"hidden_size": 2048, "num_attention_heads": 16, "head_dim": 128, "rope_parameters": rope}
    small = shrink(config, [])["rope_parameters"]
    assert sum(small["mrope_section"]) == len(small["long_factor"]) == len(small["short_factor"]) == 16


def test_sizes_that_a_config_keeps_inside_shrink_with_it() -> None:
    small = shrink(
        {
            "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "vocab_size": 100352,
            "attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
        },
        [f"transformer.blocks.{layer}.norm_attn_norm.norm_1.weight" for layer in range(40)],
    )  # fmt: skip
    assert (small["d_model"], small["n_heads"], small["n_layers"]) == (128, 4, 2)
    assert small["attn_config"] == {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 500000}
    assert small["ffn_config"] == {"ffn_hidden_size": 192, "moe_num_experts": 8, "moe_top_k": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"sliding_window": 4096, "max_position_embeddings": 4096},
        {"sliding_window": 131072, "max_position_embeddings": 4096},
        {"sliding_window": 512, "max_position_embeddings": 32768, "use_sliding_window": False},
    ],
)
def test_a_window_that_cannot_act_does_not_come_to_act(changes: dict[str, Any]) -> None:
    small = shrink({**DEEPSEEK, **changes}, NAMES)
    assert {key: small[key] for key in changes} == changes


def test_a_window_that_acts_shrinks_so_that_it_acts_within_the_twin() -> None:
    small = shrink({**DEEPSEEK, "sliding_window": 4096, "max_position_embeddings": 32768}, NAMES)
    assert small["sliding_window"] == 16


def test_the_rotated_part_of_a_head_keeps_its_share() -> None:
    config = {"hidden_size": 3072, "num_hidden_layers": 2, "num_attention_heads": 48, "head_dim": 128}
    small = shrink({**config, "rotary_dim": 64, "partial_rotary_factor": 0.5}, [])
    assert small["rotary_dim"] == small["head_dim"] // 2


def test_keys_that_repeat_another_shrink_with_it() -> None:
    small = shrink({**DEEPSEEK, "experts_per_token": 8, "head_dim": 128}, NAMES)
    assert small["experts_per_token"] == small["num_experts_per_tok"]
    assert small["head_dim"] == small["qk_nope_head_dim"]
