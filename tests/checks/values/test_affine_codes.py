from dataclasses import replace

import numpy as np
import pytest

from hubbot.checks.values.affine_codes import Groups, rounded, unexplained, usual_fit
from tests.checkpoints_on_disk import adversarial
from tests.checks.quantized import affine_groups
from tests.reference.checkpoints import Floats

BITS = (2, 3, 4, 5, 6, 8)


def weights(groups: int = 200, width: int = 64) -> Floats:
    return np.random.default_rng(5).normal(0, 0.02, (groups, width)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("width", [32, 64, 128])
def test_whatever_mlx_makes_of_a_group_is_right_without_a_single_tie(width: int, bits: int, dtype: str) -> None:
    for kind, values in adversarial(width):
        if dtype == "F16" and np.abs(values).max() > 6e4:
            continue
        wrong, ties = unexplained(affine_groups(values, bits=bits, dtype=dtype), bits=bits, dtype=dtype)
        assert (wrong.sum(), ties) == (0, 0), kind


@pytest.mark.parametrize("bits", BITS)
def test_one_code_that_is_off_by_one_is_wrong_wherever_it_stands(bits: int) -> None:
    groups = affine_groups(weights(), bits=bits, dtype="BF16")
    columns = np.random.default_rng(6).integers(0, 64, len(groups.codes))
    rows = np.arange(len(groups.codes))
    codes = groups.codes.copy()
    codes[rows, columns] = np.where(codes[rows, columns] > 0, codes[rows, columns] - 1, 1)
    wrong, _ = unexplained(replace(groups, codes=codes), bits=bits, dtype="BF16")
    # Where a weight stands within a thousandth of a step of the middle, either code is right.
    assert wrong.mean() > 0.98


@pytest.mark.parametrize("part", ["scales", "biases"])
@pytest.mark.parametrize("bits", BITS)
def test_a_scale_or_bias_that_is_off_by_its_last_bit_is_wrong(bits: int, part: str) -> None:
    groups = affine_groups(weights(), bits=bits, dtype="BF16")
    moved = (getattr(groups, part).view(np.uint32) + np.uint32(1 << 16)).view(np.float32)
    wrong, _ = unexplained(replace(groups, **{part: moved}), bits=bits, dtype="BF16")
    assert wrong.all()


def test_a_tie_may_be_rounded_either_way() -> None:
    # The ends are 0 and 15, so steps are 1 and bias is 15 with a negative scale.
    values = np.array([[0.0, 15.0, 4.5, 7.5, *[1.0] * 28]], np.float32)
    groups = affine_groups(values, bits=4, dtype="F32")
    for column in (2, 3):
        codes = groups.codes.copy()
        codes[0, column] = {10: 11, 11: 10, 7: 8, 8: 7}[int(codes[0, column])]
        wrong, _ = unexplained(replace(groups, codes=codes), bits=4, dtype="F32")
        assert not wrong.any()


def test_a_device_may_take_zero_for_the_largest_of_negative_weights() -> None:
    # backend/metal/kernels/quantized.h starts its search for the maximum at 0.
    values = np.linspace(-8, -4, 32, dtype=np.float32)[None]
    scale, bias = np.float32(8 / 15), np.float32(-8)
    codes = np.clip(np.rint((values - bias) / scale), 0, 15).astype(np.uint8)
    groups = Groups(weights=values, codes=codes, scales=np.full(1, scale), biases=np.full(1, bias))
    wrong, ties = unexplained(groups, bits=4, dtype="F32")
    assert (wrong.sum(), ties) == (0, 1)


def test_codes_that_decode_to_the_very_weights_are_right_whatever_their_scale() -> None:
    codes = np.arange(32, dtype=np.uint8)[None] % 5
    values = codes.astype(np.float32) * np.float32(0.25) - 1
    groups = Groups(
        weights=values, codes=codes, scales=np.full(1, 0.25, np.float32), biases=np.full(1, -1, np.float32)
    )
    assert not unexplained(groups, bits=4, dtype="F32")[0].any()


def test_scales_that_are_no_numbers_are_wrong() -> None:
    groups = affine_groups(weights(3), bits=4, dtype="BF16")
    scales = groups.scales.copy()
    scales[1] = np.nan
    wrong, _ = unexplained(replace(groups, scales=scales), bits=4, dtype="BF16")
    assert wrong.tolist() == [False, True, False]


def by_the_gpus_rule(values: Floats, bits: int, dtype: str) -> Groups:
    """Groups as MLX's GPU kernels make them: they begin to look for the ends at 0."""
    zero, steps = np.float32(0), np.float32(2**bits - 1)
    fit = usual_fit(np.minimum(values.min(axis=1), zero), np.maximum(values.max(axis=1), zero), steps)
    codes = np.clip(np.rint((values - fit.bias[:, None]) / fit.scale[:, None]), 0, steps).astype(np.uint8)
    scales, biases = (rounded(part, dtype) for part in (fit.scale, fit.bias))
    return Groups(weights=values, codes=codes, scales=scales, biases=biases)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", BITS)
def test_groups_of_one_sign_that_a_gpu_made_are_right_and_a_wrong_code_among_them_is_not(
    bits: int, sign: int
) -> None:
    values = (sign * (np.abs(weights()) + np.float32(0.5))).astype(np.float32)
    values[::4] = values[::4, :1]  # and constant ones
    groups = by_the_gpus_rule(values, bits, "BF16")
    wrong, ties = unexplained(groups, bits=bits, dtype="BF16")
    assert wrong.sum() == 0
    assert ties > 0
    codes = groups.codes.copy()
    codes[:, 3] = np.where(codes[:, 3] > 0, codes[:, 3] - 1, 1)
    wrong, _ = unexplained(replace(groups, codes=codes), bits=bits, dtype="BF16")
    assert wrong.mean() > 0.98
