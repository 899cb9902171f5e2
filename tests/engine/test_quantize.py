from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.engine import quantize
from hubbot.plans import Encoding
from tests.checkpoints_on_disk import MLX_DTYPES, adversarial, mx_quantize

AFFINE = [
    Encoding(mode="affine", dtype="BF16", bits=bits, group_size=group)
    for bits in (3, 4, 5, 6, 8)
    for group in (32, 64)
]
OTHERS = [
    Encoding(mode="mxfp4", dtype="U8", bits=4, group_size=32),
    Encoding(mode="mxfp8", dtype="U8", bits=8, group_size=32),
    Encoding(mode="nvfp4", dtype="U8", bits=4, group_size=16),
]
# The formats' own tests see to weights below the least e8m0 scale.
KINDS = {kind: values for kind, values in adversarial(64) if kind != "subnormal"}


def encoded(array: mx.array, encoding: Encoding) -> dict[str, mx.array]:
    """What `encode` makes of an MLX array, as MLX arrays."""
    dtype = next(name for name, kind in MLX_DTYPES.items() if kind == array.dtype)
    raw = np.array(array.view(mx.uint32 if dtype == "F32" else mx.uint16))
    (parts,) = quantize.encode(raw, dtype, [encoding])
    scale = MLX_DTYPES.get(encoding.dtype)
    floats = {"", "scales", "biases"} if scale else set()
    made = {name: mx.array(part) for name, part in parts.items()}
    return {name: part.view(scale) if scale and name in floats else part for name, part in made.items()}


def weights(*shape: int, seed: int = 7) -> mx.array:
    return mx.array(np.random.default_rng(seed).normal(0, 0.05, shape).astype(np.float32))


def same(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and bool(mx.array_equal(one, other))


@pytest.mark.parametrize("source", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("encoding", AFFINE, ids=lambda e: f"{e.bits}bit-{e.group_size}")
def test_affine_parts_are_mx_quantizes_of_the_weights_in_the_scales_dtype(encoding: Encoding, source: str) -> None:
    array = weights(3, 8, 128).astype(MLX_DTYPES[source])
    parts = encoded(array, encoding)
    expected = mx_quantize(array.astype(mx.bfloat16), group_size=encoding.group_size, bits=encoding.bits)
    assert list(parts) == ["weight", "scales", "biases"]
    assert all(same(part, wanted) for part, wanted in zip(parts.values(), expected, strict=True))


@pytest.mark.parametrize("encoding", OTHERS, ids=lambda e: e.mode)
def test_parts_of_the_other_modes_are_mx_quantizes(encoding: Encoding) -> None:
    array = weights(3, 8, 128).astype(mx.bfloat16)
    parts = encoded(array, encoding)
    settings = {"group_size": encoding.group_size, "bits": encoding.bits, "mode": encoding.mode}
    expected = mx_quantize(array, **settings)
    assert list(parts) == ["weight", "scales"]
    assert all(same(part, wanted) for part, wanted in zip(parts.values(), expected, strict=True))


@pytest.mark.parametrize("source", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("encoding", OTHERS, ids=lambda e: e.mode)
@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_groups_have_mx_quantizes_bits_too(kind: str, encoding: Encoding, source: str) -> None:
    array = mx.array(KINDS[kind]).astype(MLX_DTYPES[source])
    parts = encoded(array, encoding)
    settings = {"group_size": encoding.group_size, "bits": encoding.bits, "mode": encoding.mode}
    expected = mx_quantize(array, **settings)
    assert all(same(part, wanted) for part, wanted in zip(parts.values(), expected, strict=True))


@pytest.mark.parametrize("step", [1, 2, 5, 6])
@pytest.mark.parametrize("axis_rows", [True, False], ids=["rows", "experts"])
@pytest.mark.parametrize("encoding", [AFFINE[0], AFFINE[3], *OTHERS], ids=lambda e: f"{e.mode}-{e.bits}")
def test_slicing_does_not_change_a_bit(encoding: Encoding, step: int, axis_rows: bool) -> None:
    array = weights(6, 128) if axis_rows else weights(6, 4, 128)
    whole = encoded(array, encoding)
    slices = [encoded(array[start : start + step], encoding) for start in range(0, 6, step)]
    for name, part in whole.items():
        assert same(mx.concatenate([made[name] for made in slices]), part)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_tensor_scale_belongs_to_one_expert_whatever_the_slicing(step: int) -> None:
    encoding = Encoding(mode="nvfp4", dtype="U8", bits=4, group_size=16, global_scale=True)
    array = weights(4, 8, 64) * mx.array([1e-4, 1.0, 30.0, 0.01])[:, None, None]
    made = [encoded(array[start : start + step], encoding) for start in range(0, 4, step)]
    for expert in range(4):
        largest = mx.max(mx.abs(array[expert]))
        settings = {"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": largest}
        weight, scales = mx_quantize(array[expert], **settings)
        parts = made[expert // step]
        assert same(parts["weight"][expert % step], weight)
        assert same(parts["scales"][expert % step], scales)
        assert float(parts["global_scale"][expert % step]) == float(largest)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_plain_tensor_is_cast_once_to_nearest_even(dtype: str) -> None:
    array = weights(5, 9)
    parts = encoded(array, Encoding(mode="none", dtype=dtype))
    assert list(parts) == [""]
    if dtype == "F16":
        assert np.array_equal(np.array(parts[""]), np.array(array).astype(np.float16))
    assert same(parts[""], array.astype(MLX_DTYPES[dtype]))


def test_several_encodings_together_are_each_what_it_is_alone() -> None:
    raw = np.random.default_rng(11).normal(0, 1, (4, 128)).astype(np.float32).view(np.uint32)
    plain = Encoding(mode="none", dtype="BF16")
    several = [AFFINE[1], plain, OTHERS[0], AFFINE[3], AFFINE[1]]
    for encoding, together in zip(several, quantize.encode(raw, "F32", several), strict=True):
        (alone,) = quantize.encode(raw, "F32", [encoding])
        assert together.keys() == alone.keys()
        assert all(np.array_equal(together[name], alone[name]) for name in alone)
