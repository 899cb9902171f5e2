"""config.json that makes a loader build another model, or run code, or read tensors otherwise."""

from typing import Any

from tests.sabotage.bench import Broken, Sabotage, named, setting
from tests.sabotage.on_experts import EVERY

CHECK = "configuration"
QUANTIZED = ("8bit", "4bit", "moe-3bit", "mxfp4")


def _says_otherwise(broken: Broken, **values: object) -> None:
    for key in ("quantization", "quantization_config"):
        broken.config[key] = {**broken.config[key], **values}


def bits_other_than_the_tensors(broken: Broken) -> None:
    _says_otherwise(broken, bits=8 if broken.config["quantization"]["bits"] != 8 else 4)


def groups_other_than_the_tensors(broken: Broken) -> None:
    _says_otherwise(broken, group_size=96 - broken.config["quantization"]["group_size"])


def one_module_said_to_have_other_bits(broken: Broken) -> None:
    block = {"mode": "affine", "bits": 6, "group_size": 64}
    broken.say_quantized("model.layers.1.self_attn.o_proj", block)


def one_module_said_to_be_unquantized(broken: Broken) -> None:
    _says_otherwise(broken, **{"model.layers.0.self_attn.q_proj": False})


def override_under_another_prefix(broken: Broken) -> None:
    for key in ("quantization", "quantization_config"):
        block = broken.config[key]
        broken.config[key] = {
            name.replace("model.layers.0.mlp.gate", "layers.0.mlp.gate"): v for name, v in block.items()
        }


def the_two_quantization_blocks_disagree(broken: Broken) -> None:
    broken.config["quantization_config"] = {**broken.config["quantization_config"], "bits": 7}


def quantization_block_lost(broken: Broken) -> None:
    del broken.config["quantization"], broken.config["quantization_config"]


def field(
    key: str,
    value: object,
    issue: str,
    name: str,
    check: str = CHECK,
    subject: str | None = None,
    **settings: Any,
) -> Sabotage:
    where = f"config.json, {key}" if subject is None else subject
    return named(setting(**{key: value}), issue, check, where, name=name, **settings)


DEEPSEEK: dict[str, Any] = {"source": "deepseek_v3/hub", "variants": ("4bit",)}

SABOTAGES = (
    named(bits_other_than_the_tensors, "omlx #967", "bits", "weight", variants=QUANTIZED),
    named(groups_other_than_the_tensors, "omlx #967", "bits", "weight", variants=QUANTIZED),
    named(
        one_module_said_to_have_other_bits,
        "mlx-vlm #1079",
        "bits",
        "layers.1.self_attn.o_proj.weight",
        variants=("4bit",),
    ),
    named(
        one_module_said_to_be_unquantized,
        "mlx-vlm #1703",
        "bits",
        "layers.0.self_attn.q_proj.weight",
        variants=("4bit",),
    ),
    named(
        override_under_another_prefix,
        "mlx-vlm #1079",
        "bits",
        "layers.0.mlp.gate.weight",
        source="qwen2_moe/bf16",
        variants=("4bit",),
    ),
    named(the_two_quantization_blocks_disagree, "omlx #967", "bits", "quantization_config", variants=("4bit",)),
    named(quantization_block_lost, "mlx-vlm #1703", "bits", "weight", variants=("4bit", "mxfp4")),
    field("rope_theta", None, "mlx-lm #1197", "rope theta lost", subject="config.json", variants=EVERY),
    field("rope_theta", 10000.0, "mlx-lm #1197", "rope theta changed"),
    field("rope_scaling", {"rope_type": "linear", "factor": 4.0}, "mlx-lm #1442", "rope scaling added"),
    field("norm_topk_prob", False, "mlx-lm #1354", "norm topk prob flipped", variants=EVERY),
    field("num_experts_per_tok", 1, "llama.cpp #18980", "top k changed", variants=EVERY),
    field("num_experts_per_tok", 4, "llama.cpp #18980", "one expert more per token"),
    field("tie_word_embeddings", True, "mlx-lm #648", "tied although there is a head"),
    field("rms_norm_eps", 1e-5, "mlx-vlm #2041", "norm epsilon changed"),
    field("head_dim", 16, "mlx-vlm #2114", "head dim changed"),
    field(
        "num_attention_heads", 8, "mlx-vlm #2114", "number of heads changed", check=f"{CHECK}|shapes", subject=""
    ),
    field(
        "num_key_value_heads",
        4,
        "mlx-vlm #2114",
        "number of key heads changed",
        check=f"{CHECK}|shapes",
        subject="",
    ),
    field("hidden_act", "gelu", "llama.cpp #18980", "another activation", own=True),
    field("attention_bias", True, "mlx-vlm #1464", "attention bias claimed", own=True),
    field("architectures", ["Qwen2MoeForCausalLM"], "mlx-lm #661", "another architecture", own=True),
    field("dtype", "float16", "mlx-vlm #2053", "another dtype said", check="dtypes", own=True),
    field("decoder_sparse_step", 2, "mlx-lm #1354", "every second layer dense"),
    field(
        "mlp_only_layers", [1], "mlx-lm #1354", "one layer dense", check=f"{CHECK}|parameters present", subject=""
    ),
    field("num_hidden_layers", 1, "mlx-lm #1543", "a layer less", check=CHECK),
    field("model_type", "qwen2_moe", "llama.cpp #18980", "another class", subject="config.json"),
    field(
        "model_file",
        "model.py",
        "mlx-lm #1320",
        "model file named",
        check="config runs code|foreign code",
        subject="model",
    ),
    field(
        "auto_map",
        {"AutoModel": "x.Y"},
        "mlx-lm #1320",
        "auto map named",
        check="config runs code",
        subject="auto_map",
    ),
    field("eos_token_id", 77, "mlx-lm #1296", "end of text changed", check="token ids"),
    field("eos_token_id", None, "mlx-lm #1296", "end of text lost", check="token ids"),
    field("bos_token_id", 2, "mlx-lm #703", "start of text changed", check="token ids"),
    field("routed_scaling_factor", None, "mlx-lm #1883", "routed scaling factor lost", **DEEPSEEK),
    field("routed_scaling_factor", 1.0, "mlx-lm #1883", "routed scaling factor reset", **DEEPSEEK),
    field("norm_topk_prob", False, "mlx-lm #1354", "sigmoid weights not renormalised", **DEEPSEEK),
    field("n_group", 2, "mlx-lm #1883", "experts in two groups", **DEEPSEEK),
    field("n_shared_experts", 2, "mlx-lm #1543", "a shared expert more", **DEEPSEEK),
    field("first_k_dense_replace", 2, "mlx-lm #1543", "one more dense layer", **DEEPSEEK),
    field(
        "score_func", "softmax", "llama.cpp #18980", "softmax for sigmoid", source="afmoe/hub", variants=("4bit",)
    ),
    field(
        "layer_types",
        ["full_attention"] * 2,
        "mlx-lm #1883",
        "sliding window lost",
        source="gpt_oss/hub",
        variants=("4bit",),
    ),
    field(
        "sliding_window", 512, "mlx-lm #1883", "sliding window widened", source="gpt_oss/hub", variants=("4bit",)
    ),
)
