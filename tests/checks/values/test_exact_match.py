from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.checks.readers.artifact_parameters import StoredParameter
from hubbot.checks.readers.tensor_files import Values
from hubbot.checks.values.exact_match import Match, joined, match
from tests.checkpoints_on_disk import MLX_DTYPES, from_mlx, mx_quantize
from tests.reference.checkpoints import Floats


def weights(*shape: int) -> Floats:
    values = np.random.default_rng(4).normal(0, 0.02, shape).astype(np.float32)
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def parameter(mode: str, bits: int, group_size: int, dtype: str) -> StoredParameter:
    parts = ("weight",) if mode == "none" else ("weight", "scales")
    return StoredParameter(
        name="x.weight", shape=(0,), dtype=dtype, mode=mode, bits=bits, group_size=group_size, parts=parts
    )


def quantized(source: Floats, mode: str, bits: int, group_size: int, dtype: str) -> dict[str, Any]:
    made = mx_quantize(mx.array(source).astype(MLX_DTYPES[dtype]), mode=mode, bits=bits, group_size=group_size)
    return {name: from_mlx(part)[1] for name, part in zip(("weight", "scales", "biases"), made, strict=False)}


def seen(source: Floats, parts: dict[str, Any], mode: str, bits: int, group_size: int) -> Match:
    dtype = "BF16" if mode == "affine" else "U8"
    known = parameter(mode, bits, group_size, dtype)
    return match(known, Values(source, "F32"), parts, also_dtype="BF16", exact=False)


MODES = [("affine", 4, 64), ("affine", 3, 32), ("affine", 8, 128), ("mxfp4", 4, 32), ("mxfp8", 8, 32)]


@pytest.mark.parametrize("shape", [(3, 256), (2, 5, 256), (40, 40, 256)])
@pytest.mark.parametrize(("mode", "bits", "group_size"), MODES)
def test_every_group_of_any_number_of_rows_is_compared(
    mode: str, bits: int, group_size: int, shape: tuple[int, ...]
) -> None:
    source = weights(*shape)
    parts = quantized(source, mode, bits, group_size, "BF16")
    good = seen(source, parts, mode, bits, group_size)
    assert good.units == source.size // group_size
    assert not good.differs
    # A high bit of the very last code, not the sign: it may be that of zero.
    parts["weight"].reshape(-1)[-1] ^= 1 << 30
    bad = seen(source, parts, mode, bits, group_size)
    assert bad.wrong.tolist() == [bad.units - 1]


def test_a_source_in_float32_may_have_been_rounded_before_it_was_quantized() -> None:
    source = np.random.default_rng(4).normal(0, 0.02, (64, 256)).astype(np.float32)
    for dtype in ("BF16", "F32"):
        assert not seen(source, quantized(source, "mxfp4", 4, 32, dtype), "mxfp4", 4, 32).differs


def test_a_plain_tensor_is_compared_bit_by_bit_after_rounding() -> None:
    source = np.random.default_rng(4).normal(0, 1, (4, 8)).astype(np.float32)
    for dtype in ("F32", "F16", "BF16"):
        raw = np.array(from_mlx(mx.array(source).astype(MLX_DTYPES[dtype]))[1])
        stored = raw if dtype == "BF16" else raw.view(np.float32 if dtype == "F32" else np.float16)
        known, held = parameter("none", 0, 0, dtype), Values(source, "F32")
        found = match(known, held, {"weight": stored}, also_dtype="F32", exact=False)
        assert not found.differs
        raw[3, 7] ^= 1
        known, held = parameter("none", 0, 0, dtype), Values(source, "F32")
        found = match(known, held, {"weight": stored}, also_dtype="F32", exact=False)
        assert found.wrong.tolist() == [31]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_source_that_holds_no_number_is_not_finite(number: float) -> None:
    source = weights(2, 64)
    parts = quantized(source, "affine", 4, 64, "BF16")
    source[1, 3] = number
    found = seen(source, parts, "affine", 4, 64)
    assert not found.finite
    assert found.differs


def test_matches_are_joined_in_order() -> None:
    one = Match(units=1, wrong=np.array([0]), ties=1, zeroed=0, saturated=2, finite=True)
    two = Match(units=2, wrong=np.array([1]), ties=2, zeroed=1, saturated=0, finite=False)
    both = joined([one, two])
    assert (both.units, both.wrong.tolist()) == (3, [0, 2])
    assert (both.ties, both.zeroed, both.saturated, both.finite) == (3, 1, 2, False)
