from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.catalogue.experts.relayout_forms import Form, target
from hubbot.catalogue.experts.relayout_moves import Output, Piece
from hubbot.catalogue.experts.transformers_names import naming_of
from hubbot.checkpoints import TensorInfo
from hubbot.engine.byte_ranges import word_type
from hubbot.engine.matrix_copy import bands
from hubbot.engine.reader import Shards, Sources
from hubbot.errors import CorruptHeader, UnknownPacking

EXPERTS, WIDTH, HIDDEN = 3, 4, 5


def info(name: str, shape: tuple[int, ...], dtype: str = "BF16", start: int = 7) -> TensorInfo:
    nbytes = int(np.prod(shape)) * 2
    return TensorInfo(name=name, dtype=dtype, shape=shape, shard="w", start=start, end=start + nbytes)


def made(output: Output, tensors: dict[str, TensorInfo], folder: Path, limit: int) -> tuple[Any, int]:
    with Shards(folder, Sources(tensors=tensors, packed={})) as ranges:
        found = list(bands(output, tensors, ranges, limit))
    assert [band.offset for band in found] == list(np.cumsum([0, *(len(band.data) for band in found)])[:-1])
    joined = np.frombuffer(b"".join(bytes(band.data) for band in found), np.uint16)
    return joined.reshape(output.shape), max(len(band.data) for band in found)


def turned(source: Form, to: Form, projections: tuple[str, ...]) -> tuple[Piece, ...]:
    shapes = {"gate": (WIDTH, HIDDEN), "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    return tuple(
        Piece(
            source=source.place("h", half, expert, shapes[half][0]),
            target=to.place("h", half, expert, shapes[half][0]),
            shape=shapes[half],
        )
        for expert in range(EXPERTS)
        for half in projections
    )


@pytest.mark.parametrize("limit", [1, 40, 90, 1000, 1 << 20])
def test_a_pair_is_turned_and_unzipped_within_its_limit(tmp_path: Path, limit: int) -> None:
    values = np.arange(EXPERTS * HIDDEN * 2 * WIDTH, dtype=np.uint16).reshape(EXPERTS, HIDDEN, 2 * WIDTH)
    (tmp_path / "w").write_bytes(b"\0" * 7 + values.tobytes())
    gated = frozenset({"gate", "up", "down"})
    zipped = target("stacked_fused_transposed", naming_of("gpt_oss"), gated)
    plain = target("stacked_fused", naming_of("qwen3_moe"), gated)
    output = Output(
        name="o", dtype="BF16", shape=(EXPERTS, 2 * WIDTH, HIDDEN), source="h.experts.gate_up_proj",
        pieces=turned(zipped, plain, ("gate", "up")),
    )  # fmt: skip
    tensors = {"h.experts.gate_up_proj": info("h.experts.gate_up_proj", values.shape)}
    found, largest = made(output, tensors, tmp_path, limit)
    turned_back = values.swapaxes(1, 2)
    assert np.array_equal(found, np.concatenate([turned_back[:, ::2], turned_back[:, 1::2]], axis=1))
    assert largest <= max(limit // 4, 2 * HIDDEN)


@pytest.mark.parametrize("limit", [4, 1 << 20])
def test_a_tensor_without_pieces_is_copied(tmp_path: Path, limit: int) -> None:
    values = np.arange(30, dtype=np.uint16)
    (tmp_path / "w").write_bytes(b"\0" * 7 + values.tobytes())
    output = Output(name="o", dtype="BF16", shape=(30,), source="s", pieces=())
    found, _ = made(output, {"s": info("s", (30,))}, tmp_path, limit)
    assert np.array_equal(found, values)


def test_a_file_that_ends_early_is_corrupt_and_named(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"\0" * 20)
    with (
        Shards(tmp_path, Sources(tensors={}, packed={})) as ranges,
        pytest.raises(CorruptHeader, match="'s' ends 47 bytes early"),
    ):
        ranges.read_into(np.empty(30, np.uint16), info("s", (30,)), 0)


def test_elements_that_are_no_whole_bytes_cannot_be_moved() -> None:
    with pytest.raises(UnknownPacking, match="no whole bytes"):
        word_type(info("s", (30,), "F4"))
