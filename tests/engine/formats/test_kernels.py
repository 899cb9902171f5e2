"""The compiled kernels give the definitions' bits, and are left where they do not."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hubbot.engine.floats import NotFinite
from hubbot.engine.formats import affine, kernels, microscaling, self_check
from hubbot.engine.formats.kernels import Kernels
from tests.engine.formats.hard_groups import as_bits, hard_groups

KINDS = hard_groups()
DTYPES = ("BF16", "F16", "F32")


@pytest.fixture(scope="module")
def compiled() -> Kernels:
    pytest.importorskip("numba", reason="numba is not installed")
    return kernels.fused()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known yet of the kernels of this machine."""
    monkeypatch.setattr(kernels, "_known", {})
    monkeypatch.setattr(kernels, "_begun", set())


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(part, other[name]) for name, part in one.items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_affine_codes_have_the_defined_bits(compiled: Kernels, kind: str, dtype: str) -> None:
    raw = as_bits(KINDS[kind], dtype)
    for size in (32, 64, 128):
        settings: dict[str, Any] = {"group_size": size, "widths": self_check.WIDTHS}
        found = compiled.affine(raw, dtype, scale_dtype="BF16", **settings)
        wanted = affine.quantize(raw, dtype, scale_dtype="BF16", **settings)
        assert all(same(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", microscaling.SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_micro_scaled_codes_have_the_defined_bits(
    compiled: Kernels, kind: str, mode: str, dtype: str
) -> None:
    raw = as_bits(KINDS[kind], dtype)
    found = compiled.microscaling(raw, dtype, mode=mode)
    assert same(found, microscaling.quantize(raw, dtype, mode=mode))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_scale_of_each_expert_gives_the_defined_bits(compiled: Kernels, dtype: str) -> None:
    values = np.random.default_rng(0).normal(0, 1, (4, 3, 64)) * np.array([1e-3, 1, 0, 50])[:, None, None]
    raw = as_bits(values, dtype)
    largest = microscaling.largest_magnitudes(raw, dtype)
    found = compiled.microscaling(raw, dtype, mode="nvfp4", largest=largest)
    assert same(found, microscaling.quantize(raw, dtype, mode="nvfp4", largest=largest))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [0, 4095, 4096, 65535])
def test_a_single_number_that_is_none_is_met_wherever_it_is(compiled: Kernels, place: int, dtype: str) -> None:
    raw = as_bits(np.random.default_rng(1).normal(0, 1, (16, 4096)), dtype)
    raw.reshape(-1)[place] = {"F32": 0xFF800001, "F16": 0x7C00, "BF16": 0x7FC0}[dtype]
    with pytest.raises(NotFinite):
        compiled.affine(raw, dtype, group_size=64, widths=(4, 8), scale_dtype="BF16")
    for mode in microscaling.SHAPES:
        with pytest.raises(NotFinite):
            compiled.microscaling(raw, dtype, mode=mode)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_self_check_passes_the_compiled_kernels(compiled: Kernels, dtype: str) -> None:
    assert self_check.first_fault(compiled.affine, compiled.microscaling, dtype) is None
    assert kernels.checked(dtype).reason is None


def one_bit_wrong_in_constant_groups(quantize: Callable[..., Any]) -> Callable[..., Any]:
    def planted(raw: Any, dtype: str, **settings: Any) -> Any:
        made = quantize(raw, dtype, **settings)
        parts = made[-1] if isinstance(made, list) else made
        rows = raw.reshape(len(raw), -1)
        if rows[0, 0] == rows[0, 1] != 0:
            parts["weight"].reshape(-1)[0] ^= 1
        return made

    return planted


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("part", ["affine", "microscaling"])
def test_one_wrong_bit_in_one_kind_of_group_is_found_and_the_kernels_left(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = replace(kernels.DEFINITIONS, reason=None)
    planted = replace(right, **{part: one_bit_wrong_in_constant_groups(getattr(right, part))})  # type: ignore[arg-type]
    monkeypatch.setattr(kernels, "fused", lambda: planted)
    chosen = kernels.checked("BF16")
    assert chosen.affine is affine.quantize
    assert chosen.microscaling is microscaling.quantize
    assert "self-check" in str(chosen.reason)
    assert "constant" in str(chosen.reason)


def test_kernels_that_overlook_nan_are_left() -> None:
    with np.errstate(all="ignore"):
        fault = self_check.first_fault(affine.quantize, microscaling.quantize, "BF16")
    assert fault == "NaN or infinity is overlooked in BF16"


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("error", [ImportError("no numba"), RuntimeError("cannot cache function")])
def test_without_numba_or_a_place_for_its_cache_numpy_computes(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Kernels:
        raise error

    monkeypatch.setattr(kernels, "fused", missing)
    chosen = kernels.checked("F16")
    assert chosen.affine is affine.quantize
    assert "numba" in str(chosen.reason)


@pytest.mark.usefixtures("unknown")
def test_numpy_computes_until_the_kernels_are_compiled_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling, found = threading.Event(), replace(kernels.DEFINITIONS, reason=None)

    def slowly(_: str) -> Kernels:
        assert compiling.wait(20)
        return found

    monkeypatch.setattr(kernels, "_judged", slowly)
    assert kernels.fastest("BF16", nbytes=1 << 40) is kernels.DEFINITIONS
    assert kernels.fastest("BF16", nbytes=1 << 40) is kernels.DEFINITIONS
    compiling.set()
    assert kernels.checked("BF16") is found
    assert kernels.fastest("BF16", nbytes=1 << 40) is found
    assert kernels.fastest("BF16", nbytes=1 << 20) is kernels.DEFINITIONS


def test_a_small_source_is_quantized_without_importing_numba() -> None:
    code = (
        "import sys; from hubbot.engine import streaming; from hubbot.engine.formats import kernels; "
        "kernels.fastest('BF16', nbytes=1 << 20); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
