from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.engine.formats import affine
from tests.engine.formats.hard_groups import as_bits, hard_groups, of_mlx

WIDTHS = (2, 3, 4, 5, 6, 8)
KINDS = hard_groups()


def check(values: npt.NDArray[Any], dtype: str, group: int, scale_dtype: str) -> None:
    raw = as_bits(values, dtype)
    made = affine.quantize(raw, dtype, group_size=group, widths=WIDTHS, scale_dtype=scale_dtype)
    for bits, parts in zip(WIDTHS, made, strict=True):
        wanted_parts = of_mlx(raw, dtype, group_size=group, bits=bits, scale_dtype=scale_dtype)
        for found, wanted in zip(parts.values(), wanted_parts, strict=True):
            assert found.shape == wanted.shape
            assert np.array_equal(found, wanted), f"{bits} bits"


@pytest.mark.parametrize("scale_dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_every_width_has_mx_quantizes_bits(dtype: str, group: int, scale_dtype: str) -> None:
    check(np.random.default_rng(4).normal(0, 0.05, (3, 7, 256)).astype(np.float32), dtype, group, scale_dtype)


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_groups_have_mx_quantizes_bits_too(kind: str, dtype: str) -> None:
    check(KINDS[kind], dtype, 64, "F32" if dtype == "F32" else "BF16")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.integers(-30, 12), offset=st.sampled_from([0.0, 1.0, -3.0]))
def test_groups_of_any_scale_have_mx_quantizes_bits(seed: int, spread: int, offset: float) -> None:
    values = np.random.default_rng(seed).normal(offset, 1, (4, 64)) * 2.0**spread
    check(values.astype(np.float32), "F32", 32, "F16" if abs(spread) < 8 else "BF16")


def test_a_tensor_larger_than_one_block_is_put_together_rightly() -> None:
    values = np.random.default_rng(9).normal(0, 1, (5, (affine.BLOCK // 64) * 48)).astype(np.float32)
    check(values, "BF16", 64, "BF16")


@pytest.mark.parametrize("bits", WIDTHS)
def test_packing_is_one_little_endian_stream_of_bits(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, 4096).astype(np.uint8)
    stream = np.unpackbits(codes[:, None], axis=1, bitorder="little")[:, :bits].reshape(-1)
    out = np.empty(4096 * bits // 8 + 8, np.uint8)
    affine.pack_into(out, codes, bits)
    assert np.array_equal(out[:-8], np.packbits(stream, bitorder="little"))
