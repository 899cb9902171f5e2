"""Parameters that several tensors make together, one below the other: Kimi K3's queries, keys and values."""

import math
from pathlib import Path

import numpy as np
import pytest

from hubbot.engine.slices import slices_of
from hubbot.errors import IncompleteCover, ValueMismatch
from tests.checkpoints_on_disk import (
    Source,
    Stored,
    Workshop,
    converted,
    floats,
    judged,
    look,
    planned,
    read_folder,
    safetensors,
)
from tests.reference.checkpoints import case, tensors, write

LAYER = "language_model.model.layers.0.self_attn"


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return read_folder(write(case("kimi_k3/orig"), tmp_path / "source"))


def source(stored: Stored, folder: Path) -> Source:
    (folder / "source" / "model.safetensors").write_bytes(safetensors(stored))
    return look(folder / "source")


def test_queries_keys_and_values_stand_one_below_the_other(workshop: Workshop) -> None:
    made = read_folder(workshop.artifact("kimi_k3/orig", "fp32"))
    held = tensors(case("kimi_k3/orig"))
    joined = np.concatenate([held[f"{LAYER}.{part}_proj.weight"] for part in "qkv"])
    kernels = np.concatenate([held[f"{LAYER}.{part}_conv1d.weight"] for part in "qkv"]).swapaxes(1, 2)
    assert np.array_equal(floats(made[f"{LAYER}.qkv_proj.weight"]), joined)
    assert np.array_equal(floats(made[f"{LAYER}.qkv_conv.conv.weight"]), kernels)


@pytest.mark.parametrize("variant", ["fp32", "4bit", "mxfp4"])
def test_slices_of_single_rows_make_the_same_bytes(variant: str, workshop: Workshop, tmp_path: Path) -> None:
    whole = read_folder(workshop.artifact("kimi_k3/orig", variant))
    cut = converted(workshop.source("kimi_k3/orig"), tmp_path / "out", variant, working_bytes=4096)[variant]
    made = read_folder(cut)
    assert made.keys() == whole.keys()
    assert all(made[name][0] == whole[name][0] for name in made)
    assert all(np.array_equal(made[name][1], whole[name][1]) for name in made)


def test_no_slice_is_larger_than_its_limit_where_a_single_matrix_is(workshop: Workshop) -> None:
    found = workshop.source("kimi_k3/orig")
    move = next(move for move in planned(found, "fp32").moves if move.output == f"{LAYER}.qkv_proj.weight")
    shape = found.checkpoint.tensors[move.sources[0]].shape
    slices = list(slices_of(move, shape, 3 * 4 * math.prod(shape), 4096))
    assert max(part.nbytes for part in slices) <= 4096 < 4 * math.prod(shape)
    rows = [(part.start, row) for part in slices if part.rows for row in range(*part.rows)]
    assert rows == [(unit, row) for unit in range(3) for row in range(shape[0])]


def test_a_part_that_is_missing_is_named(stored: Stored, tmp_path: Path) -> None:
    del stored[f"{LAYER}.k_proj.weight"]
    with pytest.raises(IncompleteCover, match=r"nothing in the source makes '\S+layers\.0\S+qkv_proj\.weight'"):
        planned(source(stored, tmp_path), "fp32")


def test_parts_of_two_shapes_are_refused_by_name(stored: Stored, tmp_path: Path) -> None:
    name = f"{LAYER}.v_proj.weight"
    stored[name] = (stored[name][0], stored[name][1][:-1])
    with pytest.raises(IncompleteCover, match=r"cannot be joined in mlx-lm's '\S+qkv_proj\.weight'") as caught:
        planned(source(stored, tmp_path), "fp32")
    assert caught.value.where == name


def test_a_value_that_is_no_number_is_found_in_its_own_tensor(stored: Stored, tmp_path: Path) -> None:
    name = f"{LAYER}.k_proj.weight"
    stored[name][1].flat[-1] = np.float32(np.nan).view(np.uint32)
    found = source(stored, tmp_path)
    with pytest.raises(ValueMismatch) as caught:
        converted(found, tmp_path / "out", "fp32", working_bytes=1 << 24)
    assert caught.value.where == name


def test_keys_and_values_that_changed_places_are_refused(stored: Stored, tmp_path: Path) -> None:
    found = source(stored, tmp_path)
    folder = converted(found, tmp_path / "out", "fp32")["fp32"]
    (shard,) = folder.glob("*.safetensors")
    made = read_folder(folder)
    dtype, bits = made[f"{LAYER}.qkv_proj.weight"]
    queries, keys, values = np.split(bits, 3)
    made[f"{LAYER}.qkv_proj.weight"] = (dtype, np.concatenate([queries, values, keys]))
    shard.write_bytes(safetensors(made))
    failed = {(finding.gate, finding.subject) for finding in judged(found, folder).failures}
    assert any(gate == "values" and "qkv_proj" in subject for gate, subject in failed)
