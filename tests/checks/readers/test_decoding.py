from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.checks.readers.decoding import E2M1, E4M3, codes, decode
from tests.checkpoints_on_disk import MLX_DTYPES, from_mlx, mx_dequantize, mx_quantize

OTHERS = [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)]


def weights(*shape: int, scale: float = 0.3) -> mx.array:
    return mx.array(np.random.default_rng(9).normal(0, scale, shape).astype(np.float32))


def parts_of(made: list[mx.array]) -> dict[str, Any]:
    return {name: from_mlx(array)[1] for name, array in zip(("weight", "scales", "biases"), made, strict=False)}


@pytest.mark.parametrize("shape", [(4, 128), (2, 3, 128)])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(("bits", "group_size"), list(product((2, 3, 4, 5, 6, 8), (32, 64, 128))))
def test_affine_weights_decode_as_mx_dequantize_does(
    bits: int, group_size: int, dtype: str, shape: tuple[int, ...]
) -> None:
    made = mx_quantize(weights(*shape).astype(MLX_DTYPES[dtype]), group_size=group_size, bits=bits)
    expected = mx_dequantize(made, group_size=group_size, bits=bits)
    raw = parts_of(made)
    if dtype == "F32":
        raw = {name: bits.view(np.float32) if name != "weight" else bits for name, bits in raw.items()}
    if dtype == "F16":
        raw = {name: bits.view(np.float16) if name != "weight" else bits for name, bits in raw.items()}
    found = decode(raw, mode="affine", bits=bits, group_size=group_size, scale_dtype=dtype)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1e4])
@pytest.mark.parametrize(("mode", "bits", "group_size"), OTHERS)
def test_the_other_modes_decode_as_mx_dequantize_does(mode: str, bits: int, group_size: int, scale: float) -> None:
    made = mx_quantize(weights(3, 5, 128, scale=scale), group_size=group_size, bits=bits, mode=mode)
    expected = mx_dequantize(made, group_size=group_size, bits=bits, mode=mode)
    found = decode(parts_of(made), mode=mode, bits=bits, group_size=group_size, scale_dtype="U8")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("scale", [1e-6, 0.02, 50.0])
def test_nvfp4_with_a_tensor_scale_per_expert_decodes_as_mx_dequantize_does(scale: float) -> None:
    array = weights(3, 4, 64, scale=scale) * mx.array([1.0, 0.01, 7.0])[:, None, None]
    largest = mx.max(mx.abs(array), axis=(-2, -1))
    settings = [{"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": largest[e]} for e in range(3)]
    made = [mx_quantize(array[e], **settings[e]) for e in range(3)]
    expected = [mx_dequantize(made[e], **settings[e]) for e in range(3)]
    parts = {name: np.stack([np.array(pair[i]) for pair in made]) for i, name in enumerate(("weight", "scales"))}
    parts["global_scale"] = np.array(largest)
    found = decode(parts, mode="nvfp4", bits=4, group_size=16, scale_dtype="U8")
    assert np.array_equal(found, np.stack(expected))
    assert np.abs(found - np.array(array)).max() < 0.2 * scale * 30


def test_codes_are_packed_from_the_lowest_bit_across_words() -> None:
    values = np.array([[1, 2, 3, 4, 5, 6, 7, 0, 7, 6, 5, 4, 3, 2, 1, 0] * 2])
    stream = sum(int(code) << (3 * place) for place, code in enumerate(values[0]))
    words = np.array([[(stream >> (32 * word)) & 0xFFFFFFFF for word in range(3)]], np.uint32)
    assert np.array_equal(codes(words, 3), values)


def test_the_tables_are_those_of_the_ocp_formats() -> None:
    assert sorted({abs(float(value)) for value in E2M1}) == [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    assert float(np.nanmax(E4M3)) == 448.0
    assert float(E4M3[1]) == 2.0**-9
    assert np.isnan(E4M3).sum() == 2
    from_mlx_table = np.array(mx.from_fp8(mx.arange(256).astype(mx.uint8), dtype=mx.float32))
    finite = ~np.isnan(E4M3)
    assert np.array_equal(E4M3[finite], from_mlx_table[finite])
