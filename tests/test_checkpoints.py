import json
from typing import Any

import pytest

from hubbot.checkpoints import DTYPE_BITS, FLOAT_DTYPES, Checkpoint, FileInfo, Repo, TensorInfo


def tensor(name: str, shape: tuple[int, ...], shard: str, start: int, end: int) -> TensorInfo:
    return TensorInfo(name=name, dtype="BF16", shape=shape, shard=shard, start=start, end=end)


CHECKPOINT = Checkpoint(
    repo=Repo(id="org/model", revision="a" * 40),
    config={"model_type": "mixtral", "rope_parameters": {"rope_theta": 1e4}},
    card={"license": "apache-2.0", "language": ["en"]},
    files=(FileInfo(path="config.json", size=10), FileInfo(path="b.safetensors", size=99, sha256="ff")),
    tensors={
        "x": tensor("x", (2, 3), "b.safetensors", 80, 92),
        "y": tensor("y", (), "a.safetensors", 8, 10),
    },
    gated=True,
    private=False,
    requests=5,
    bytes_read=1234,
)


def test_json_takes_a_checkpoint_back_through_text() -> None:
    assert Checkpoint.from_json(json.loads(json.dumps(CHECKPOINT.to_json()))) == CHECKPOINT


def test_sizes_and_shards_come_from_the_tensors() -> None:
    assert CHECKPOINT.weight_bytes == 14
    assert CHECKPOINT.shards == ("a.safetensors", "b.safetensors")
    assert (CHECKPOINT.tensors["x"].elements, CHECKPOINT.tensors["y"].elements) == (6, 1)


@pytest.mark.parametrize(
    ("card", "stated"),
    [
        ({}, ()),
        ({"license": "mit"}, ("mit",)),
        ({"license": " mit "}, ("mit",)),
        ({"license": ["apache-2.0", "mit"]}, ("apache-2.0", "mit")),
        ({"license": ["mit", "mit", ""]}, ("mit",)),
        ({"license": None}, ()),
        ({"license": {"name": "mit"}}, ()),
        ({"license": 5}, ()),
        ({"license": []}, ()),
        ({"license": "Unknown"}, ()),
        ({"license": ["none", "mit"]}, ("mit",)),
    ],
)
def test_a_card_states_one_licence_several_or_none(card: dict[str, Any], stated: tuple[str, ...]) -> None:
    assert Checkpoint.from_json(CHECKPOINT.to_json() | {"card": card}).licences == stated


@pytest.mark.parametrize(
    ("config", "model_type"), [({}, ""), ({"model_type": None}, ""), ({"model_type": "x"}, "x")]
)
def test_a_missing_model_type_is_an_empty_string(config: dict[str, str | None], model_type: str) -> None:
    assert Checkpoint.from_json(CHECKPOINT.to_json() | {"config": config}).model_type == model_type


def test_a_folder_is_local_and_a_commit_is_not() -> None:
    assert Repo(id="x", revision="local-" + "0" * 40).is_local
    assert not CHECKPOINT.repo.is_local


def test_the_float_dtypes_are_in_the_table_with_their_widths() -> None:
    assert {dtype: DTYPE_BITS[dtype] for dtype in FLOAT_DTYPES} == {"F16": 16, "BF16": 16, "F32": 32}
