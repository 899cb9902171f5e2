from dataclasses import replace

import numpy as np
import pytest

from hubbot.checks.values.fp4_fp8 import SMALLEST, judge, usual_codes
from tests.checkpoints_on_disk import adversarial
from tests.checks.quantized import micro_groups
from tests.reference.checkpoints import Floats

MODES = (("mxfp4", 4, 32, False), ("mxfp8", 8, 32, False), ("nvfp4", 4, 16, False), ("nvfp4", 4, 16, True))
SMALLEST_HALF = 2.0**-11


def weights(width: int) -> Floats:
    return np.random.default_rng(5).normal(0, 0.02, (200, width)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(("mode", "bits", "width", "whole"), MODES)
def test_whatever_mlx_makes_of_a_group_is_right(mode: str, bits: int, width: int, whole: bool, dtype: str) -> None:
    for kind, values in adversarial(width):
        if dtype == "F16" and np.abs(values).max() > 6e4:
            continue
        # mx.quantize makes garbage of float32's subnormals, and zeros of float16's.
        largest = np.abs(values).max(axis=1, keepdims=True)
        alive = np.where(largest > (SMALLEST_HALF if dtype == "F16" else SMALLEST), values, np.float32(0))
        groups = micro_groups(alive, mode=mode, bits=bits, dtype=dtype, whole=whole)
        assert not judge(groups, mode=mode, bits=bits).wrong.any(), kind


@pytest.mark.parametrize(("mode", "bits", "width", "whole"), MODES)
def test_one_code_that_is_off_by_one_is_wrong(mode: str, bits: int, width: int, whole: bool) -> None:
    groups = micro_groups(weights(width), mode=mode, bits=bits, dtype="BF16", whole=whole)
    codes = groups.codes.copy()
    codes[:, 5] ^= 1
    wrong = judge(replace(groups, codes=codes), mode=mode, bits=bits).wrong
    # bfloat16 holds few numbers: now and then one stands exactly between two codes.
    assert wrong.mean() > 0.9


@pytest.mark.parametrize(("mode", "bits", "width", "whole"), MODES)
def test_a_scale_that_is_the_next_one_is_wrong(mode: str, bits: int, width: int, whole: bool) -> None:
    groups = micro_groups(weights(width), mode=mode, bits=bits, dtype="BF16", whole=whole)
    for step in (1, -1):
        scales = (groups.scales.astype(np.int16) + step).astype(np.uint8)
        assert judge(replace(groups, scales=scales), mode=mode, bits=bits).wrong.all()


@pytest.mark.parametrize(("mode", "bits", "width", "whole"), MODES)
def test_a_sign_that_is_flipped_is_wrong_unless_it_is_that_of_zero(
    mode: str, bits: int, width: int, whole: bool
) -> None:
    groups = micro_groups(weights(width), mode=mode, bits=bits, dtype="BF16", whole=whole)
    sign = np.uint8(1 << (bits - 1))
    flipped = groups.codes.copy()
    flipped[:, 7] ^= sign
    seen = judge(replace(groups, codes=flipped), mode=mode, bits=bits)
    is_zero = groups.codes[:, 7] & ~sign == 0
    assert np.array_equal(seen.wrong, ~is_zero)


def test_a_tie_may_be_rounded_either_way_but_nothing_else_may() -> None:
    # Under a scale of 1: 2.5 stands between 2 and 3, whose codes are 4 and 5.
    values = np.full((1, 32), 6.0, np.float32)
    values[0, 3] = 2.5
    groups = micro_groups(values, mode="mxfp4", bits=4, dtype="F32", whole=False)
    assert groups.scales[0] == 127
    wrong = []
    for code in range(8):
        groups.codes[0, 3] = code
        wrong.append(bool(judge(groups, mode="mxfp4", bits=4).wrong[0]))
    assert [code for code, is_wrong in enumerate(wrong) if not is_wrong] == [4, 5]


def test_groups_lost_to_a_scale_of_zero_or_to_the_largest_scale_are_counted() -> None:
    values = np.stack([np.full(16, 1e-7), np.full(16, 1e4), np.full(16, 0.5), np.zeros(16)]).astype(np.float32)
    seen = judge(micro_groups(values, mode="nvfp4", bits=4, dtype="F32", whole=False), mode="nvfp4", bits=4)
    assert (seen.zeroed, seen.saturated, seen.wrong.sum()) == (1, 1, 0)


def test_no_number_as_a_scale_is_wrong_even_for_zeros() -> None:
    groups = micro_groups(np.zeros((2, 32), np.float32), mode="mxfp4", bits=4, dtype="F32", whole=False)
    assert judge(replace(groups, scales=np.array([255, 127], np.uint8)), mode="mxfp4", bits=4).wrong.tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("mode", "bits", "width", "whole"), MODES)
def test_a_group_that_holds_no_number_is_wrong_whatever_its_codes_are(
    mode: str, bits: int, width: int, whole: bool, number: float
) -> None:
    groups = micro_groups(weights(width), mode=mode, bits=bits, dtype="BF16", whole=whole)
    groups.weights[3, 5] = number
    with np.errstate(invalid="ignore"):
        codes = usual_codes(groups.weights, groups.scales, groups.global_scales, mode=mode, bits=bits)
    for scale in (groups.scales[3], 126):
        scales = groups.scales.copy()
        scales[3] = scale
        with np.errstate(invalid="ignore"):
            assert judge(replace(groups, codes=codes, scales=scales), mode=mode, bits=bits).wrong[3]
