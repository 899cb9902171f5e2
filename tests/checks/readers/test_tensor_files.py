from pathlib import Path

import numpy as np
import pytest

from hubbot.checks.readers.tensor_files import TensorFiles
from hubbot.errors import CorruptHeader
from tests.checkpoints_on_disk import safetensors
from tests.reference.checkpoints import case, files, tensors, write

OPEN = Path("/proc/self/fd")


@pytest.mark.parametrize("name", ["qwen3_moe/sharded", "qwen3_moe/bf16", "mixtral/v5"])
def test_values_are_those_that_transformers_saved(name: str, tmp_path: Path) -> None:
    write(case(name), tmp_path)
    found = TensorFiles(tmp_path, tuple(file for file in files(case(name)) if file.endswith(".safetensors")))
    expected = tensors(case(name))
    assert found.tensors.keys() == expected.keys()
    for key, values in expected.items():
        assert np.array_equal(found.floats(key, 0, len(values)), values)
        assert np.array_equal(found.floats(key, 1, 3), values[1:3])
    assert found.doubled == []


def test_a_tensor_in_two_files_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(safetensors({"x": ("F32", np.zeros(3, np.uint32))}))
    assert TensorFiles(tmp_path, ("a", "b")).doubled == ["x"]


def test_a_broken_header_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff" * 20)
    with pytest.raises(CorruptHeader):
        TensorFiles(tmp_path, ("a",))


@pytest.mark.skipif(not OPEN.is_dir(), reason="the system does not list a process's open files")
def test_no_file_is_kept_open_however_many_there_are(tmp_path: Path) -> None:
    names = tuple(f"model-{number}.safetensors" for number in range(40))
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(safetensors({f"x{number}": ("F32", np.zeros(30_000, np.uint32))}))
    files = TensorFiles(tmp_path, names)
    for name in files.tensors:
        files.raw(name, 0, 30_000)
    opened = [str(link.resolve()) for link in OPEN.iterdir()]
    assert not [path for path in opened if path.startswith(str(tmp_path.resolve()))]
