"""Ways to break a good artifact that leave it plausible: one small function each.

A mutation changes the stored tensors, the config or the folder; hashes and index are made to agree afterwards.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from tests.checkpoints_on_disk import Stored, floats, from_mlx, to_mlx

PARTS = ("weight", "scales", "biases", "global_scale")


@dataclass(slots=True)
class Broken:
    """An artifact on the bench: its folder, its tensors by name, its config."""

    folder: Path
    tensors: Stored
    config: dict[str, Any]

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    def module(self, path: str) -> list[str]:
        return [f"{path}.{part}" for part in PARTS if f"{path}.{part}" in self.tensors]

    def experts(self, layer: int, projection: str) -> list[str]:
        return self.module(f"model.layers.{layer}.mlp.switch_mlp.{projection}_proj")

    def every_expert(self) -> list[str]:
        return [
            name
            for layer in range(self.layers)
            for part in ("gate", "up", "down")
            for name in self.experts(layer, part)
        ]

    def swap(self, one: list[str], other: list[str]) -> None:
        for a, b in zip(one, other, strict=True):
            self.tensors[a], self.tensors[b] = self.tensors[b], self.tensors[a]

    def change(self, names: list[str], how: Callable[[Any], Any]) -> None:
        for name in names:
            dtype, bits = self.tensors[name]
            self.tensors[name] = (dtype, np.ascontiguousarray(how(bits)))

    def values(self, path: str) -> mx.array:
        """The module's weights, decoded by mlx itself."""
        parts = {name.rpartition(".")[2]: to_mlx(self.tensors[name]) for name in self.module(path)}
        if "scales" not in parts:
            return parts["weight"].astype(mx.float32)
        block = self.block(path)
        return mx.dequantize(parts["weight"], parts["scales"], parts.get("biases"), dtype=mx.float32, **block)

    def store(self, path: str, values: mx.array, block: Mapping[str, Any] | None) -> None:
        dtype = self.tensors.get(f"{path}.scales", self.tensors[f"{path}.weight"])[0]
        for name in self.module(path):
            del self.tensors[name]
        kind = {"BF16": mx.bfloat16, "F32": mx.float32}.get(dtype, mx.bfloat16)
        made = mx.quantize(values.astype(kind), **block) if block else [values.astype(kind)]
        for part, array in zip(PARTS, made, strict=False):
            self.tensors[f"{path}.{part}"] = from_mlx(array)

    def block(self, path: str) -> dict[str, Any]:
        quantization = self.config["quantization"]
        found = quantization.get(path, quantization)
        return {key: found[key] for key in ("mode", "bits", "group_size")}


Mutation = Callable[[Broken], None]


def gate_and_up_swapped(broken: Broken) -> None:
    for layer in range(broken.layers):
        broken.swap(broken.experts(layer, "gate"), broken.experts(layer, "up"))


def gate_and_up_swapped_in_one_layer(broken: Broken) -> None:
    broken.swap(broken.experts(1, "gate"), broken.experts(1, "up"))


def gate_and_up_swapped_in_one_expert(broken: Broken) -> None:
    for gate, up in zip(broken.experts(1, "gate"), broken.experts(1, "up"), strict=True):
        one, other = broken.tensors[gate][1], broken.tensors[up][1]
        one[2], other[2] = other[2].copy(), one[2].copy()


def experts_rotated(broken: Broken) -> None:
    broken.change(broken.every_expert(), lambda bits: np.roll(bits, 1, axis=0))


def two_experts_exchanged(broken: Broken) -> None:
    names = [name for part in ("gate", "up", "down") for name in broken.experts(1, part)]
    broken.change(names, lambda bits: bits[[0, 2, 1, *range(3, len(bits))]])


def two_experts_down_projections_exchanged(broken: Broken) -> None:
    broken.change(broken.experts(0, "down"), lambda bits: bits[[3, 1, 2, 0, *range(4, len(bits))]])


def one_expert_transposed(broken: Broken) -> None:
    path = "model.layers.0.mlp.switch_mlp.down_proj"
    values = np.array(broken.values(path))
    values[1] = values[1].T.copy()
    quantized = "quantization" in broken.config
    broken.store(path, mx.array(values), broken.block(path) if quantized else None)


def halves_read_as_interleaved(broken: Broken) -> None:
    for layer in range(broken.layers):
        for gate, up in zip(broken.experts(layer, "gate"), broken.experts(layer, "up"), strict=True):
            (dtype, one), (_, other) = broken.tensors[gate], broken.tensors[up]
            fused = np.concatenate([one, other], axis=1)
            broken.tensors[gate] = (dtype, np.ascontiguousarray(fused[:, ::2]))
            broken.tensors[up] = (dtype, np.ascontiguousarray(fused[:, 1::2]))


