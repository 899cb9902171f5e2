"""Everything but experts: routers, attention, norms, embeddings, damaged, exchanged, lost or doubled."""

import mlx.core as mx
import numpy as np

from tests.checkpoints_on_disk import floats, from_mlx
from tests.sabotage.bench import Broken, named
from tests.sabotage.on_experts import EVERY

SQUARE_HEADS = "qwen2_moe/bf16"
ROUTER = "model.layers.0.mlp.gate"


def router_rows_permuted(broken: Broken) -> None:
    broken.change(broken.module(ROUTER), lambda bits: bits[::-1])


def two_router_rows_exchanged(broken: Broken) -> None:
    broken.change(broken.module("model.layers.1.mlp.gate"), lambda bits: bits[[1, 0, *range(2, len(bits))]])


def _router_at(bits: int, broken: Broken) -> None:
    block = {"mode": "affine", "bits": bits, "group_size": 64}
    broken.store(ROUTER, broken.values(ROUTER), block)
    broken.say_quantized(ROUTER, block)


def router_quantized_to_two_bits(broken: Broken) -> None:
    _router_at(2, broken)


def router_quantized_to_four_bits(broken: Broken) -> None:
    _router_at(4, broken)


def layers_exchanged(broken: Broken) -> None:
    for name in list(broken.tensors):
        if name.startswith("model.layers.0."):
            broken.swap([name], [name.replace("layers.0.", "layers.1.")])


def keys_and_values_exchanged(broken: Broken) -> None:
    path = "model.layers.1.self_attn."
    broken.swap(broken.module(f"{path}k_proj"), broken.module(f"{path}v_proj"))


def queries_and_outputs_exchanged(broken: Broken) -> None:
    path = "model.layers.0.self_attn."
    broken.swap(broken.module(f"{path}q_proj"), broken.module(f"{path}o_proj"))


def output_projection_transposed(broken: Broken) -> None:
    broken.edit("model.layers.0.self_attn.o_proj", lambda values: values.T)


def heads_of_the_queries_rotated(broken: Broken) -> None:
    size = broken.config["head_dim"]
    broken.change(broken.module("model.layers.1.self_attn.q_proj"), lambda bits: np.roll(bits, size, axis=0))


def two_norms_exchanged(broken: Broken) -> None:
    path = "model.layers.0."
    broken.swap([f"{path}input_layernorm.weight"], [f"{path}post_attention_layernorm.weight"])


def norms_of_two_layers_exchanged(broken: Broken) -> None:
    name = "model.layers.{}.self_attn.q_norm.weight"
    broken.swap([name.format(0)], [name.format(1)])


def one_added_to_a_norm(broken: Broken) -> None:
    values = floats(broken.tensors["model.norm.weight"]) + 1
    broken.tensors["model.norm.weight"] = from_mlx(mx.array(values).astype(mx.bfloat16))


def a_norm_stored_in_another_dtype(broken: Broken) -> None:
    values = floats(broken.tensors["model.norm.weight"])
    broken.tensors["model.norm.weight"] = from_mlx(mx.array(values).astype(mx.float16))


def every_plain_tensor_in_float16(broken: Broken) -> None:
    for name, (dtype, _) in list(broken.tensors.items()):
        if dtype == "BF16":
            values = floats(broken.tensors[name])
            broken.tensors[name] = from_mlx(mx.array(values).astype(mx.float16))


def embedding_rows_rotated(broken: Broken) -> None:
    broken.change(broken.module("model.embed_tokens"), lambda bits: np.roll(bits, 1, axis=0))


def two_rows_of_the_embedding_exchanged(broken: Broken) -> None:
    order = np.arange(broken.config["vocab_size"])
    order[[5, 99]] = order[[99, 5]]
    broken.change(broken.module("model.embed_tokens"), lambda bits: bits[order])


def embedding_and_head_exchanged(broken: Broken) -> None:
    broken.swap(broken.module("model.embed_tokens"), broken.module("lm_head"))


def vocabulary_padded(broken: Broken) -> None:
    for path in ("model.embed_tokens", "lm_head"):
        broken.change(broken.module(path), lambda bits: np.concatenate([bits, bits[:8]]))
    broken.config["vocab_size"] += 8


def nan_in_a_norm(broken: Broken) -> None:
    broken.tensors["model.norm.weight"][1][5] = 0x7FC0


def infinity_in_a_norm(broken: Broken) -> None:
    broken.tensors["model.layers.1.input_layernorm.weight"][1][0] = 0x7F80


def one_column_scaled(broken: Broken) -> None:
    broken.edit(
        "model.layers.0.self_attn.o_proj", lambda values: values * np.where(np.arange(values.shape[1]) == 9, 2, 1)
    )


