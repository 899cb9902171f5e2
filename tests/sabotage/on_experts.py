"""Experts in the wrong place, the wrong way round, lost or damaged."""

import mlx.core as mx
import numpy as np

from tests.sabotage.bench import PROJECTIONS, Broken, named

EVERY = ("bf16", "8bit", "4bit", "moe-3bit", "mxfp4")
QUANTIZED = ("8bit", "4bit", "moe-3bit", "mxfp4", "nvfp4")
AFFINE = ("8bit", "6bit", "4bit", "moe-3bit")
PATH = "layers.{}.mlp.switch_mlp.{}_proj.weight"


def gate_and_up_swapped(broken: Broken) -> None:
    for layer in range(broken.layers):
        broken.swap(broken.experts(layer, "gate"), broken.experts(layer, "up"))


def gate_and_up_swapped_in_one_layer(broken: Broken) -> None:
    broken.swap(broken.experts(1, "gate"), broken.experts(1, "up"))


def gate_and_up_swapped_in_one_expert(broken: Broken) -> None:
    for gate, up in zip(broken.experts(1, "gate"), broken.experts(1, "up"), strict=True):
        one, other = broken.tensors[gate][1], broken.tensors[up][1]
        one[2], other[2] = other[2].copy(), one[2].copy()


def up_overwritten_by_gate(broken: Broken) -> None:
    for gate, up in zip(broken.experts(0, "gate"), broken.experts(0, "up"), strict=True):
        broken.tensors[up] = broken.tensors[gate]


def experts_rotated_by_one(broken: Broken) -> None:
    broken.change(broken.every_expert(), lambda bits: np.roll(bits, 1, axis=0))


def experts_in_reverse(broken: Broken) -> None:
    broken.change([n for part in PROJECTIONS for n in broken.experts(1, part)], lambda bits: bits[::-1])


def two_experts_exchanged(broken: Broken) -> None:
    names = [name for part in PROJECTIONS for name in broken.experts(1, part)]
    broken.change(names, lambda bits: bits[[0, 2, 1, *range(3, len(bits))]])


def two_down_projections_exchanged(broken: Broken) -> None:
    broken.change(broken.experts(0, "down"), lambda bits: bits[[3, 1, 2, 0, *range(4, len(bits))]])


def one_expert_transposed(broken: Broken) -> None:
    def transpose(values: np.ndarray) -> np.ndarray:
        values[1] = values[1].T.copy()
        return values

    broken.edit("model.layers.0.mlp.switch_mlp.down_proj", transpose)


def every_expert_transposed(broken: Broken) -> None:
    for part in PROJECTIONS:
        broken.edit(f"model.layers.1.mlp.switch_mlp.{part}_proj", lambda values: values.swapaxes(1, 2))


def halves_taken_as_interleaved(broken: Broken) -> None:
    for layer in range(broken.layers):
        for gate, up in zip(broken.experts(layer, "gate"), broken.experts(layer, "up"), strict=True):
            (dtype, one), (_, other) = broken.tensors[gate], broken.tensors[up]
            fused = np.concatenate([one, other], axis=1)
            broken.tensors[gate] = (dtype, np.ascontiguousarray(fused[:, ::2]))
            broken.tensors[up] = (dtype, np.ascontiguousarray(fused[:, 1::2]))


def interleaved_rows_taken_as_halves(broken: Broken) -> None:
    for gate, up in zip(broken.experts(0, "gate"), broken.experts(0, "up"), strict=True):
        (dtype, one), (_, other) = broken.tensors[gate], broken.tensors[up]
        woven = np.stack([one, other], axis=2).reshape(one.shape[0], -1, *one.shape[2:])
        broken.tensors[gate], broken.tensors[up] = (
            (dtype, np.ascontiguousarray(half)) for half in np.split(woven, 2, axis=1)
        )


def one_expert_zeroed(broken: Broken) -> None:
    for name in broken.experts(1, "up"):
        broken.tensors[name][1][3] = 0


def one_expert_doubled_over_another(broken: Broken) -> None:
    for part in PROJECTIONS:
        for name in broken.experts(0, part):
            broken.tensors[name][1][2] = broken.tensors[name][1][0]


def last_expert_a_copy_of_the_first(broken: Broken) -> None:
    for name in broken.experts(1, "down"):
        broken.tensors[name][1][-1] = broken.tensors[name][1][0]


def rows_of_the_experts_rotated(broken: Broken) -> None:
    broken.change(broken.experts(0, "gate"), lambda bits: np.roll(bits, 1, axis=1))


def two_rows_of_one_expert_exchanged(broken: Broken) -> None:
    for name in broken.experts(1, "up"):
        bits = broken.tensors[name][1]
        bits[3, [17, 40]] = bits[3, [40, 17]]


def experts_of_two_layers_exchanged(broken: Broken) -> None:
    broken.swap(broken.experts(0, "down"), broken.experts(1, "down"))


def last_expert_lost_everywhere(broken: Broken) -> None:
    routers = [name for layer in range(broken.layers) for name in broken.module(f"model.layers.{layer}.mlp.gate")]
    broken.change(broken.every_expert() + routers, lambda bits: bits[:-1])
    broken.config["num_experts"] -= 1


def nan_in_an_expert(broken: Broken) -> None:
    names = broken.experts(1, "down")
    name = next((name for name in names if name.endswith("scales")), names[0])
    broken.tensors[name][1][2, 3, 0] = 0x7FC0