def one_expert_zeroed(broken: Broken) -> None:
    for name in broken.experts(1, "up"):
        broken.tensors[name][1][3] = 0


def one_expert_doubled(broken: Broken) -> None:
    for part in ("gate", "up", "down"):
        for name in broken.experts(0, part):
            bits = broken.tensors[name][1]
            bits[2] = bits[0]


def expert_rows_rotated(broken: Broken) -> None:
    broken.change(broken.experts(0, "gate"), lambda bits: np.roll(bits, 1, axis=1))


def router_rows_permuted(broken: Broken) -> None:
    broken.change(broken.module("model.layers.0.mlp.gate"), lambda bits: bits[::-1])


def router_at_four_bits(broken: Broken) -> None:
    path = "model.layers.0.mlp.gate"
    block = {"mode": "affine", "bits": 4, "group_size": 64}
    broken.store(path, broken.values(path), block)
    for key in ("quantization", "quantization_config"):
        broken.config[key] = {**broken.config.get(key, block), path: block}


def layers_exchanged(broken: Broken) -> None:
    for name in list(broken.tensors):
        if name.startswith("model.layers.0."):
            broken.swap([name], [name.replace("layers.0.", "layers.1.")])


def keys_and_values_exchanged(broken: Broken) -> None:
    path = "model.layers.1.self_attn."
    broken.swap(broken.module(f"{path}k_proj"), broken.module(f"{path}v_proj"))


def two_norms_exchanged(broken: Broken) -> None:
    path = "model.layers.0."
    broken.swap([f"{path}input_layernorm.weight"], [f"{path}post_attention_layernorm.weight"])


def one_added_to_a_norm(broken: Broken) -> None:
    values = floats(broken.tensors["model.norm.weight"]) + 1
    broken.tensors["model.norm.weight"] = from_mlx(mx.array(values).astype(mx.bfloat16))


def embedding_rows_rotated(broken: Broken) -> None:
    broken.change(broken.module("model.embed_tokens"), lambda bits: np.roll(bits, 1, axis=0))


def nan_in_a_norm(broken: Broken) -> None:
    broken.tensors["model.norm.weight"][1][5] = 0x7FC0


def nan_in_an_expert(broken: Broken) -> None:
    names = broken.experts(1, "down")
    name = next((name for name in names if name.endswith("scales")), names[0])
    broken.tensors[name][1][2, 3, 0] = 0x7FC0


def one_high_bit_flipped(broken: Broken) -> None:
    bits = broken.tensors[broken.experts(1, "down")[0]][1]
    bits[3, 7, 5] ^= 1 << (8 * bits.itemsize - 2)


def one_low_bit_flipped(broken: Broken) -> None:
    broken.tensors[broken.experts(1, "down")[0]][1][3, 7, 5] ^= 1


def one_column_scaled(broken: Broken) -> None:
    path = "model.layers.0.self_attn.o_proj"
    values = np.array(broken.values(path))
    values[:, 9] *= 2
    broken.store(path, mx.array(values), broken.block(path) if "quantization" in broken.config else None)


def lm_head_missing(broken: Broken) -> None:
    for name in broken.module("lm_head"):
        del broken.tensors[name]


def a_tensor_too_many(broken: Broken) -> None:
    broken.tensors["model.layers.0.mlp.magic.weight"] = broken.tensors["model.norm.weight"]


def last_expert_lost_everywhere(broken: Broken) -> None:
    routers = [name for layer in range(broken.layers) for name in broken.module(f"model.layers.{layer}.mlp.gate")]
    broken.change(broken.every_expert() + routers, lambda bits: bits[:-1])
    broken.config["num_experts"] -= 1


def _config(**values: Any) -> Mutation:
    def mutate(broken: Broken) -> None:
        broken.config.update(values)

    return mutate


def _lost(key: str) -> Mutation:
    def mutate(broken: Broken) -> None:
        del broken.config[key]

    return mutate


def config_says_other_bits(broken: Broken) -> None:
    for key in ("quantization", "quantization_config"):
        broken.config[key] = broken.config[key] | {"bits": 8 if broken.config[key]["bits"] != 8 else 4}


