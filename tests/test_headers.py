import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import safetensors
from safetensors.numpy import save

from hubbot.checkpoints import DTYPE_BITS, TensorInfo
from hubbot.errors import CorruptHeader
from hubbot.headers import LARGEST_HEADER_BYTES, header_length, parse_header

GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def deserialize(data: bytes) -> Any:
    read: Any = safetensors.deserialize
    return read(data)


def parse(header: object, *, data_bytes: int = 32) -> dict[str, TensorInfo]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return parse_header(text, file_size=8 + len(text) + data_bytes, shard="x.safetensors")


def changed(**entry: Any) -> dict[str, Any]:
    return {**GOOD, "b": {**GOOD["b"], **entry}}


def test_a_valid_header_gives_names_dtypes_shapes_and_offsets_from_the_start_of_the_file() -> None:
    tensors = parse(GOOD)
    base = 8 + len(json.dumps(GOOD))
    assert tensors["a"] == TensorInfo(
        name="a", dtype="F32", shape=(2, 3), shard="x.safetensors", start=base, end=base + 24
    )
    assert (tensors["b"].start, tensors["b"].end, tensors["b"].nbytes) == (base + 24, base + 32, 8)


def test_the_order_of_entries_need_not_be_that_of_the_bytes() -> None:
    assert set(parse(dict(reversed(GOOD.items())))) == {"a", "b"}


def test_empty_tensors_scalars_and_padding_with_spaces_are_valid() -> None:
    header = {
        "empty": {"dtype": "F32", "shape": [0, 5], "data_offsets": [0, 0]},
        "scalar": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
    }
    text = json.dumps(header).encode() + b"   "
    tensors = parse(text, data_bytes=4)
    assert tensors["empty"].elements == 0
    assert (tensors["scalar"].shape, tensors["scalar"].elements) == ((), 1)


def test_a_file_without_tensors_is_valid_and_holds_none() -> None:
    assert parse({"__metadata__": {"format": "pt"}}, data_bytes=0) == {}


@pytest.mark.parametrize("claimed", [2 << 30, 100_000_001, 1 << 62, 2**64 - 1])
def test_a_length_above_a_hundred_megabytes_is_refused_before_anything_is_read(claimed: int) -> None:
    with pytest.raises(CorruptHeader, match=f"claims {claimed} bytes"):
        header_length(claimed.to_bytes(8, "little"), file_size=1 << 63, shard="x")


def test_a_length_within_the_rules_that_no_checkpoint_needs_is_refused() -> None:
    most = LARGEST_HEADER_BYTES
    assert header_length(most.to_bytes(8, "little"), file_size=1 << 40, shard="x") == most
    for claimed in (most + 1, 100_000_000):
        with pytest.raises(CorruptHeader, match=f"claims {claimed} bytes; 100000 tensors need fewer"):
            header_length(claimed.to_bytes(8, "little"), file_size=1 << 40, shard="x")


@pytest.mark.parametrize(
    "text", [b"{" * 200_001, b"{" + b"[" * 300_001, b'{"a"' + b":" * 600_001, b"{" + b"," * 1_700_000]
)
def test_more_than_a_checkpoint_can_hold_is_refused_before_it_is_parsed(text: bytes) -> None:
    with pytest.raises(CorruptHeader, match="more than 100000 tensors"):
        parse(text)


def test_a_length_beyond_the_end_of_the_file_is_refused_with_both_numbers() -> None:
    with pytest.raises(CorruptHeader, match="claims 93 bytes but the file has only 100"):
        header_length((93).to_bytes(8, "little"), file_size=100, shard="x")
    assert header_length((92).to_bytes(8, "little"), file_size=100, shard="x") == 92


