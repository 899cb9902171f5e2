"""The compiled look at affine groups says what numpy says, and is left where it does not."""

from typing import Any

import numpy as np
import pytest

from hubbot.checks.values import first_sight
from hubbot.checks.values.exact_match import match
from tests.checks.values.test_exact_match import parameter, quantized, weights


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(first_sight, "_state", first_sight._State())
    assert first_sight.prepare()
    assert first_sight._state.kernel is not None
    return first_sight._state.kernel


def test_the_kernel_agrees_with_numpy_on_right_and_wrong_groups(kernel: Any) -> None:
    assert first_sight.agrees(kernel)


def test_a_kernel_that_passes_one_wrong_group_is_left(kernel: Any) -> None:
    def lenient(*given: Any) -> None:
        kernel(*given)
        fits = given[-1]
        fits[0] = True

    assert not first_sight.agrees(lenient)


@pytest.mark.parametrize(("bits", "group_size"), [(2, 64), (3, 32), (4, 64), (5, 64), (6, 128), (8, 32)])
def test_single_codes_scales_and_biases_that_are_wrong_are_found_with_the_kernel_too(
    kernel: Any, bits: int, group_size: int
) -> None:
    assert kernel is not None
    source = weights(16, 256)
    for name, place in (("weight", 77), ("scales", 9), ("biases", 30)):
        parts = quantized(source, "affine", bits, group_size, "BF16")
        known = parameter("affine", bits, group_size, "BF16")
        good = match(known, source, parts, also_dtype="BF16", exact=False)
        assert not good.wrong.any()
        parts[name].reshape(-1)[place] ^= 8
        bad = match(known, source, parts, also_dtype="BF16", exact=False)
        per_unit = group_size * bits // 32 if name == "weight" else 1
        assert np.flatnonzero(bad.wrong).tolist() == [place // per_unit]


def test_until_enough_was_looked_at_numpy_judges_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_sight, "_state", first_sight._State())
    source = weights(4, 256)
    parts = quantized(source, "affine", 4, 64, "BF16")
    assert not match(parameter("affine", 4, 64, "BF16"), source, parts, also_dtype="BF16", exact=False).differs
    assert first_sight._state.kernel is None
    assert not first_sight._state.is_begun


def test_without_numba_numpy_judges_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_sight, "_state", first_sight._State())
    monkeypatch.setitem(__import__("sys").modules, "hubbot.checks.values.compiled", None)
    assert not first_sight.prepare()


def test_the_micro_scaled_kernel_agrees_with_numpy_on_right_and_wrong_groups(kernel: Any) -> None:
    assert kernel is not None
    assert first_sight._state.micro is not None
    assert first_sight.micro_agrees(first_sight._state.micro)


def test_a_micro_scaled_kernel_that_passes_one_wrong_group_is_left(kernel: Any) -> None:
    micro = first_sight._state.micro
    assert kernel is not None
    assert micro is not None

    def lenient(*given: Any) -> None:
        micro(*given)
        fits = given[-1]
        fits[0] = True

    assert not first_sight.micro_agrees(lenient)


@pytest.mark.parametrize(("mode", "bits", "group_size"), [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)])
def test_single_micro_scaled_codes_and_scales_that_are_wrong_are_found_with_the_kernel_too(
    kernel: Any, mode: str, bits: int, group_size: int
) -> None:
    assert kernel is not None
    source = weights(16, 256)
    for name, place in (("weight", 77), ("scales", 9)):
        parts = quantized(source, mode, bits, group_size, "BF16")
        known = parameter(mode, bits, group_size, "BF16")
        assert not match(known, source, parts, also_dtype="BF16", exact=False).wrong.any()
        parts[name].reshape(-1)[place] ^= 4
        bad = match(known, source, parts, also_dtype="BF16", exact=False)
        per_unit = group_size * bits // 32 if name == "weight" else 1
        assert np.flatnonzero(bad.wrong).tolist() == [place // per_unit]