def config_says_another_group(broken: Broken) -> None:
    for key in ("quantization", "quantization_config"):
        broken.config[key] = broken.config[key] | {"group_size": 96 - broken.config[key]["group_size"]}


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A mutation, and the finding that must object: its check and a part of its subject."""

    mutation: Mutation
    check: str
    subject: str
    name: str


def _named(mutation: Mutation, check: str, subject: str, name: str = "") -> Sabotage:
    return Sabotage(mutation, check, subject, name or mutation.__name__)


# For the tensors and the config; `check` may be any of several separated by "|".
SABOTAGES = (
    _named(gate_and_up_swapped, "contrast", "layers.0.mlp.switch_mlp.gate_proj.weight, expert 0"),
    _named(gate_and_up_swapped_in_one_layer, "contrast", "layers.1.mlp.switch_mlp.gate_proj.weight, expert 0"),
    _named(gate_and_up_swapped_in_one_expert, "contrast", "layers.1.mlp.switch_mlp.gate_proj.weight, expert 2"),
    _named(experts_rotated, "values", "layers.0.mlp.switch_mlp.gate_proj.weight"),
    _named(two_experts_exchanged, "contrast", "layers.1.mlp.switch_mlp.gate_proj.weight, expert 1"),
    _named(two_experts_down_projections_exchanged, "values", "layers.0.mlp.switch_mlp.down_proj.weight"),
    _named(one_expert_transposed, "contrast", "layers.0.mlp.switch_mlp.down_proj.weight, expert 1"),
    _named(halves_read_as_interleaved, "contrast", "layers.0.mlp.switch_mlp.gate_proj.weight, expert 0"),
    _named(one_expert_zeroed, "values|zeroed groups", "layers.1.mlp.switch_mlp.up_proj.weight"),
    _named(one_expert_doubled, "values", "layers.0.mlp.switch_mlp.gate_proj.weight"),
    _named(expert_rows_rotated, "values", "layers.0.mlp.switch_mlp.gate_proj.weight"),
    _named(router_rows_permuted, "values", "layers.0.mlp.gate.weight"),
    _named(router_at_four_bits, "router bits", "layers.0.mlp.gate.weight"),
    _named(layers_exchanged, "values", "layers.0.self_attn.q_proj.weight"),
    _named(keys_and_values_exchanged, "values", "layers.1.self_attn.k_proj.weight"),
    _named(two_norms_exchanged, "values", "layers.0.input_layernorm.weight"),
    _named(one_added_to_a_norm, "values", "model.norm.weight"),
    _named(embedding_rows_rotated, "values", "embed_tokens.weight"),
    _named(nan_in_a_norm, "finite", "model.norm.weight"),
    _named(one_high_bit_flipped, "values|finite", "layers.1.mlp.switch_mlp.down_proj.weight"),
    _named(one_column_scaled, "values", "layers.0.self_attn.o_proj.weight"),
    _named(lm_head_missing, "parameters present", "lm_head.weight"),
    _named(a_tensor_too_many, "no other tensors", "layers.0.mlp.magic.weight"),
    _named(last_expert_lost_everywhere, "configuration", "config.json, num_experts"),
    _named(_lost("rope_theta"), "configuration", "config.json", "rope_theta_lost"),
    _named(_config(rope_theta=10000.0), "configuration", "config.json, rope_theta", "rope_theta_changed"),
    _named(
        _config(norm_topk_prob=False), "configuration", "config.json, norm_topk_prob", "norm_topk_prob_flipped"
    ),
    _named(_config(num_experts_per_tok=1), "configuration", "config.json, num_experts_per_tok", "top_k_changed"),
    _named(
        _config(tie_word_embeddings=True), "configuration", "config.json, tie_word_embeddings", "tie_flag_flipped"
    ),
    _named(_config(rms_norm_eps=1e-5), "configuration", "config.json, rms_norm_eps", "norm_epsilon_changed"),
    _named(_config(head_dim=16), "configuration", "config.json, head_dim", "head_dim_changed"),
    _named(_config(model_type="qwen2_moe"), "configuration", "config.json", "another_class"),
    _named(_config(model_file="model.py"), "config runs code", "model_file", "model_file_in_the_config"),
    _named(_config(auto_map={"AutoModel": "x.Y"}), "config runs code", "auto_map", "auto_map_in_the_config"),
)
# Only where the experts have 16-bit floats or 16-bit scales.
QUANTIZED_SABOTAGES = (
    _named(config_says_other_bits, "bits", "weight"),
    _named(config_says_another_group, "bits", "weight"),
)
FLOAT_SABOTAGES = (_named(nan_in_an_expert, "finite", "layers.1.mlp.switch_mlp.down_proj.weight"),)
# Only where nothing is rounded, so that not one bit may differ.
EXACT_SABOTAGES = (_named(one_low_bit_flipped, "values", "layers.1.mlp.switch_mlp.down_proj.weight"),)


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config
