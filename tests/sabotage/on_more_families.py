"""What only newer families have: joined projections, latent experts, indexers, long rope, windows, streams."""

from collections.abc import Callable

import mlx.core as mx
import numpy as np

from tests.checkpoints_on_disk import floats, from_mlx
from tests.sabotage.bench import Broken, Sabotage, named

K3, K3_LAYER = "kimi_k3/bf16", "language_model.model.layers.1"
LING, STEP, AXK1, ERNIE = "bailing_moe/bf16", "step3p5/bf16", "axk1/bf16", "ernie4_5_vl_moe/bf16"
SHARED, COHERE, LONG, HY = "glm_moe_dsa/shared/orig", "cohere2_moe/orig", "phimoe/longrope/orig", "hy_v3/bf16"
V4, V4_PACKED, V4_LAYER = "deepseek_v4/orig", "deepseek_v4/fp4_e8m0", "model.layers.2"
ONE = ("4bit",)
TEXT = "text_config"


def keys_and_values_exchanged_in_the_joined_projection(broken: Broken) -> None:
    def exchange(rows: np.ndarray) -> np.ndarray:
        queries, keys, values = np.split(rows, 3)
        return np.concatenate([queries, values, keys])

    broken.change(broken.module(f"{K3_LAYER}.self_attn.qkv_proj"), exchange)


