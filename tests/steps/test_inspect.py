import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.checkpoints import Checkpoint
from hubbot.errors import CorruptConfig, CorruptHeader, NotMixtureOfExperts, UnknownPacking
from hubbot.folders import Folder
from hubbot.pickles import door
from hubbot.steps.inspect import FIRST_READ, inspect
from tests.checkpoints_on_disk import edit_json, read_stored, safetensors
from tests.reference.checkpoints import case, tensors, write

INDEX = "model.safetensors.index.json"


def looked(folder: Path) -> Checkpoint:
    return inspect(Folder(folder))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/hub"), tmp_path)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/sharded"), tmp_path)


@pytest.mark.parametrize("name", ["qwen3_moe/sharded", "qwen3_moe/bf16", "mixtral/v5"])
def test_every_tensor_is_found_with_its_shape_and_its_bytes(name: str, tmp_path: Path) -> None:
    made = case(name)
    found = looked(write(made, tmp_path))
    values = tensors(made)
    assert {tensor.name: tensor.shape for tensor in found.tensors.values()} == {
        k: v.shape for k, v in values.items()
    }
    assert found.config == made.config
    for shard in found.shards:
        stored = read_stored(tmp_path / shard)
        data = (tmp_path / shard).read_bytes()
        for tensor, (dtype, bits) in stored.items():
            info = found.tensors[tensor]
            assert (info.shard, info.dtype) == (shard, dtype)
            assert data[info.start : info.end] == bits.tobytes()


def test_reading_costs_a_request_for_the_config_and_one_per_shard(sharded: Path) -> None:
    found = looked(sharded)
    assert found.requests == 2 + len(found.shards)
    sizes = {file.path: file.size for file in found.files}
    headers = sum(min(FIRST_READ, sizes[shard]) for shard in found.shards)
    assert found.bytes_read == sizes["config.json"] + sizes[INDEX] + headers


def test_a_header_longer_than_the_first_read_takes_one_request_more(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    stored = {f"tensor.{'x' * 200}.{number}": ("U8", np.zeros(1, np.uint8)) for number in range(800)}
    data = safetensors(stored)
    assert int.from_bytes(data[:8], "little") > FIRST_READ
    (tmp_path / "model.safetensors").write_bytes(data)
    found = looked(tmp_path)
    assert len(found.tensors) == 800
    assert found.requests == 3
    assert found.bytes_read == 2 + 8 + int.from_bytes(data[:8], "little")


def test_weights_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 28], "data_offsets": [0, 1 << 30]}}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (1 << 30))
    found = looked(tmp_path)
    assert found.weight_bytes == 1 << 30
    assert found.bytes_read <= FIRST_READ + 2


def test_an_index_that_names_a_missing_shard_is_corrupt_and_names_it(sharded: Path) -> None:
    name = looked(sharded).shards[-1]
    (sharded / name).unlink()
    with pytest.raises(CorruptHeader, match=f"names '{name}', which is not in the repo") as caught:
        looked(sharded)
    assert caught.value.where == INDEX


def test_a_tensor_in_two_shards_is_corrupt_and_both_are_named(sharded: Path) -> None:
    first, second, *_ = looked(sharded).shards
    stored = read_stored(sharded / second)
    name, tensor = next(iter(read_stored(sharded / first).items()))
    (sharded / second).write_bytes(safetensors(stored | {name: tensor}))
    with pytest.raises(CorruptHeader, match=f"'{name}' stands in two shards, {first} and {second}"):
        looked(sharded)


def test_an_index_that_names_a_tensor_which_no_shard_holds_is_corrupt(sharded: Path) -> None:
    weight_map = json.loads((sharded / INDEX).read_text())["weight_map"]
    edit_json(sharded / INDEX, weight_map=weight_map | {"ghost": next(iter(weight_map.values()))})
    with pytest.raises(CorruptHeader, match=r"'ghost' into .* but no shard holds it"):
        looked(sharded)


@pytest.mark.parametrize("weight_map", [None, [], "x", {"a": 1}, {"a": None}])
def test_an_index_without_a_map_is_corrupt(sharded: Path, weight_map: Any) -> None:
    edit_json(sharded / INDEX, weight_map=weight_map)
    with pytest.raises(CorruptConfig, match="weight_map is not a map"):
        looked(sharded)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_a_config_that_is_no_json_is_corrupt(whole: Path, text: bytes) -> None:
    (whole / "config.json").write_bytes(text)
    with pytest.raises(CorruptConfig, match="not valid JSON") as caught:
        looked(whole)
    assert caught.value.where == "config.json"


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null"])
def test_a_config_that_is_no_object_is_corrupt(whole: Path, text: str) -> None:
    (whole / "config.json").write_text(text)
    with pytest.raises(CorruptConfig, match="not a JSON object"):
        looked(whole)


def test_a_huge_config_is_refused_without_being_read(whole: Path) -> None:
    with (whole / "config.json").open("r+b") as file:
        file.truncate((64 << 20) + 1)
    files = Folder(whole)
    with pytest.raises(CorruptConfig, match="more than"):
        inspect(files)
    assert files.bytes_read == 0


def test_a_folder_without_a_config_is_no_checkpoint(whole: Path) -> None:
    (whole / "config.json").unlink()
    with pytest.raises(NotMixtureOfExperts, match=r"no config\.json"):
        looked(whole)


def test_pickled_weights_without_torch_are_an_unknown_packing_and_named(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "is_available", lambda: False)
    (whole / "model.safetensors").unlink()
    with pytest.raises(NotMixtureOfExperts, match="holds no safetensors"):
        looked(whole)
    (whole / "pytorch_model-00001-of-00002.bin").write_bytes(b"x")
    with pytest.raises(UnknownPacking, match="pickled") as caught:
        looked(whole)
    assert "pytorch_model-00001-of-00002.bin" in str(caught.value.where)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:4],
        lambda data: b"",
        lambda data: data[:100],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data[:8] + b" " + data[9:],
    ],
    ids=["a byte short", "a byte long", "no length", "empty", "cut header", "lying length", "no brace"],
)
def test_a_damaged_shard_is_corrupt_and_named(whole: Path, damage: Callable[[bytes], bytes]) -> None:
    path = whole / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptHeader) as caught:
        looked(whole)
    assert caught.value.where == "model.safetensors"


def test_a_single_file_wins_over_other_files_without_an_index(whole: Path) -> None:
    (whole / "consolidated.safetensors").write_bytes((whole / "model.safetensors").read_bytes())
    assert looked(whole).shards == ("model.safetensors",)


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("---\nlicense: mit\nlanguage: [en]\n---\n# x", {"license": "mit", "language": ["en"]}),
        ("# no front matter", {}),
        ("---\nlicense: [\n---\n", {}),
        ("---\n- a\n---\n", {}),
        ("---\n1: 2\n---\n", {"1": 2}),
        ("---\n!!python/object/apply:os.system ['true']\n---\n", {}),
        ("", {}),
    ],
)
def test_the_cards_front_matter_is_read_or_left(whole: Path, text: str, card: dict[str, Any]) -> None:
    (whole / "README.md").write_text(text)
    assert looked(whole).card == card
