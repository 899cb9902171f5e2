"""The safetensors header: bytes in, tensors out, every rule of the format quoted above its check.

Source of the rules: the "Format" section of huggingface/safetensors' README and its Rust reader.
It never reads a file and never trusts a length before checking it.
"""

import json
from typing import Any

from hubbot.checkpoints import DTYPE_BITS, TensorInfo
from hubbot.errors import CorruptHeader

LENGTH_BYTES = 8
# "there is a limit on the size of the header of 100MB to prevent parsing extremely large JSON"
MAX_HEADER_BYTES = 100_000_000
# What no checkpoint comes near, and what a parser can take in without hundreds of megabytes.
LARGEST_HEADER_BYTES = 25_000_000
MAX_TENSORS = 100_000
MAX_RANK = 8
# How often a mark may stand in a header of that many tensors: an entry has one brace, two brackets, four colons
# and as many commas as its rank and five more. Names and metadata may hold some too.
_MARKS = {b"{": 2 * MAX_TENSORS, b"[": 3 * MAX_TENSORS, b":": 6 * MAX_TENSORS, b",": (MAX_RANK + 8) * MAX_TENSORS}


def header_length(first: bytes, *, file_size: int, shard: str) -> int:
    """Return the header's length in bytes from a file's first 8 bytes, or raise CorruptHeader."""
    # "8 bytes: N, an unsigned little-endian 64-bit integer, containing the size of the header"
    if len(first) < LENGTH_BYTES:
        raise CorruptHeader(
            f"the file has {file_size} bytes, too few for a header length",
            where=shard,
            hint="the download or upload was cut off; fetch the shard again",
        )
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise CorruptHeader(
            f"the header claims {length} bytes, more than the {MAX_HEADER_BYTES} that the format allows",
            where=shard,
            hint="this is not a safetensors file, or it is damaged",
        )
    if length > LARGEST_HEADER_BYTES:
        raise CorruptHeader(
            f"the header claims {length} bytes; {MAX_TENSORS} tensors need fewer than {LARGEST_HEADER_BYTES}",
            where=shard,
            hint="no checkpoint has such a header; it would only fill the memory",
        )
    if LENGTH_BYTES + length > file_size:
        raise CorruptHeader(
            f"the header claims {length} bytes but the file has only {file_size}",
            where=shard,
            hint="the shard is truncated or its length field lies",
        )
    return length


def parse_header(header: bytes, *, file_size: int, shard: str) -> dict[str, TensorInfo]:
    """Return the tensors that `header` (without its 8 length bytes) declares, or raise CorruptHeader.

    `file_size` is the whole file's size in bytes; offsets in the result count from the file's start.
    """
    # "The header data MUST begin with a { character (0x7B)"
    if not header.startswith(b"{"):
        raise CorruptHeader("the header does not begin with '{'", where=shard)
    _check_marks(header, shard)
    entries = _load(header, shard)
    metadata = entries.pop("__metadata__", None)
    # "Arbitrary JSON is not allowed [in __metadata__], all values must be strings"
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise CorruptHeader("__metadata__ is not a map of strings", where=shard)
    if len(entries) > MAX_TENSORS:
        raise CorruptHeader(f"the header declares {len(entries)} tensors", where=shard)
    base = LENGTH_BYTES + len(header)
    tensors = [_tensor(name, entry, base=base, shard=shard) for name, entry in entries.items()]
    _check_cover(tensors, base=base, file_size=file_size, shard=shard)
    return {tensor.name: tensor for tensor in tensors}


def _check_marks(header: bytes, shard: str) -> None:
    """Raise CorruptHeader where a header holds more than a checkpoint can, before a parser makes objects of it."""
    for mark, most in _MARKS.items():
        if header.count(mark) > most:
            raise CorruptHeader(f"the header declares more than {MAX_TENSORS} tensors can need", where=shard)


def _load(header: bytes, shard: str) -> dict[str, Any]:
    try:
        # "Duplicate keys are disallowed."
        text = header.decode("utf-8")  # "containing a JSON UTF-8 string"
        entries = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise CorruptHeader(f"the header is not valid JSON: {error}", where=shard) from error
    if not isinstance(entries, dict):
        raise CorruptHeader("the header is not a JSON object", where=shard)
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _whole(digits: str) -> int:
    if digits == "-0":
        raise ValueError("-0 is no whole number")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _tensor(name: str, entry: Any, *, base: int, shard: str) -> TensorInfo:
    where = f"{shard}, tensor {name!r}"
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise CorruptHeader("the name is no Unicode text", where=where)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CorruptHeader("an entry must hold exactly dtype, shape and data_offsets", where=where)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise CorruptHeader(f"unknown dtype {dtype!r}", where=where)
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise CorruptHeader(f"the shape {str(shape)[:80]} is not a list of sizes", where=where)
    # "data_offsets": [BEGIN, END], relative to the beginning of the byte buffer
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CorruptHeader(f"data_offsets {str(offsets)[:80]} are not a range", where=where)
    info = TensorInfo(
        name=name,
        dtype=dtype,
        shape=tuple(shape),
        shard=shard,
        start=base + offsets[0],
        end=base + offsets[1],
    )
    if info.elements * DTYPE_BITS[dtype] != info.nbytes * 8:
        raise CorruptHeader(
            f"shape {list(info.shape)} of {dtype} needs {info.elements * DTYPE_BITS[dtype] // 8} bytes, "
            f"data_offsets give {info.nbytes}",
            where=where,
        )
    return info


def _are_sizes(value: Any) -> bool:
    # bool is an int in Python, and JSON integers have no bound: 2^63 is the reader's own limit.
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_cover(tensors: list[TensorInfo], *, base: int, file_size: int, shard: str) -> None:
    # "The byte buffer needs to be entirely indexed, and cannot contain holes."
    position = base
    for tensor in sorted(tensors, key=lambda item: (item.start, item.end)):
        if tensor.start != position:
            kind = "overlaps its neighbour" if tensor.start < position else "leaves a hole before it"
            raise CorruptHeader(f"tensor {tensor.name!r} {kind} at byte {tensor.start}", where=shard)
        position = tensor.end
    if position != file_size:
        raise CorruptHeader(
            f"the header describes a file of {position} bytes, the file has {file_size}",
            where=shard,
            hint="the shard is truncated or damaged; fetch it again"
            if position > file_size
            else "bytes follow the last tensor, which the format forbids",
        )