def joined_convolutions_in_another_order(broken: Broken) -> None:
    broken.change(
        [f"{K3_LAYER}.self_attn.qkv_conv.conv.weight"], lambda bits: np.roll(bits, len(bits) // 3, axis=0)
    )


def decay_stored_as_bfloat16(broken: Broken) -> None:
    name = f"{K3_LAYER}.self_attn.A_log"
    broken.tensors[name] = from_mlx(mx.array(floats(broken.tensors[name])).astype(mx.bfloat16))


def latent_norm_of_the_experts_dropped(broken: Broken) -> None:
    broken.drop(f"{K3_LAYER}.mlp.routed_expert_norm.weight")


def latent_projections_of_two_layers_exchanged(broken: Broken) -> None:
    here, there = (
        f"{K3_LAYER}.mlp.routed_expert_down_proj",
        "language_model.model.layers.2.mlp.routed_expert_down_proj",
    )
    broken.swap(broken.module(here), broken.module(there))


def residuals_attend_by_the_other_half_of_a_layer(broken: Broken) -> None:
    broken.swap([f"{K3_LAYER}.self_attention_res_proj.weight"], [f"{K3_LAYER}.mlp_res_proj.weight"])


def rows_of_queries_and_keys_exchanged(broken: Broken) -> None:
    # Four heads of queries, two of keys, two of values, each 32 rows.
    broken.change(
        broken.module("model.layers.1.attention.query_key_value"),
        lambda rows: np.concatenate([rows[128:192], rows[:128], rows[192:]]),
    )


def one_not_added_to_the_norms_of_step(broken: Broken) -> None:
    for name in [name for name in broken.tensors if "norm" in name]:
        broken.tensors[name] = from_mlx(mx.array(floats(broken.tensors[name]) - 1).astype(mx.bfloat16))


def gates_of_the_heads_dropped(broken: Broken) -> None:
    broken.drop(*broken.module("model.layers.2.self_attn.g_proj"))


def norm_behind_the_experts_dropped(broken: Broken) -> None:
    broken.drop("model.layers.1.mlp.post_mlp_layernorm.weight")


def biases_of_the_experts_for_images_taken(broken: Broken) -> None:
    broken.change(["model.layers.1.mlp.expert_bias"], lambda bits: np.roll(bits, 1))


def one_token_sent_to_another_expert(broken: Broken) -> None:
    def send(table: np.ndarray) -> np.ndarray:
        # Each token has three of the eight experts: another than those takes the place of the first.
        table[5, 0] = next(expert for expert in range(8) if expert not in table[5])
        return table

    broken.change(["model.layers.1.mlp.gate.tid2eid"], send)


def streams_joined_as_before_the_other_half_of_a_layer(broken: Broken) -> None:
    parts = ("fn", "base", "scale")
    broken.swap(*([f"{V4_LAYER}.{half}_hc.{part}" for part in parts] for half in ("attn", "ffn")))


def sinks_of_the_window_and_of_entries_exchanged(broken: Broken) -> None:
    broken.swap(["model.layers.0.self_attn.sinks"], [f"{V4_LAYER}.self_attn.sinks"])


def places_of_tokens_in_a_group_exchanged(broken: Broken) -> None:
    broken.change([f"{V4_LAYER}.self_attn.compressor.position_bias"], lambda rows: rows[[1, 0, 2, 3]])


def indexer_and_entries_share_their_places(broken: Broken) -> None:
    compressor = f"{V4_LAYER}.self_attn.compressor"
    broken.swap([f"{compressor}.position_bias"], [f"{compressor}.indexer.position_bias"])


def own_group_taken_for_the_one_before(broken: Broken) -> None:
    broken.change(
        broken.module(f"{V4_LAYER}.self_attn.compressor.kv_proj"),
        lambda rows: np.roll(rows, len(rows) // 2, axis=0),
    )


def groups_of_output_heads_exchanged(broken: Broken) -> None:
    broken.change(broken.module(f"{V4_LAYER}.self_attn.o_a_proj"), lambda bits: bits[::-1])


def scale_of_a_group_in_fp4_off_by_one(broken: Broken) -> None:
    def raise_one(scales: np.ndarray) -> np.ndarray:
        scales[3, 7, 1] += 1
        return scales

    broken.change([f"{V4_LAYER}.mlp.switch_mlp.down_proj.scales"], raise_one)


def _setting(where: str, key: str, value: object) -> Callable[[Broken], None]:
    def change(broken: Broken) -> None:
        inner = broken.config[where] if where else broken.config
        assert inner[key] != value
        inner[key] = value

    return change


def _config(source: str, key: str, value: object, issue: str, name: str, where: str = "") -> Sabotage:
    mutation = _setting(where, key, value)
    return named(mutation, issue, "configuration", f"config.json, {key}", name=name, source=source, variants=ONE)


LINEAR = {
    "full_attn_layers": [3, 5], "gate_lower_bound": None, "head_dim": 32, "kda_layers": [1, 2, 4], "num_heads": 3,
    "short_conv_kernel_size": 4, "use_full_rank_gate": True,
}  # fmt: skip
V4_RATES = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
SABOTAGES = (
    named(
        keys_and_values_exchanged_in_the_joined_projection,
        "mlx-lm #1626",
        "values",
        f"{K3_LAYER}.self_attn.qkv_proj.weight",
        source=K3,
        variants=("bf16", "4bit"),
    ),
    named(
        joined_convolutions_in_another_order,
        "mlx-lm #1626",
        "values",
        f"{K3_LAYER}.self_attn.qkv_conv.conv.weight",
        source=K3,
        variants=ONE,
    ),
    named(decay_stored_as_bfloat16, "omlx #913", "dtypes", "A_log", source=K3, variants=ONE),
    named(
        latent_norm_of_the_experts_dropped,
        "mlx-lm #1626",
        "parameters present",
        "routed_expert_norm",
        source=K3,
        variants=ONE,
    ),
    named(
        latent_projections_of_two_layers_exchanged,
        "mlx-lm #1626",
        "values",
        f"{K3_LAYER}.mlp.routed_expert_down_proj.weight",
        source=K3,
        variants=("bf16", "4bit"),
    ),
    named(
        residuals_attend_by_the_other_half_of_a_layer,
        "mlx-lm #1626",
        "values",
        f"{K3_LAYER}.self_attention_res_proj.weight",
        source=K3,
        variants=ONE,
    ),
    named(
        rows_of_queries_and_keys_exchanged,
        "sglang-jax #240",
        "values",
        "layers.1.attention.query_key_value.weight",
        source=LING,
        variants=("bf16", "4bit"),
    ),
    named(
        one_not_added_to_the_norms_of_step,
        "mlx-engine #276",
        "values",
        "layers.0.input_layernorm.weight",
        source=STEP,
        variants=ONE,
    ),
    named(
        gates_of_the_heads_dropped,
        "mlx-engine #276",
        "parameters present",
        "layers.2.self_attn.g_proj",
        source=STEP,
        variants=ONE,
    ),
    named(
        norm_behind_the_experts_dropped,
        "mlx-lm #1338",
        "parameters present",
        "post_mlp_layernorm",
        source=AXK1,
        variants=ONE,
    ),
    named(
        biases_of_the_experts_for_images_taken,
        "mlx-lm #1354",
        "values",
        "layers.1.mlp.expert_bias",
        source=ERNIE,
        variants=ONE,
    ),
    named(
        one_token_sent_to_another_expert,
        "mlx-lm #1189",
        "values",
        "model.layers.1.mlp.gate.tid2eid",
        source=V4,
        variants=("bf16", "4bit"),
    ),
    named(
        streams_joined_as_before_the_other_half_of_a_layer,
        "mlx-lm #1189",
        "values",
        f"{V4_LAYER}.attn_hc.fn",
        source=V4,
        variants=ONE,
    ),
    named(
        sinks_of_the_window_and_of_entries_exchanged,
        "mlx-lm #1192",
        "values",
        "model.layers.0.self_attn.sinks",
        source=V4,
        variants=ONE,
    ),
    named(
        places_of_tokens_in_a_group_exchanged,
        "mlx-lm #1189",
        "values",
        f"{V4_LAYER}.self_attn.compressor.position_bias",
        source=V4,
        variants=ONE,
    ),
    named(
        indexer_and_entries_share_their_places,
        "mlx-lm #1189",
        "values",
        f"{V4_LAYER}.self_attn.compressor.indexer.position_bias",
        source=V4,
        variants=ONE,
    ),
    named(
        own_group_taken_for_the_one_before,
        "mlx-lm #1189",
        "values",
        f"{V4_LAYER}.self_attn.compressor.kv_proj.weight",
        source=V4,
        variants=("bf16", "4bit"),
    ),
    named(
        groups_of_output_heads_exchanged,
        "mlx-lm #1192",
        "values",
        f"{V4_LAYER}.self_attn.o_a_proj.weight",
        source=V4,
        variants=("bf16", "4bit"),
    ),
    named(
        scale_of_a_group_in_fp4_off_by_one,
        "mlx-lm #1192",
        "values",
        f"{V4_LAYER}.mlp.switch_mlp.down_proj.weight",
        source=V4_PACKED,
        variants=("mxfp4",),
    ),
    _config(K3, "attn_res_block_size", 3, "mlx-lm #1626", "residuals kept every third layer", TEXT),
    _config(K3, "activation_situ_beta", 4.0, "mlx-lm #1626", "bound of the activation changed", TEXT),
    _config(K3, "linear_attn_config", LINEAR, "mlx-lm #1626", "bound of the decay lost", TEXT),
    _config(K3, "num_experts_per_token", 2, "llama.cpp #18980", "one expert fewer per token", TEXT),
    _config(STEP, "swiglu_limits", [0.0] * 4, "mlx-engine #276", "limits of the activation lost"),
    _config(STEP, "moe_router_scaling_factor", 3.0, "mlx-engine #276", "scale of the router by default"),
    _config(LING, "rotary_dim", 32, "sglang-jax #240", "whole heads rotated"),
    _config(HY, "routed_scaling_factor", 1.0, "mlx-lm #1211", "scale of the router lost"),
    _config(V4, "o_groups", 1, "mlx-lm #1192", "heads of the output in one group"),
    _config(V4, "compress_rates", V4_RATES, "mlx-lm #1189", "groups of tokens of the default length"),
    _config(V4, "hc_sinkhorn_iters", 20, "mlx-lm #1189", "steps of the streams by default"),
    _config(V4, "routed_scaling_factor", 1.5, "mlx-lm #1189", "scale of the experts by default"),
    _config(V4, "compress_rope_theta", 160000.0, "mlx-lm #1189", "base of the entries by default"),
    _config(
        SHARED,
        "indexer_types",
        ["full", "shared", "full", "shared", "shared", "full"],
        "mlx-lm #1418",
        "layers that choose moved",
    ),
    _config(COHERE, "layer_types", ["full_attention"] * 5, "mlx-lm #1340", "windows forgotten"),
    _config(COHERE, "expert_selection_fn", "sigmoid", "mlx-lm #1340", "scores of another function"),
    _config(LONG, "original_max_position_embeddings", 4096, "mlx-lm #1442", "long factors never taken"),
)
