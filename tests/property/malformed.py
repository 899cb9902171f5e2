"""Run by a test in a process of its own: refuse N malformed headers, and tell how that went and what it took.

python -m tests.property.malformed N        N headers that the safetensors library refuses
python -m tests.property.malformed NAME     one of the largest headers that are read at all
"""

import json
import random
import struct
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from safetensors import SafetensorError, deserialize

from hubbot.checkpoints import TensorInfo
from hubbot.engine.memory import peak_resident_bytes
from hubbot.errors import CorruptHeader
from hubbot.headers import LARGEST_HEADER_BYTES, header_length, parse_header

DTYPES = {"F32": 4, "BF16": 2, "U8": 1, "I64": 8}
WORDS = (
    b"null", b"true", b"-1", b"1e9", b"18446744073709551616", b"[]", b"{}", b'"F128"', b"NaN", b"\xff", b'"',
    b"9" * 40, b'"dtype"', b"[[[[[[", b'{"a":1}', b"-0", b"0.5", b"\\ud800", b"\x00",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, -1, 1.5, True, "x", [], {}, [[]], [1, 2, 3], [-1, 4], [2**64, 2**65], "F4" * 9, [0] * 40,
)  # fmt: skip
MOST = 24_900_000
LARGEST: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b'{"a":' + b"[" * MOST,
    "empty entries": lambda: b"{" + b'"a":{},' * (MOST // 7) + b"}",
    "numbers": lambda: b'{"a":[' + b"1000," * (MOST // 5) + b"1]}",
    "lists": lambda: b'{"a":[' + b"[]," * (MOST // 3) + b"1]}",
    "a name": lambda: b'{"a":"' + b"x" * MOST + b'"}',
    "digits": lambda: b'{"a":' + b"9" * MOST + b"}",
    "spaces": lambda: b"{" + b" " * MOST + b"}",
    "as many tensors as may be": lambda: (
        b"{"
        + b",".join(
            b'"%d":{"dtype":"U8","shape":[0,1,1,1],"data_offsets":[0,0]}' % number for number in range(100_000)
        )
        + b"}"
    ),
}


def good(dice: random.Random) -> bytes:
    """A file that the library reads: a few small tensors back to back."""
    header: dict[str, Any] = {}
    position = 0
    for number in range(dice.randint(1, 5)):
        dtype = dice.choice(list(DTYPES))
        shape = [dice.randint(0, 4) for _ in range(dice.randint(0, 3))]
        size = DTYPES[dtype]
        for side in shape:
            size *= side
        name = f"model.layers.{number}.mlp.experts.{dice.randint(0, 9)}.up_proj.weight"
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    if dice.random() < 0.5:
        header["__metadata__"] = {"format": "pt"}
    return packed(header, bytes(position))


def packed(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def misvalued(dice: random.Random, data: bytes) -> bytes:
    """A good file with one value, key or list out of joint, and a length that is right again."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    name = dice.choice([key for key in header if key != "__metadata__"])
    key = dice.choice(["dtype", "shape", "data_offsets"])
    match dice.randint(0, 4):
        case 0:
            header[name][key] = dice.choice(ODD)
        case 1:
            header[name].pop(key)
        case 2:
            header[name] = dice.choice(ODD)
        case 3:
            header["__metadata__"] = dice.choice([3, [1], {"a": 1}, "x", {"a": None}])
        case 4:
            header[name]["data_offsets"] = [dice.randint(0, 99), dice.randint(0, 99)]
    return packed(header, data[8 + length :])


def mutated(dice: random.Random, good_one: bytes) -> bytes:
    """A good file with bits flipped, bytes cut, words put in, a lying length, or a part of itself twice."""
    data = bytearray(good_one)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data))
        word = dice.choice(WORDS)
        match dice.randint(0, 5):
            case 0:
                data[at] ^= 1 << dice.randint(0, 7)
            case 1:
                del data[at : at + dice.randint(1, 30)]
            case 2:
                data[at:at] = word
            case 3:
                data[at : at + len(word)] = word
            case 4:
                data[:8] = struct.pack("<Q", dice.choice([0, 1, 2**63, 2**64 - 1, 10**8, dice.randint(0, 900)]))
            case 5:
                data[at:at] = data[max(0, at - dice.randint(1, 60)) : at]
        if not data:
            break
    return bytes(data)


def drawn(dice: random.Random) -> bytes:
    kind = dice.random()
    if kind < 0.1:
        return dice.randbytes(dice.randint(0, 200))
    return misvalued(dice, good(dice)) if kind < 0.4 else mutated(dice, good(dice))


def is_malformed(data: bytes) -> bool:
    """Whether the safetensors library, which shares nothing with hubbot, refuses it."""
    library: Any = deserialize
    try:
        library(data)
    except (SafetensorError, UnicodeDecodeError):
        return True
    return False


def parsed(data: bytes) -> dict[str, TensorInfo]:
    length = header_length(data[:8], file_size=len(data), shard="x")
    return parse_header(data[8 : 8 + length], file_size=len(data), shard="x")


def outcome(data: bytes) -> str:
    try:
        parsed(data)
    except CorruptHeader as error:
        return "refused" if error.where and error.message else "refused without a word"
    return f"read: {data!r}"


def refuse(wanted: int) -> Counter[str]:
    dice = random.Random(2026)
    told: Counter[str] = Counter()
    while told.total() < wanted:
        data = drawn(dice)
        if is_malformed(data):
            told[outcome(data)] += 1
    return told


def take_in(name: str) -> Counter[str]:
    header = LARGEST[name]()
    assert len(header) <= LARGEST_HEADER_BYTES
    try:
        found = parse_header(header, file_size=8 + len(header), shard="x")
    except CorruptHeader:
        return Counter({"refused": 1})
    return Counter({"tensors": len(found)})


if __name__ == "__main__":
    asked = sys.argv[1]
    answer = refuse(int(asked)) if asked.isdigit() else take_in(asked)
    sys.stdout.write(json.dumps({"told": answer, "peak_bytes": peak_resident_bytes()}))
