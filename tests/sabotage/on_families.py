"""What only some families have: router biases, shared experts, sinks, recurrences, folded norms, packing."""

import mlx.core as mx
import numpy as np

from tests.checkpoints_on_disk import floats, from_mlx
from tests.sabotage.bench import Broken, named
from tests.sabotage.sources import BLOCK, FP8, MTP, fp8_scales, mtp_layer

DEEPSEEK, QWEN2, GPT_OSS = "deepseek_v3/hub", "qwen2_moe/bf16", "gpt_oss/hub"
NEMOTRON, JAMBA, NEXT = "nemotron_h/hub", "jamba/bf16", "qwen3_next/hub"
ONE = ("4bit",)
BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"


def router_bias_rounded_to_bfloat16(broken: Broken) -> None:
    rounded = mx.array(floats(broken.tensors[BIAS])).astype(mx.bfloat16).astype(mx.float32)
    broken.tensors[BIAS] = from_mlx(rounded)


def router_bias_stored_as_bfloat16(broken: Broken) -> None:
    broken.tensors[BIAS] = from_mlx(mx.array(floats(broken.tensors[BIAS])).astype(mx.bfloat16))


def router_bias_dropped(broken: Broken) -> None:
    broken.drop(BIAS)


def router_bias_zeroed(broken: Broken) -> None:
    broken.change([BIAS], np.zeros_like)


def router_rounded_to_bfloat16(broken: Broken) -> None:
    name = "model.layers.1.mlp.gate.weight"
    broken.tensors[name] = from_mlx(mx.array(floats(broken.tensors[name])).astype(mx.bfloat16).astype(mx.float32))


def shared_expert_missing(broken: Broken) -> None:
    broken.drop(*[name for name in broken.tensors if "layers.2.mlp.shared_experts." in name])


def shared_expert_gate_and_up_swapped(broken: Broken) -> None:
    path = "model.layers.2.mlp.shared_experts"
    broken.swap(broken.module(f"{path}.gate_proj"), broken.module(f"{path}.up_proj"))


def latent_halves_exchanged(broken: Broken) -> None:
    path = "model.layers.1.self_attn"
    broken.edit(f"{path}.embed_q", lambda values: values[::-1])


def unembedding_transposed(broken: Broken) -> None:
    broken.edit("model.layers.0.self_attn.unembed_out", lambda values: values.swapaxes(1, 2))


def mtp_taken_for_the_last_layer(broken: Broken) -> None:
    for name, stored in mtp_layer().items():
        if name in broken.tensors:
            broken.tensors[name] = stored


def shared_expert_gate_missing(broken: Broken) -> None:
    broken.drop(*broken.module("model.layers.0.mlp.shared_expert_gate"))


def attention_biases_dropped(broken: Broken) -> None:
    broken.drop(*[name for name in broken.tensors if name.endswith("q_proj.bias")])


def attention_bias_negated(broken: Broken) -> None:
    broken.change(["model.layers.1.self_attn.k_proj.bias"], lambda bits: bits ^ np.uint16(0x8000))


def attention_sinks_dropped(broken: Broken) -> None:
    broken.drop(*[name for name in broken.tensors if name.endswith(".sinks")])


def attention_sinks_zeroed(broken: Broken) -> None:
    broken.change(["model.layers.1.self_attn.sinks"], np.zeros_like)


def expert_biases_dropped(broken: Broken) -> None:
    broken.drop(*[name for name in broken.tensors if "experts" in name and name.endswith("_proj.bias")])


def expert_biases_rotated(broken: Broken) -> None:
    name = "model.layers.0.mlp.experts.down_proj.bias"
    broken.change([name], lambda bits: np.roll(bits, 1, axis=0))


def interleaved_gate_up_split_in_halves(broken: Broken) -> None:
    for name in [n for n in broken.tensors if ".experts.gate_proj." in n and not n.endswith(".bias")]:
        other = name.replace("gate_proj", "up_proj")
        (dtype, one), (_, two) = broken.tensors[name], broken.tensors[other]
        woven = np.stack([one, two], axis=2).reshape(one.shape[0], -1, *one.shape[2:])
        for key, half in zip((name, other), np.split(woven, 2, axis=1), strict=True):
            broken.tensors[key] = (dtype, np.ascontiguousarray(half))


