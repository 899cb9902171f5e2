import contextlib
import json
from typing import Any

import safetensors
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubbot.checkpoints import DTYPE_BITS, TensorInfo
from hubbot.errors import CorruptHeader
from hubbot.headers import header_length, parse_header

FIXED = settings(max_examples=300, deadline=None, derandomize=True, database=None)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*DTYPE_BITS, "data_offsets", 2**63, 2**64, -1]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)
near_entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*DTYPE_BITS, "F128"]) | json_values,
        "shape": st.lists(st.integers(-1, 5) | st.booleans(), max_size=10) | json_values,
        "data_offsets": st.lists(st.integers(-1, 200), min_size=2, max_size=2) | json_values,
    }
)
near_headers = st.dictionaries(
    st.text(max_size=4) | st.just("__metadata__"), near_entries | json_values, max_size=4
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A valid file: tensors of any dtype and shape, back to back."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}} if draw(st.booleans()) else {}
    position = 0
    for name in draw(
        st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), unique=True, max_size=5)
    ):
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        dtype = draw(st.sampled_from(sorted(set(DTYPE_BITS) - {"F4", "F6_E2M3", "F6_E3M2"})))
        size = DTYPE_BITS[dtype] // 8
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode()
    text += b" " * draw(st.integers(0, 9))
    return len(text).to_bytes(8, "little") + text + bytes(position)


@st.composite
def mutated_files(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(files()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 3))
        data[at : at + cut] = draw(
            st.binary(max_size=3) | st.sampled_from([b"-", b"9", b'"', b"{", b"[", b"e1", b",0"])
        )
    return bytes(data)


def deserialize(data: bytes) -> Any:
    by_library: Any = safetensors.deserialize
    return by_library(data)


def read(data: bytes) -> dict[str, TensorInfo]:
    length = header_length(data[:8], file_size=len(data), shard="x")
    return parse_header(data[8 : 8 + length], file_size=len(data), shard="x")


@FIXED
@given(files())
def test_every_valid_file_reads_as_the_safetensors_library_reads_it(data: bytes) -> None:
    theirs = dict(deserialize(data))
    ours = read(data)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert list(tensor.shape) == theirs[name]["shape"]
        assert data[tensor.start : tensor.end] == bytes(theirs[name]["data"])


@FIXED
@given(mutated_files())
def test_a_mutated_file_is_corrupt_or_what_the_library_reads_too(data: bytes) -> None:
    with contextlib.suppress(CorruptHeader):
        ours = read(data)
        theirs = dict(deserialize(data))
        assert ours.keys() == theirs.keys()
        assert [list(t.shape) for t in ours.values()] == [theirs[name]["shape"] for name in ours]


@FIXED
@given(near_headers, st.integers(0, 300))
def test_a_header_of_odd_values_is_corrupt_or_covers_the_file_exactly(header: dict[str, Any], size: int) -> None:
    text = json.dumps(header).encode()
    with contextlib.suppress(CorruptHeader):
        tensors = parse_header(text, file_size=8 + len(text) + size, shard="x")
        spans = sorted((tensor.start, tensor.end) for tensor in tensors.values())
        assert sum(end - start for start, end in spans) == size
        assert all(tensor.elements * DTYPE_BITS[tensor.dtype] == tensor.nbytes * 8 for tensor in tensors.values())


@FIXED
@given(st.binary(max_size=200), st.integers(0, 2**64))
@example(b"{" * 199, 0)
@example(b'{"a":"\\ud800"}', 14)
def test_random_bytes_never_raise_anything_else(data: bytes, size: int) -> None:
    with contextlib.suppress(CorruptHeader):
        header_length(data[:8], file_size=size, shard="x")
    with contextlib.suppress(CorruptHeader):
        parse_header(data, file_size=size, shard="x")
    with contextlib.suppress(CorruptHeader):
        parse_header(b"{" + data, file_size=size, shard="x")