@pytest.mark.parametrize("first", [b"", b"\x01", b"\x00" * 7])
def test_a_file_too_short_for_a_length_is_refused(first: bytes) -> None:
    with pytest.raises(CorruptHeader, match="too few"):
        header_length(first, file_size=len(first), shard="x")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"", "does not begin"),
        (b" " + json.dumps(GOOD).encode(), "does not begin"),
        (b"[1, 2]", "does not begin"),
        (b"\xef\xbb\xbf{}", "does not begin"),
        (b"{", "not valid JSON"),
        (b'{"a": nan}', "not valid JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b"{}{}", "not valid JSON"),
        (b"\xff{}", "does not begin"),
        (b'{"\xff": 1}', "not valid JSON"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b'{"a": {"dtype": "F32", "dtype": "F32"}}', "a key stands twice"),
        (b'{"__metadata__": {}, "__metadata__": {}}', "a key stands twice"),
        (b'{"__metadata__": {"a": 1}}', "__metadata__ is not a map of strings"),
        (b'{"__metadata__": "a"}', "__metadata__ is not a map of strings"),
        (b'{"__metadata__": []}', "__metadata__ is not a map of strings"),
        (b'{"a":' + b"[" * 200_000, "not valid JSON"),
        (b'{"a":' * 200_000, "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
    ids=range(20),
)
def test_what_is_not_a_json_object_by_the_rules_is_refused(header: bytes, told: str) -> None:
    with pytest.raises(CorruptHeader, match=told):
        parse(header)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (changed(dtype="F33"), "unknown dtype 'F33'"),
        (changed(dtype="bf16"), "unknown dtype 'bf16'"),
        (changed(dtype=["BF16"]), "unknown dtype"),
        (changed(dtype=None), "unknown dtype"),
        (changed(shape=[-4]), "is not a list of sizes"),
        (changed(shape=[True, 4]), "is not a list of sizes"),
        (changed(shape=[4.0]), "is not a list of sizes"),
        (changed(shape=["4"]), "is not a list of sizes"),
        (changed(shape=4), "is not a list of sizes"),
        (changed(shape={"0": 4}), "is not a list of sizes"),
        (changed(shape=[2**63]), "is not a list of sizes"),
        (changed(shape=[1] * 9), "is not a list of sizes"),
        (changed(shape=[2**40, 2**40]), "needs"),
        (changed(shape=[5]), "needs 10 bytes, data_offsets give 8"),
        (changed(shape=[3]), "needs 6 bytes, data_offsets give 8"),
        (changed(dtype="F4", shape=[15]), "needs 7 bytes, data_offsets give 8"),
        (changed(data_offsets=[24]), "are not a range"),
        (changed(data_offsets=[24, 32, 40]), "are not a range"),
        (changed(data_offsets=[32, 24]), "are not a range"),
        (changed(data_offsets=[-8, 0]), "are not a range"),
        (changed(data_offsets=[False, 8]), "are not a range"),
        (changed(data_offsets="24"), "are not a range"),
        (changed(data_offsets=[23, 31]), "overlaps its neighbour at byte"),
        (changed(data_offsets=[0, 8]), "overlaps its neighbour at byte"),
        (changed(data_offsets=[25, 33]), "leaves a hole before it at byte"),
        ({"b": {**GOOD["b"], "data_offsets": [8, 16]}}, "leaves a hole before it at byte"),
        (changed(more=1), "exactly dtype, shape and data_offsets"),
        ({**GOOD, "b": {"dtype": "BF16", "shape": [4]}}, "exactly dtype, shape and data_offsets"),
        ({**GOOD, "b": 3}, "exactly dtype, shape and data_offsets"),
        ({**GOOD, "b": None}, "exactly dtype, shape and data_offsets"),
    ],
    ids=range(30),
)
def test_a_tensor_that_breaks_a_rule_is_refused_by_name(header: Mapping[str, Any], told: str) -> None:
    with pytest.raises(CorruptHeader, match=told) as caught:
        parse(header, data_bytes=32)
    assert "tensor '" in str(caught.value)


def test_trailing_bytes_are_refused_with_both_sizes() -> None:
    size = 8 + len(json.dumps(GOOD)) + 32
    with pytest.raises(CorruptHeader, match=f"a file of {size} bytes, the file has {size + 1}") as caught:
        parse(GOOD, data_bytes=33)
    assert "bytes follow the last tensor" in str(caught.value.hint)


def test_a_truncated_file_is_refused_and_the_hint_says_so() -> None:
    with pytest.raises(CorruptHeader, match="the file has") as caught:
        parse(GOOD, data_bytes=31)
    assert "truncated" in str(caught.value.hint)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-le"])
def test_a_header_in_another_encoding_than_utf_8_is_refused(encoding: str) -> None:
    text = json.dumps(GOOD).encode(encoding)
    with pytest.raises(safetensors.SafetensorError):
        deserialize(len(text).to_bytes(8, "little") + text + bytes(32))
    with pytest.raises(CorruptHeader):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}',
        b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ],
    ids=["-0", "surrogate"],
)
def test_what_the_library_does_not_take_for_json_is_refused(text: bytes) -> None:
    with pytest.raises(safetensors.SafetensorError):
        deserialize(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(CorruptHeader):
        parse(text, data_bytes=4)


def test_the_safetensors_library_and_hubbot_read_the_same_in_a_valid_file() -> None:
    generator = np.random.default_rng(3)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "f64": generator.normal(size=(2, 3)),
        "f32": generator.normal(size=(5,)).astype(np.float32),
        "f16": generator.normal(size=(1, 2, 3, 4)).astype(np.float16),
        "i64": np.arange(7),
        "u8": np.arange(9, dtype=np.uint8),
        "flag": np.array([True, False]),
        "scalar": np.array(3.0, np.float32),
        "none": np.zeros((0, 4), np.float32),
    }
    data = save(arrays, metadata={"format": "pt"})
    length = header_length(data[:8], file_size=len(data), shard="x")
    tensors = parse_header(data[8 : 8 + length], file_size=len(data), shard="x")
    theirs = dict(deserialize(data))
    assert tensors.keys() == theirs.keys() == arrays.keys()
    for name, tensor in tensors.items():
        assert (tensor.dtype, list(tensor.shape)) == (theirs[name]["dtype"], theirs[name]["shape"])
        assert data[tensor.start : tensor.end] == bytes(theirs[name]["data"]) == arrays[name].tobytes()


@pytest.mark.parametrize("dtype", sorted(DTYPE_BITS))
def test_every_dtype_of_the_table_is_one_of_the_library_with_the_same_size(dtype: str) -> None:
    header = {"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, DTYPE_BITS[dtype]]}}
    text = json.dumps(header).encode()
    theirs = dict(deserialize(len(text).to_bytes(8, "little") + text + bytes(DTYPE_BITS[dtype])))
    assert theirs["a"]["shape"] == [8]
    assert parse(header, data_bytes=DTYPE_BITS[dtype])["a"].elements == 8
