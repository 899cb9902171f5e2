"""The definitions give mx.quantize's CPU bits wherever MLX's scales stay in their range."""

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.engine import floats
from hubbot.engine.formats import microscaling
from hubbot.engine.formats.microscaling import E4M3_VALUES, SHAPES
from tests.engine.formats.hard_groups import WIDTH, as_bits, hard_groups, of_mlx

KINDS = hard_groups()
# Where MLX's CPU code loses its way: e8m0 wraps around below, distances become equal above.
LEAST = {"mxfp4": 2.0**-127 * 6, "mxfp8": 2.0**-127 * 448, "nvfp4": 0.0}
MOST = {"mxfp4": np.inf, "mxfp8": np.inf, "nvfp4": 2.0**24 * 448}
E2M1_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def in_range(raw: npt.NDArray[Any], dtype: str, mode: str) -> npt.NDArray[np.bool_]:
    """Which groups [n] MLX's CPU code can encode."""
    largest = np.abs(floats.to_float32(raw, dtype)).reshape(-1, SHAPES[mode][1]).max(axis=1)
    found: npt.NDArray[np.bool_] = (largest == 0) | ((largest > LEAST[mode]) & (largest < MOST[mode]))
    return found


def check(values: npt.NDArray[Any], dtype: str, mode: str) -> None:
    raw = as_bits(values, dtype)
    bits, size = SHAPES[mode]
    made = microscaling.quantize(raw, dtype, mode=mode)
    weight, scales = of_mlx(raw, dtype, group_size=size, bits=bits, mode=mode)
    assert made["weight"].shape == weight.shape
    assert made["scales"].shape == scales.shape
    known = in_range(raw, dtype, mode)
    np.testing.assert_array_equal(made["scales"].reshape(-1)[known], scales.reshape(-1)[known])
    words = size * bits // 32
    np.testing.assert_array_equal(made["weight"].reshape(-1, words)[known], weight.reshape(-1, words)[known])


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_scales_are_those_of_mlx(kind: str, mode: str, dtype: str) -> None:
    check(KINDS[kind], dtype, mode)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.integers(-30, 12), mode=st.sampled_from(sorted(SHAPES)))
def test_groups_of_any_scale_have_mlxs_bits(seed: int, spread: int, mode: str) -> None:
    values = np.random.default_rng(seed).normal(0, 1, (8, 64)) * 2.0**spread
    check(values, "BF16" if seed % 2 else "F16", mode)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8"])
def test_every_16_bit_float_as_the_largest_of_a_group_has_mlxs_scale(mode: str, dtype: str) -> None:
    raw = np.zeros((0x7F80 if dtype == "BF16" else 0x7C00, 32), np.uint16)
    raw[:, 0] = np.arange(len(raw))
    _, scales = of_mlx(raw, dtype, group_size=32, bits=SHAPES[mode][0], mode=mode)
    known = in_range(raw, dtype, mode)
    assert known.sum() > 0.9 * len(raw)
    made = microscaling.quantize(raw, dtype, mode=mode)["scales"]
    np.testing.assert_array_equal(made[known], scales[known])


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("factor", [1e-3, 1.0, 100.0])
def test_a_tensor_scale_gives_mlxs_bits_expert_by_expert(factor: float, dtype: str) -> None:
    raw = as_bits(np.random.default_rng(3).normal(0, factor, (3, 4, 64)), dtype)
    largest = microscaling.largest_magnitudes(raw, dtype)
    made = microscaling.quantize(raw, dtype, mode="nvfp4", largest=largest)
    for expert in range(3):
        scale = {"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": mx.array(largest[expert])}
        weight, scales = of_mlx(raw[expert], dtype, **scale)
        np.testing.assert_array_equal(made["weight"][expert], weight)
        np.testing.assert_array_equal(made["scales"][expert], scales)


def test_an_expert_of_zeros_has_zeros_for_scales_whatever_the_tensor_scale_is_divided_by() -> None:
    raw = np.zeros((2, 4, 64), np.uint16)
    made = microscaling.quantize(raw, "BF16", mode="nvfp4", largest=np.zeros(2, np.float32))
    assert not made["scales"].any()
    assert not made["weight"].any()


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8"])
def test_groups_below_the_least_scale_decode_to_next_to_nothing_instead_of_huge_numbers(mode: str) -> None:
    values = (np.random.default_rng(1).normal(0, 1, (50, 64)) * 1e-40).astype(np.float32)
    made = microscaling.quantize(values.view(np.uint32), "F32", mode=mode)
    assert set(np.unique(made["scales"])) == {0}
    codes = made["weight"].view(np.uint8)
    decoded = (
        E4M3_VALUES[codes] if mode == "mxfp8" else E2M1_VALUES[np.stack([codes & 15, codes >> 4], axis=-1)]
    ).reshape(values.shape) * np.float32(2.0**-127)
    assert np.abs(decoded - values).max() <= 2.0**-128


def test_what_the_largest_block_scale_cannot_hold_becomes_the_largest_element() -> None:
    raw = np.full((1, 16), 1e30, np.float32).view(np.uint32)
    made = microscaling.quantize(raw, "F32", mode="nvfp4")
    assert made["scales"][0, 0] == 126
    assert np.array_equal(made["weight"][0], np.full(2, 0x77777777, np.uint32))


def test_a_tensor_larger_than_one_block_is_put_together_rightly() -> None:
    raw = as_bits(np.random.default_rng(2).normal(0, 1, (5, microscaling.BLOCK // 3 // 64 * 64)), "BF16")
    for mode in SHAPES:
        made = microscaling.quantize(raw, "BF16", mode=mode)
        rows = [microscaling.quantize(raw[at : at + 1], "BF16", mode=mode) for at in range(5)]
        for name, part in made.items():
            np.testing.assert_array_equal(part, np.concatenate([row[name] for row in rows]))


def test_the_widths_of_the_cases_hold_whole_groups_of_every_format() -> None:
    assert all(WIDTH % size == 0 for _, size in SHAPES.values())
