from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors import safe_open

from hubbot.devhub.demo_models.weights import halve, read_weights, widen, write_weights

if TYPE_CHECKING:
    from pathlib import Path


def test_widening_keeps_every_bfloat16_exactly() -> None:
    bits = np.arange(2**16, dtype="<u2")
    wide = widen(bits)

    assert np.array_equal(wide.view("<u4") >> 16, bits)
    assert not (wide.view("<u4") & 0xFFFF).any()


def test_widening_knows_the_numbers() -> None:
    assert widen(np.array([0x3F80, 0xC000, 0x3F00, 0x0000], dtype="<u2")).tolist() == [1.0, -2.0, 0.5, 0.0]


def test_halving_keeps_what_float16_can_hold() -> None:
    assert halve(np.array([0x3F80, 0xC000], dtype="<u2")).tolist() == [1.0, -2.0]


def test_halving_refuses_a_number_beyond_float16() -> None:
    with pytest.raises(OverflowError, match="beyond float16"):
        halve(np.array([0x4780], dtype="<u2"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    tensors = {
        "b": np.arange(6, dtype="<u2").reshape(2, 3),
        "a": np.ones((1, 2, 2), dtype="<f4"),
        "c": np.zeros(5, dtype="<f2"),
    }
    write_weights(tmp_path / "model.safetensors", tensors)
    again = read_weights(tmp_path / "model.safetensors")

    assert again.keys() == tensors.keys()
    assert all(np.array_equal(again[name], tensors[name]) for name in tensors)


def test_the_safetensors_library_reads_what_is_written(tmp_path: Path) -> None:
    write_weights(tmp_path / "x.safetensors", {"w": np.zeros((2, 3), dtype="<u2"), "v": np.ones(1, dtype="<f4")})
    with safe_open(tmp_path / "x.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "pt"}
        assert sorted(file.keys()) == ["v", "w"]
        assert file.get_slice("w").get_dtype() == "BF16"
        assert file.get_slice("w").get_shape() == [2, 3]
        assert file.get_tensor("v").tolist() == [1.0]