def _a_log(broken: Broken) -> str:
    return next(name for name in broken.tensors if name.endswith("A_log"))


def a_log_quantized_to_eight_bits(broken: Broken) -> None:
    name = _a_log(broken)
    values = floats(broken.tensors[name])
    step = np.ptp(values) / 255
    rounded = values.min() + np.round((values - values.min()) / step) * step
    kind = mx.float32 if broken.tensors[name][0] == "F32" else mx.bfloat16
    broken.tensors[name] = from_mlx(mx.array(rounded.astype(np.float32)).astype(kind))


def a_log_stored_in_sixteen_bits(broken: Broken) -> None:
    name = _a_log(broken)
    broken.tensors[name] = from_mlx(mx.array(floats(broken.tensors[name])).astype(mx.float16))


def convolution_reversed(broken: Broken) -> None:
    name = next(name for name in broken.tensors if "conv1d.weight" in name)
    broken.change([name], lambda bits: bits[:, ::-1])


def one_added_to_the_norms_twice(broken: Broken) -> None:
    for name, (dtype, _) in list(broken.tensors.items()):
        if "norm" in name and name.endswith("weight") and dtype == "BF16" and "linear_attn" not in name:
            values = floats(broken.tensors[name]) + 1
            broken.tensors[name] = from_mlx(mx.array(values).astype(mx.bfloat16))


def one_not_added_to_the_norms(broken: Broken) -> None:
    for name, (dtype, _) in list(broken.tensors.items()):
        if "norm" in name and name.endswith("weight") and dtype == "BF16" and "linear_attn" not in name:
            values = floats(broken.tensors[name]) - 1
            broken.tensors[name] = from_mlx(mx.array(values).astype(mx.bfloat16))


FP8_PATH = "model.layers.1.mlp.switch_mlp.up_proj"


def scale_inv_dropped(broken: Broken) -> None:
    scales = np.stack([fp8_scales(1, e, "up") for e in range(4)])
    spread = np.repeat(np.repeat(scales, BLOCK, axis=1), BLOCK, axis=2)
    broken.edit(FP8_PATH, lambda values: values / spread)


def scale_divided_instead_of_multiplied(broken: Broken) -> None:
    scales = np.stack([fp8_scales(1, e, "up") for e in range(4)])
    spread = np.repeat(np.repeat(scales, BLOCK, axis=1), BLOCK, axis=2)
    broken.edit(FP8_PATH, lambda values: values / spread / spread)