def one_high_bit_of_an_expert_flipped(broken: Broken) -> None:
    bits = broken.tensors[broken.experts(1, "down")[0]][1]
    bits[3, 7, 5] ^= 1 << (8 * bits.itemsize - 2)


def one_low_bit_of_an_expert_flipped(broken: Broken) -> None:
    broken.tensors[broken.experts(1, "down")[0]][1][3, 7, 5] ^= 1


def a_scale_doubled_in_one_group(broken: Broken) -> None:
    bits = broken.tensors[broken.experts(0, "up")[1]][1]
    # One exponent more: of a bfloat16 its eighth bit, of a power of two its first, of e4m3 its fourth.
    bits[1, 9, 0] += {2: 1 << 7, 1: 1 if broken.config["quantization"]["group_size"] == 32 else 8}[bits.itemsize]


def a_scale_off_by_its_last_bit(broken: Broken) -> None:
    broken.tensors[broken.experts(0, "up")[1]][1][1, 9, 0] ^= 1


def biases_of_the_groups_moved_on_by_one(broken: Broken) -> None:
    broken.change([broken.experts(1, "gate")[2]], lambda bits: np.roll(bits, 1, axis=1))


def rounded_to_three_bits_before(broken: Broken) -> None:
    path = "model.layers.0.mlp.switch_mlp.down_proj"
    weight, scales, biases = mx.quantize(mx.array(broken.values(path)), group_size=64, bits=3)
    broken.edit(path, lambda _: np.array(mx.dequantize(weight, scales, biases, group_size=64, bits=3)))


SABOTAGES = (
    named(gate_and_up_swapped, "ROCmFPX #49", "contrast", PATH.format(0, "gate") + ", expert 0", variants=EVERY),
    named(gate_and_up_swapped_in_one_layer, "ROCmFPX #49", "contrast", PATH.format(1, "gate"), variants=EVERY),
    named(
        gate_and_up_swapped_in_one_expert,
        "ROCmFPX #49",
        "contrast",
        PATH.format(1, "gate") + ", expert 2",
        variants=EVERY,
    ),
    named(up_overwritten_by_gate, "unsloth-zoo #779", "contrast", PATH.format(0, "up") + ", expert 0"),
    named(experts_rotated_by_one, "unsloth-zoo #812", "contrast", PATH.format(0, "gate"), variants=EVERY),
    named(experts_in_reverse, "unsloth-zoo #812", "contrast", PATH.format(1, "down") + ", expert 0"),
    named(
        two_experts_exchanged,
        "unsloth-zoo #885",
        "contrast",
        PATH.format(1, "gate") + ", expert 1",
        variants=EVERY,
    ),
    named(two_down_projections_exchanged, "unsloth-zoo #885", "contrast", PATH.format(0, "down") + ", expert 0"),
    named(
        one_expert_transposed,
        "transformers #47031",
        "contrast",
        PATH.format(0, "down") + ", expert 1",
        variants=EVERY,
    ),
    named(every_expert_transposed, "transformers #47031", "contrast", PATH.format(1, "gate") + ", expert 0"),
    named(halves_taken_as_interleaved, "mlx-lm #1080", "contrast", PATH.format(0, "gate"), variants=EVERY),
    named(interleaved_rows_taken_as_halves, "mlx-lm #1079", "contrast", PATH.format(0, "gate") + ", expert 0"),
    named(one_expert_zeroed, "unsloth #6930", "values|zeroed groups", PATH.format(1, "up"), variants=EVERY),
    named(
        one_expert_doubled_over_another,
        "unsloth #6930",
        "contrast",
        PATH.format(0, "gate") + ", expert 2",
        variants=EVERY,
    ),
    named(last_expert_a_copy_of_the_first, "unsloth #6930", "contrast", PATH.format(1, "down")),
    named(rows_of_the_experts_rotated, "unsloth-zoo #812", "values", PATH.format(0, "gate"), variants=EVERY),
    named(two_rows_of_one_expert_exchanged, "unsloth-zoo #812", "values", PATH.format(1, "up"), variants=EVERY),
    named(experts_of_two_layers_exchanged, "unsloth-zoo #812", "values", PATH.format(0, "down"), variants=EVERY),
    named(last_expert_lost_everywhere, "unsloth-zoo #779", "configuration", "config.json, num_experts"),
    named(nan_in_an_expert, "mlx-lm #1836", "finite", PATH.format(1, "down"), variants=("bf16", *AFFINE)),
    named(
        one_high_bit_of_an_expert_flipped,
        "huggingface_hub #3747",
        "values|finite",
        PATH.format(1, "down"),
        variants=EVERY,
    ),
    named(
        one_low_bit_of_an_expert_flipped,
        "huggingface_hub #3747",
        "values",
        PATH.format(1, "down"),
        variants=("bf16", *QUANTIZED),
    ),
    named(
        a_scale_doubled_in_one_group,
        "mlx-lm #1192",
        "values|zeroed groups",
        PATH.format(0, "up"),
        variants=QUANTIZED,
    ),
    named(a_scale_off_by_its_last_bit, "mlx-lm #1192", "values", PATH.format(0, "up"), variants=AFFINE),
    named(biases_of_the_groups_moved_on_by_one, "omlx #967", "values", PATH.format(1, "gate"), variants=AFFINE),
    named(
        rounded_to_three_bits_before, "mlx-lm #907", "values", PATH.format(0, "down"), variants=("4bit", "8bit")
    ),
)
