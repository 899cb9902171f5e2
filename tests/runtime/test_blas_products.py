"""numpy's products are MLX's products, and are left where they are not."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx_lm.models.switch_layers import SwitchGLU, SwitchLinear, SwitchMLP

from hubbot.runtime import blas_products, decoded_rows
from hubbot.runtime.attention_products import attention
from hubbot.runtime.blas_products import by_expert, float32, multiply, products_by_blas, stored_rows, widened
from hubbot.runtime.expert_stacks import ExpertStack, computing_stacks, stand_in, to_mlx

MODES = [("affine", bits, 64) for bits in (2, 3, 4, 5, 6, 8)] + [
    ("mxfp4", 4, 32),
    ("mxfp8", 8, 32),
    ("nvfp4", 4, 16),
]


@pytest.fixture(autouse=True)
def on_the_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def numbers(*shape: int, seed: int = 0) -> Any:
    return mx.array(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def close(one: Any, other: Any, tolerance: float = 1e-5) -> bool:
    left, right = np.array(one), np.array(other)
    return left.shape == right.shape and bool(np.abs(left - right).max() <= tolerance * np.abs(right).max())


def test_every_kind_of_product_agrees_with_mlx_and_is_put_back_afterwards() -> None:
    before = mx.matmul, mx.gather_mm, mx.array.__matmul__
    assert blas_products.agrees()
    assert (mx.matmul, mx.gather_mm, mx.array.__matmul__) == before


def test_a_product_that_disagrees_keeps_numpy_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_products, "_gather_qmm", lambda *args, **_: np.zeros((3, 2, 1, 24), np.float32))
    assert not blas_products.agrees()


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_equal_weights_give_equal_bits_however_they_are_stored(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas_products, "BLOCK_BYTES", 7 * 4 * 64)  # several blocks, the last one shorter
    tokens, weight = np.array(numbers(9, 64)), numbers(40, 64, seed=1).astype(dtype)
    wide = weight.astype(mx.float32)
    assert np.array_equal(multiply(tokens, stored_rows(weight), 40), multiply(tokens, stored_rows(wide), 40))
    assert close(multiply(tokens, stored_rows(weight), 40), tokens @ np.array(wide).T)


def test_products_of_integers_and_of_16_bit_activations_stay_mlxs() -> None:
    with products_by_blas():
        assert (numbers(3, 8).astype(mx.bfloat16) @ numbers(8, 4).astype(mx.bfloat16)).dtype == mx.bfloat16
    with pytest.raises(blas_products.NotHere):
        float32(mx.array([1, 2]))


def test_inside_a_compiled_function_mlx_multiplies() -> None:
    one, other = numbers(5, 8), numbers(8, 3)
    with products_by_blas():
        assert close(mx.compile(lambda left, right: left @ right + 1)(one, other), one @ other + 1)


def test_tokens_are_handed_to_their_expert_together_and_come_back_to_their_places() -> None:
    x = np.array(numbers(5, 1, 1, 6))
    indices = np.array([[2, 0], [0, 1], [2, 1], [0, 2], [1, 0]])
    seen: dict[int, int] = {}

    def compute(expert: int, tokens: Any) -> Any:
        seen[expert] = len(tokens)
        return tokens * np.float32(expert + 1)

    out = by_expert(x, indices, compute, 6)
    assert seen == {0: 4, 1: 3, 2: 3}
    assert np.array_equal(out, x * (indices[:, :, None, None] + 1).astype(np.float32))


@pytest.mark.parametrize("mask", [None, "causal", "seen", "added"])
@pytest.mark.parametrize("sinks", [False, True])
def test_attention_is_mlxs_attention(mask: str | None, sinks: bool) -> None:
    q, k, v = numbers(2, 4, 6, 8), numbers(2, 2, 9, 8, seed=1), numbers(2, 2, 9, 5, seed=2)
    seen = mx.array(np.tri(6, 9, 3, dtype=np.bool_))
    given = {"seen": seen, "added": mx.where(seen, 0.0, -1e9)}.get(mask or "", mask)
    extra = {"sinks": numbers(4, seed=3)} if sinks else {}
    wanted = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.35, mask=given, **extra)
    numpy_mask = np.array(given) if isinstance(given, mx.array) else given
    found = attention(
        *(np.array(part) for part in (q, k, v)), scale=0.35, mask=numpy_mask,
        sinks=np.array(extra["sinks"]) if sinks else None,
    )  # fmt: skip
    assert close(found, wanted)


@pytest.mark.parametrize(("mode", "bits", "size"), MODES)
def test_rows_are_decoded_as_mlx_decodes_them(mode: str, bits: int, size: int) -> None:
    words, scales, *biases = mx.quantize(numbers(10, 128), group_size=size, bits=bits, mode=mode)
    stored = {"group_size": size, "bits": bits, "mode": mode}
    decode = decoded_rows.compiled()
    if decode is None:
        pytest.skip("numba is not installed")
    found = decode(words[2:7], scales[2:7], biases[0][2:7] if biases else None, stored)
    wanted = mx.dequantize(words, scales, biases[0] if biases else None, size, bits, mode=mode, dtype=mx.float32)[
        2:7
    ]
    assert close(found, wanted, 1e-6)


def test_a_way_to_decode_that_is_wrong_in_one_code_is_left() -> None:
    def wrong(words: Any, scales: Any, biases: Any, stored: dict[str, Any]) -> Any:
        made = decoded_rows.decode(words, scales, biases, stored).copy()
        made[-1, -1] += np.float32(1e-3) if stored["bits"] == 5 else np.float32(0)
        return made

    assert decoded_rows.agrees(decoded_rows.compiled() or decoded_rows.decode)
    assert not decoded_rows.agrees(wrong)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("kind", [SwitchGLU, SwitchMLP])
def test_an_expert_layer_computes_in_numpy_what_mlx_computes(kind: Any, quantized: bool, bias: bool) -> None:
    layer = kind(64, 96, 5, bias=bias)
    layer.update(
        {name: {"bias": numbers(*part["bias"].shape)} for name, part in layer.items() if bias and "bias" in part}
    )
    if quantized:
        nn.quantize(layer, group_size=32, bits=4)
    x, indices = numbers(2, 40, 64), mx.array(np.random.default_rng(7).integers(0, 5, (2, 40, 3)))
    wanted = layer(x, indices)
    mx.eval(wanted)
    with products_by_blas(), computing_stacks({}):
        found = layer(x, indices)
    assert close(found, wanted)


def test_a_stack_is_read_expert_by_expert_and_only_where_tokens_go() -> None:
    weight = numbers(4, 24, 16).astype(mx.bfloat16)
    bits, asked = np.array(weight.view(mx.uint16)), []

    def expert(index: int) -> tuple[Any, str]:
        asked.append(index)
        return bits[index], "BF16"

    stack = ExpertStack(shape=(4, 24, 16), expert=expert)
    layer = SwitchLinear(16, 24, 4, bias=False)
    layer.weight = weight.astype(mx.float32)
    x, indices = numbers(6, 1, 1, 16), mx.array([[0, 3], [3, 0], [0, 3], [3, 0], [0, 0], [3, 3]])
    wanted = layer(x, indices)
    mx.eval(wanted)
    layer.weight = stand_in(stack.shape)
    with products_by_blas(), computing_stacks({id(layer): stack}):
        found = layer(x, indices)
    assert close(found, wanted)
    assert asked == [0, 3]
    assert mx.array_equal(stack.whole(), weight)


def test_whatever_computes_with_a_stand_in_is_noticed() -> None:
    assert stand_in((3, 2, 2)).shape == (3, 2, 2)
    assert bool(mx.isnan(numbers(2, 2) @ stand_in((3, 2, 2))).all())


def test_stored_floats_keep_their_bits() -> None:
    bits = np.array([0x3F80, 0xC000, 0x0001], np.uint16)
    assert np.array_equal(widened(bits, "BF16"), np.array(to_mlx(bits, "BF16").astype(mx.float32)))
    half = np.array([1.5, -2, 6e-8], np.float16)
    assert np.array_equal(widened(half, "F16"), np.array(to_mlx(half, "F16").astype(mx.float32)))