def one_sign_flipped_in_the_head(broken: Broken) -> None:
    def flip(values: np.ndarray) -> np.ndarray:
        place = np.unravel_index(np.abs(values).argmax(), values.shape)
        values[place] = -values[place]
        return values

    broken.edit("lm_head", flip)


def lm_head_missing(broken: Broken) -> None:
    broken.drop(*broken.module("lm_head"))


def a_norm_missing(broken: Broken) -> None:
    broken.drop("model.layers.1.self_attn.k_norm.weight")


def a_tensor_too_many(broken: Broken) -> None:
    broken.tensors["model.layers.0.mlp.magic.weight"] = broken.tensors["model.norm.weight"]


def a_layer_too_many(broken: Broken) -> None:
    for name in list(broken.tensors):
        if name.startswith("model.layers.1."):
            broken.tensors[name.replace("layers.1.", "layers.2.")] = broken.tensors[name]
    broken.config["num_hidden_layers"] += 1


def scales_without_their_biases(broken: Broken) -> None:
    broken.drop("model.layers.0.self_attn.v_proj.biases")


SABOTAGES = (
    named(router_rows_permuted, "hipfire #171", "values", "layers.0.mlp.gate.weight", variants=EVERY),
    named(two_router_rows_exchanged, "hipfire #171", "values", "layers.1.mlp.gate.weight", variants=EVERY),
    named(router_quantized_to_two_bits, "mlx-lm #349", "router bits", "layers.0.mlp.gate.weight", variants=EVERY),
    named(
        router_quantized_to_four_bits, "hipfire #180", "router bits", "layers.0.mlp.gate.weight", variants=EVERY
    ),
    named(layers_exchanged, "mlx-lm #1543", "contrast", "layers.0.self_attn.q_proj.weight", variants=EVERY),
    named(
        keys_and_values_exchanged, "mlx-vlm #1548", "contrast", "layers.1.self_attn.k_proj.weight", variants=EVERY
    ),
    named(
        queries_and_outputs_exchanged,
        "mlx-vlm #1548",
        "contrast",
        "layers.0.self_attn.q_proj.weight",
        source=SQUARE_HEADS,
    ),
    named(
        output_projection_transposed,
        "transformers #47031",
        "contrast",
        "layers.0.self_attn.o_proj.weight",
        source=SQUARE_HEADS,
    ),
    named(
        heads_of_the_queries_rotated, "mlx-lm #1354", "values", "layers.1.self_attn.q_proj.weight", variants=EVERY
    ),
    named(two_norms_exchanged, "mlx-vlm #2041", "contrast", "layers.0.input_layernorm.weight", variants=EVERY),
    named(
        norms_of_two_layers_exchanged,
        "mlx-vlm #2041",
        "contrast",
        "layers.0.self_attn.q_norm.weight",
        variants=EVERY,
    ),
    named(one_added_to_a_norm, "mlx-lm #1197", "values", "model.norm.weight", variants=EVERY),
    named(a_norm_stored_in_another_dtype, "mlx-vlm #2053", "dtypes|values", "model.norm.weight"),
    named(
        every_plain_tensor_in_float16, "mlx-vlm #2053", "dtypes|values", "model.norm.weight", variants=("bf16",)
    ),
    named(embedding_rows_rotated, "transformers #48206", "values", "embed_tokens.weight", variants=EVERY),
    named(
        two_rows_of_the_embedding_exchanged, "transformers #48206", "values", "embed_tokens.weight", variants=EVERY
    ),
    named(embedding_and_head_exchanged, "mlxcel #132", "contrast", "embed_tokens.weight", variants=EVERY),
    named(vocabulary_padded, "mlx-vlm #459", "configuration", "config.json, vocab_size", variants=EVERY),
    named(nan_in_a_norm, "mlx-vlm #778", "finite", "model.norm.weight", variants=EVERY),
    named(infinity_in_a_norm, "mlx-vlm #778", "finite", "layers.1.input_layernorm.weight"),
    named(one_column_scaled, "mlx-lm #1192", "values", "layers.0.self_attn.o_proj.weight", variants=EVERY),
    named(one_sign_flipped_in_the_head, "huggingface_hub #3747", "values", "lm_head.weight", variants=EVERY),
    named(lm_head_missing, "mlx-lm #722", "parameters present", "lm_head.weight", variants=EVERY),
    named(a_norm_missing, "mlx-lm #1298", "parameters present", "layers.1.self_attn.k_norm.weight"),
    named(a_tensor_too_many, "mlx-vlm #1329", "no other tensors", "layers.0.mlp.magic.weight", variants=EVERY),
    named(a_layer_too_many, "mlx-lm #1543", "configuration", "config.json, num_hidden_layers"),
    named(
        scales_without_their_biases, "omlx #967", "readable|parameters present|strict load", "", variants=("4bit",)
    ),
)
