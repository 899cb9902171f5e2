"""The numpy path gives mx.quantize's own bits; MLX's kernel is the judge."""

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from hubbot.engine import mxfp4_codes

Floats = npt.NDArray[np.float32]


def bits_of_mlx(values: Floats) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    weight, scales, *_ = mx.quantize(mx.array(values), group_size=32, bits=4, mode="mxfp4")
    return np.array(weight), np.array(scales)


def groups(largest: Floats, seed: int) -> Floats:
    """Rows of 32 whose largest magnitude is given, the others random below it."""
    values = np.random.default_rng(seed).uniform(-1, 1, (len(largest), 32)).astype(np.float32) * largest[:, None]
    values[:, 0] = largest
    return values


CASES: dict[str, Floats] = {
    "weights of many magnitudes": (
        np.random.default_rng(0).standard_normal((256, 2048))
        * 10.0 ** np.random.default_rng(1).uniform(-4, 3, (256, 1))
    ).astype(np.float32),
    "every bfloat16 as the maximum": groups(
        (np.arange(0x0D80, 0x7F00, dtype=np.uint32) << 16).view(np.float32), seed=2
    ),
    "the maxima where the scale steps": groups(
        np.concatenate(
            [
                np.nextafter((6 * np.exp2(np.arange(-90, 90))).astype(np.float32), np.float32(toward))
                for toward in (0, np.inf)
            ]
        ),
        seed=3,
    ),
    "values halfway between two codes": (
        np.concatenate([[6.0], np.repeat([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], 2), np.full(17, -0.0)])
        * np.where(np.arange(32) % 2, -1, 1)
        * np.exp2(np.arange(-32, 32))[:, None]
    ).astype(np.float32),
    "zeros": np.zeros((2, 64), np.float32),
    "the largest floats": np.full((2, 64), 3e38, np.float32),
}


@pytest.mark.parametrize("name", CASES)
def test_codes_and_scales_are_those_of_mlx(name: str) -> None:
    weight, scales = mxfp4_codes.quantize(CASES[name])
    expected_weight, expected_scales = bits_of_mlx(CASES[name])
    np.testing.assert_array_equal(scales, expected_scales)
    np.testing.assert_array_equal(weight, expected_weight)


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
def test_a_16_bit_source_gives_the_bits_that_mlx_makes_of_it(dtype: Any) -> None:
    array = mx.array(CASES["weights of many magnitudes"]).astype(dtype)
    weight, _ = mxfp4_codes.quantize(np.array(array.astype(mx.float32)))
    expected, *_ = mx.quantize(array, group_size=32, bits=4, mode="mxfp4")
    np.testing.assert_array_equal(weight, np.array(expected))


def test_groups_where_mlx_underflows_are_left_to_mlx() -> None:
    assert not mxfp4_codes.can_quantize(np.full((1, 32), 1e-40, np.float32), half=False)
    assert not mxfp4_codes.can_quantize(np.full((1, 32), 1e-6, np.float32), half=True)
    assert mxfp4_codes.can_quantize(np.zeros((1, 32), np.float32), half=False)