def wrong_fp8_block_size(broken: Broken) -> None:
    scales = np.stack([fp8_scales(1, e, "up") for e in range(4)])
    right = np.repeat(np.repeat(scales, BLOCK, axis=1), BLOCK, axis=2)
    wrong = np.repeat(np.repeat(scales, BLOCK // 2, axis=1), BLOCK // 2, axis=2)
    wrong = np.tile(wrong, (1, 2, 2))[:, : right.shape[1], : right.shape[2]]
    broken.edit(FP8_PATH, lambda values: values / right * wrong)


def scales_of_two_blocks_exchanged(broken: Broken) -> None:
    scales = np.stack([fp8_scales(1, e, "up") for e in range(4)])
    right = np.repeat(np.repeat(scales, BLOCK, axis=1), BLOCK, axis=2)
    wrong = np.repeat(np.repeat(scales.swapaxes(1, 2), BLOCK, axis=1), BLOCK, axis=2)
    broken.edit(FP8_PATH, lambda values: values / right * wrong)


SABOTAGES = (
    named(
        router_bias_rounded_to_bfloat16,
        "sglang #37133",
        "values",
        BIAS,
        source=DEEPSEEK,
        variants=("bf16", "4bit"),
    ),
    named(router_bias_stored_as_bfloat16, "sglang #31213", "dtypes", BIAS, source=DEEPSEEK, variants=ONE),
    named(router_bias_dropped, "mlx-lm #1354", "parameters present", BIAS, source=DEEPSEEK, variants=ONE),
    named(router_bias_zeroed, "mlx-lm #1354", "values", BIAS, source=DEEPSEEK, variants=ONE),
    named(
        router_rounded_to_bfloat16,
        "mlx-vlm #2053",
        "values",
        "layers.1.mlp.gate.weight",
        source=DEEPSEEK,
        variants=ONE,
    ),
    named(
        shared_expert_missing,
        "transformers #45930",
        "parameters present",
        "shared_experts",
        source=DEEPSEEK,
        variants=ONE,
    ),
    named(
        shared_expert_gate_and_up_swapped,
        "ROCmFPX #49",
        "contrast",
        "layers.2.mlp.shared_experts.gate_proj.weight",
        source=DEEPSEEK,
        variants=("bf16", "4bit"),
    ),
    named(
        latent_halves_exchanged,
        "mlx-lm #1192",
        "values",
        "layers.1.self_attn.embed_q.weight",
        source=DEEPSEEK,
        variants=("bf16", "4bit"),
    ),
    named(
        unembedding_transposed,
        "transformers #47031",
        "values",
        "layers.0.self_attn.unembed_out.weight",
        source=DEEPSEEK,
        variants=("bf16", "4bit"),
    ),
    named(
        mtp_taken_for_the_last_layer, "mlx-lm #1543", "values", "layers.2.", source=MTP, variants=("bf16", "4bit")
    ),
    named(
        shared_expert_gate_missing,
        "mlx-lm #1338",
        "parameters present",
        "layers.0.mlp.shared_expert_gate.weight",
        source=QWEN2,
        variants=("bf16", "4bit"),
    ),
    named(
        attention_biases_dropped,
        "mlx-vlm #1464",
        "parameters present",
        "q_proj.bias",
        source=QWEN2,
        variants=("bf16", "4bit"),
    ),
    named(
        attention_bias_negated,
        "mlx-vlm #1464",
        "values",
        "layers.1.self_attn.k_proj.bias",
        source=QWEN2,
        variants=ONE,
    ),
    named(attention_sinks_dropped, "mlx-lm #1338", "parameters present", "sinks", source=GPT_OSS, variants=ONE),
    named(
        attention_sinks_zeroed, "mlx-lm #1338", "values", "layers.1.self_attn.sinks", source=GPT_OSS, variants=ONE
    ),
    named(expert_biases_dropped, "mlx-lm #679", "parameters present", "_proj.bias", source=GPT_OSS, variants=ONE),
    named(
        expert_biases_rotated,
        "mlx-lm #679",
        "values",
        "layers.0.mlp.experts.down_proj.bias",
        source=GPT_OSS,
        variants=ONE,
    ),
    named(
        interleaved_gate_up_split_in_halves,
        "mlx-lm #1079",
        "contrast",
        "layers.0.mlp.experts.gate_proj.weight, expert 0",
        source=GPT_OSS,
        variants=("bf16", "4bit"),
    ),
    named(
        a_log_quantized_to_eight_bits, "omlx #913", "values", "A_log", source=NEMOTRON, variants=("bf16", "4bit")
    ),
    named(a_log_stored_in_sixteen_bits, "omlx #913", "dtypes", "A_log", source=JAMBA, variants=ONE),
    named(convolution_reversed, "omlx #913", "values", "conv1d.weight", source=JAMBA, variants=ONE),
    named(
        one_added_to_the_norms_twice,
        "mlx-lm #1623",
        "values",
        "layers.0.input_layernorm.weight",
        source=NEXT,
        variants=("bf16", "4bit"),
    ),
    named(
        one_not_added_to_the_norms,
        "mlx-lm #1735",
        "values",
        "layers.0.input_layernorm.weight",
        source=NEXT,
        variants=("bf16", "4bit"),
    ),
    named(
        scale_inv_dropped, "unsloth #6200", "values", f"{FP8_PATH}.weight", source=FP8, variants=("bf16", "4bit")
    ),
    named(
        scale_divided_instead_of_multiplied,
        "unsloth #6978",
        "values",
        f"{FP8_PATH}.weight",
        source=FP8,
        variants=ONE,
    ),
    named(
        wrong_fp8_block_size, "mlx-lm #1865", "values", f"{FP8_PATH}.weight", source=FP8, variants=("bf16", "4bit")
    ),
    named(
        scales_of_two_blocks_exchanged,
        "transformers #45930",
        "values",
        f"{FP8_PATH}.weight",
        source=FP8,
        variants=("bf16", "4bit"),
    ),
)
