"""The compiled look at groups says what numpy says, and is left where it does not."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hubbot.checks.readers.tensor_files import Values, narrow
from hubbot.checks.values import first_sight
from hubbot.checks.values.exact_match import match
from tests.checks.values.test_exact_match import parameter, quantized, weights
from tests.reference.checkpoints import Floats

PARTS = ("AFFINE", "MICRO", "is_copy", "decode_affine", "decode_micro")


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(first_sight, "_state", first_sight._State())
    assert first_sight.prepare()
    return first_sight._state.kernels


def with_one_lie(kernels: Any, name: str) -> Any:
    """The kernels, of which those called `name` pass the first group whatever it holds."""

    def lenient(kernel: Any) -> Any:
        def told(*given: Any) -> None:
            kernel(*given)
            given[-1][0] = True

        return told

    known = {part: getattr(kernels, part) for part in PARTS}
    known[name] = {size: lenient(kernel) for size, kernel in known[name].items()}
    return SimpleNamespace(**known)


def test_the_kernels_agree_with_numpy_on_right_and_wrong_groups(kernels: Any) -> None:
    assert first_sight.agrees(kernels)


@pytest.mark.parametrize("name", ["AFFINE", "MICRO"])
def test_kernels_that_pass_one_wrong_group_are_left(name: str, kernels: Any) -> None:
    assert not first_sight.agrees(with_one_lie(kernels, name))


@pytest.mark.parametrize("name", ["decode_affine", "decode_micro"])
def test_kernels_that_decode_one_number_wrong_are_left(name: str, kernels: Any) -> None:
    usual = getattr(kernels, name)

    def wrong(*given: Any) -> None:
        usual(*given)
        given[-1][-1, -1] += np.float32(1)

    known = {part: getattr(kernels, part) for part in PARTS}
    assert not first_sight.agrees(SimpleNamespace(**known | {name: wrong}))


def test_a_kernel_that_takes_everything_for_a_copy_is_left(kernels: Any) -> None:
    known = {part: getattr(kernels, part) for part in ("AFFINE", "MICRO", "decode_affine", "decode_micro")}
    assert not first_sight.agrees(SimpleNamespace(**known, is_copy=lambda *_: True))


def both_ways(source: Floats) -> tuple[Values, Values]:
    """The same numbers, which bfloat16 holds, as they may be stored."""
    return Values(source, "F32"), Values(narrow(source, "BF16"), "BF16")


@pytest.mark.parametrize(("bits", "group_size"), [(2, 64), (3, 32), (4, 64), (5, 64), (6, 128), (8, 32)])
def test_single_codes_scales_and_biases_that_are_wrong_are_found_with_the_kernel_too(
    kernels: Any, bits: int, group_size: int
) -> None:
    assert kernels is not None
    source = weights(16, 256)
    known = parameter("affine", bits, group_size, "BF16")
    for name, place in (("weight", 77), ("scales", 9), ("biases", 30)):
        parts = quantized(source, "affine", bits, group_size, "BF16")
        for stored in both_ways(source):
            assert not match(known, stored, parts, also_dtype="BF16", exact=stored.dtype == "BF16").wrong.size
        parts[name].reshape(-1)[place] ^= 8
        per_unit = group_size * bits // 32 if name == "weight" else 1
        for stored in both_ways(source):
            bad = match(known, stored, parts, also_dtype="BF16", exact=stored.dtype == "BF16")
            assert bad.wrong.tolist() == [place // per_unit]


@pytest.mark.parametrize(("mode", "bits", "group_size"), [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)])
def test_single_micro_scaled_codes_and_scales_that_are_wrong_are_found_with_the_kernel_too(
    kernels: Any, mode: str, bits: int, group_size: int
) -> None:
    assert kernels is not None
    source = weights(16, 256)
    known = parameter(mode, bits, group_size, "BF16")
    for name, place in (("weight", 77), ("scales", 9)):
        parts = quantized(source, mode, bits, group_size, "BF16")
        for stored in both_ways(source):
            assert not match(known, stored, parts, also_dtype="BF16", exact=stored.dtype == "BF16").wrong.size
        parts[name].reshape(-1)[place] ^= 4
        per_unit = group_size * bits // 32 if name == "weight" else 1
        for stored in both_ways(source):
            bad = match(known, stored, parts, also_dtype="BF16", exact=stored.dtype == "BF16")
            assert bad.wrong.tolist() == [place // per_unit]


@pytest.mark.parametrize(("mode", "bits", "group_size"), [("affine", 4, 64), ("mxfp4", 4, 32), ("nvfp4", 4, 16)])
def test_a_source_that_was_rounded_before_it_was_quantized_fits_with_the_kernel_too(
    kernels: Any, mode: str, bits: int, group_size: int
) -> None:
    assert kernels is not None
    source = np.random.default_rng(4).normal(0, 0.02, (64, 256)).astype(np.float32)
    parts = quantized(source, mode, bits, group_size, "BF16")
    known = parameter(mode, bits, group_size, "BF16" if mode == "affine" else "U8")
    assert not match(known, Values(source, "F32"), parts, also_dtype="BF16", exact=False).differs


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("mode", "bits", "group_size"), [("affine", 4, 64), ("mxfp4", 4, 32), ("none", 0, 0)])
def test_a_source_that_holds_no_number_is_not_finite_with_the_kernel_too(
    kernels: Any, mode: str, bits: int, group_size: int, number: float
) -> None:
    assert kernels is not None
    source = weights(2, 64)
    parts = {} if mode == "none" else quantized(source, mode, bits, group_size, "BF16")
    source[1, 3] = number
    parts = parts or {"weight": narrow(source, "BF16")}
    known = parameter(mode, bits, group_size, "BF16")
    for stored in both_ways(source):
        assert not match(known, stored, parts, also_dtype="BF16", exact=True).finite


def test_below_so_many_elements_numpy_judges_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_sight, "_state", first_sight._State())
    first_sight.begin(first_sight.COMPILED_FROM - 1)
    assert first_sight._state.kernels is None
    source = weights(4, 256)
    parts = quantized(source, "affine", 4, 64, "BF16")
    known = parameter("affine", 4, 64, "BF16")
    assert not match(known, Values(source, "F32"), parts, also_dtype="BF16", exact=False).differs


def test_without_numba_numpy_judges_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_sight, "_state", first_sight._State())
    monkeypatch.setitem(__import__("sys").modules, "hubbot.checks.values.compiled", None)
    monkeypatch.delattr("hubbot.checks.values.compiled", raising=False)
    assert not first_sight.prepare()
