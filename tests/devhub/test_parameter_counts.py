from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from hubbot.devhub.parameter_counts import count_parameters, read_header


def _write(path: Path, header: Any, *, length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)
    return path


def test_elements_are_counted_per_dtype_over_all_files(tmp_path: Path) -> None:
    one = {"__metadata__": {"format": "mlx"}, "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}
    two = {"b": {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]}, "c": {"dtype": "U32", "shape": [5]}}
    paths = [_write(tmp_path / "1", one), _write(tmp_path / "2", two)]
    assert count_parameters(paths) == {"BF16": 7, "U32": 5}
    assert count_parameters([]) is None


@pytest.mark.parametrize("length", [10**6, 2**63, 100_000_001])
def test_a_header_longer_than_its_file_is_not_read(tmp_path: Path, length: int) -> None:
    path = _write(tmp_path / "lying", {}, length=length)
    assert read_header(path) is None
    assert count_parameters([path]) is None


@pytest.mark.parametrize(
    "tensor", [7, {}, {"dtype": "F32", "shape": 3}, {"dtype": 1, "shape": []}, {"dtype": "F32", "shape": [-1]}]
)
def test_an_odd_tensor_is_no_count(tmp_path: Path, tensor: Any) -> None:
    assert count_parameters([_write(tmp_path / "odd", {"a": tensor})]) is None


@pytest.mark.parametrize("content", [b"", b"1234", struct.pack("<Q", 4) + b"[1]{", struct.pack("<Q", 2) + b"[]"])
def test_what_is_no_safetensors_file_has_no_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert read_header(tmp_path / "x") is None
