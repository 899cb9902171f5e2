"""Which files of a folder are its weights: as transformers decides, and what stands in the way by its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hubbot.checkpoints import Checkpoint
from hubbot.errors import AmbiguousLayout, CorruptConfig, CorruptHeader, IncompleteCover, NotMixtureOfExperts
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import Stored, edit_json, read_folder, read_stored, safetensors
from tests.reference.checkpoints import case, write

ONE = "model.safetensors"
INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 4999802720\n"


def looked(folder: Path) -> Checkpoint:
    return inspect(Folder(folder))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/hub"), tmp_path / "whole")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/sharded"), tmp_path / "sharded")


def shard(
    folder: Path, stored: Stored, *, names: tuple[str, str] = ("model-00001-of-00002", "model-00002-of-00002")
) -> None:
    """Store tensors as two shards with an index, beside whatever is there."""
    order = sorted(stored)
    weight_map: dict[str, str] = {}
    for number, name in enumerate(names):
        part = order[number::2]
        (folder / f"{name}.safetensors").write_bytes(safetensors({key: stored[key] for key in part}))
        weight_map |= dict.fromkeys(part, f"{name}.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def scaled(stored: Stored, *names: str) -> Stored:
    """The same tensors, of `names` (default all) with the lowest bit of every number flipped."""
    return {key: (dtype, bits ^ 1 if not names or key in names else bits) for key, (dtype, bits) in stored.items()}


# Two sets in one folder.


def test_a_whole_file_beside_a_base_models_shards_is_refused_naming_both(whole: Path) -> None:
    shard(whole, scaled(read_folder(whole)))
    with pytest.raises(AmbiguousLayout, match="two sets of weights") as caught:
        looked(whole)
    assert ONE in caught.value.message
    assert INDEX in caught.value.message
    assert ONE in (caught.value.hint or "")


@pytest.mark.parametrize("choice", ["the whole file", "the shards"])
def test_the_way_out_of_two_sets_works(whole: Path, choice: str) -> None:
    shard(whole, scaled(read_folder(whole)))
    gone = [whole / ONE] if choice == "the shards" else [*whole.glob("model-*"), whole / INDEX]
    for path in gone:
        path.unlink()
    assert set(looked(whole).shards) == {path.name for path in whole.glob("*.safetensors")}


def test_one_tensor_that_differs_is_enough(whole: Path) -> None:
    stored = read_folder(whole)
    shard(whole, scaled(stored, "model.norm.weight"))
    with pytest.raises(AmbiguousLayout, match=r"model\.norm\.weight"):
        looked(whole)


def test_two_sets_of_other_tensors_are_refused(whole: Path) -> None:
    stored = read_folder(whole)
    shard(whole, {name: value for name, value in stored.items() if not name.startswith("model.layers.1.")})
    with pytest.raises(AmbiguousLayout, match=r"model\.layers\.1\."):
        looked(whole)


def test_two_sets_of_other_dtypes_are_refused(whole: Path) -> None:
    stored = read_folder(whole)
    halved = {name: ("BF16", (bits >> 16).astype("<u2")) for name, (_, bits) in stored.items()}
    shard(whole, halved)
    with pytest.raises(AmbiguousLayout, match="BF16"):
        looked(whole)


def test_two_sets_that_agree_are_taken_and_said(whole: Path) -> None:
    shard(whole, read_folder(whole))
    found = looked(whole)
    assert found.shards == (ONE,)
    assert any("two sets of weights" in note and INDEX in note for note in found.notes)


def test_shards_without_an_index_beside_a_whole_file_are_compared_too(whole: Path) -> None:
    shard(whole, scaled(read_folder(whole)))
    (whole / INDEX).unlink()
    with pytest.raises(AmbiguousLayout, match=r"model-00001-of-00002\.safetensors"):
        looked(whole)


def test_an_index_whose_shards_are_gone_does_not_keep_a_whole_file_from_being_read(whole: Path) -> None:
    stored = read_folder(whole)
    shard(whole, scaled(stored))
    for path in whole.glob("model-*"):
        path.unlink()
    found = looked(whole)
    assert found.shards == (ONE,)
    assert any(INDEX in note and "not here" in note for note in found.notes)


def test_a_file_that_the_config_names_is_the_weights_as_in_transformers(whole: Path) -> None:
    stored = read_folder(whole)
    (whole / "mine.safetensors").write_bytes(safetensors(stored))
    (whole / ONE).write_bytes(safetensors(scaled(stored)))
    edit_json(whole / "config.json", transformers_weights="mine.safetensors")
    assert looked(whole).shards == ("mine.safetensors",)
    edit_json(whole / "config.json", transformers_weights="../elsewhere.safetensors")
    with pytest.raises(CorruptConfig, match="transformers_weights"):
        looked(whole)


# What an index says and the shards hold.


def index_of(folder: Path) -> dict[str, str]:
    weight_map: dict[str, str] = json.loads((folder / INDEX).read_text())["weight_map"]
    return weight_map


@pytest.mark.parametrize("shard_name", ["model-00001-of-00003.safetensors", "model-mtp.safetensors"])
def test_entries_for_a_head_that_would_be_left_out_are_no_damage(sharded: Path, shard_name: str) -> None:
    weight_map = index_of(sharded)
    edit_json(sharded / INDEX, weight_map=weight_map | {"model.mtp.layers.0.eh_proj.weight": shard_name})
    found = looked(sharded)
    assert len(found.tensors) == len(weight_map)
    assert any("model.mtp.layers.0.eh_proj.weight" in note for note in found.notes)


def test_an_entry_for_a_tensor_that_is_needed_and_missing_is_damage(sharded: Path) -> None:
    weight_map = index_of(sharded)
    home = next(iter(weight_map.values()))
    edit_json(sharded / INDEX, weight_map=weight_map | {"model.layers.0.self_attn.k_norm.bias": home})
    with pytest.raises(CorruptHeader, match="no shard holds it"):
        looked(sharded)


def test_a_needed_tensor_that_the_index_omits_is_found_in_its_shard(sharded: Path) -> None:
    weight_map = index_of(sharded)
    lost = "model.norm.weight"
    edit_json(sharded / INDEX, weight_map={key: value for key, value in weight_map.items() if key != lost})
    found = looked(sharded)
    assert lost in found.tensors
    assert any(lost in note for note in found.notes)
    classify(found)


def test_a_tensor_in_another_listed_shard_than_the_index_says_is_found(sharded: Path) -> None:
    weight_map = index_of(sharded)
    names = sorted(set(weight_map.values()))
    moved = next(key for key, value in weight_map.items() if value == names[0])
    edit_json(sharded / INDEX, weight_map=weight_map | {moved: names[1]})
    found = looked(sharded)
    assert found.tensors[moved].shard == names[0]
    assert any(moved in note for note in found.notes)


def test_a_series_without_an_index_and_with_a_gap_names_the_file_that_is_missing(sharded: Path) -> None:
    names = sorted(path.name for path in sharded.glob("*.safetensors"))
    (sharded / INDEX).unlink()
    (sharded / names[-1]).unlink()
    with pytest.raises(CorruptHeader, match=names[-1]):
        looked(sharded)


def test_other_files_beside_a_series_without_an_index_are_not_read(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    (sharded / "consolidated.safetensors").write_bytes(safetensors({"tok": ("F32", np.zeros(1, np.uint32))}))
    assert "consolidated.safetensors" not in looked(sharded).shards


# Links and pointers.


def test_links_out_of_the_folder_are_named_as_links_with_the_way_out(sharded: Path, tmp_path: Path) -> None:
    name = looked(sharded).shards[1]
    blob = tmp_path / "cache" / "blob"
    blob.parent.mkdir()
    shutil.move(sharded / name, blob)
    (sharded / name).symlink_to(blob)
    with pytest.raises(IncompleteCover, match=f"{name}' is a link that leads out of the folder") as caught:
        looked(sharded)
    assert "snapshot" in (caught.value.hint or "")
    (sharded / name).unlink()
    shutil.copy(blob, sharded / name)
    assert name in looked(sharded).shards


def test_a_single_file_that_is_a_link_is_not_called_missing(whole: Path, tmp_path: Path) -> None:
    shutil.move(whole / ONE, tmp_path / "blob")
    (whole / ONE).symlink_to(tmp_path / "blob")
    with pytest.raises(IncompleteCover, match="is a link that leads out of the folder"):
        looked(whole)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_config_or_tokenizer_that_is_a_link_is_named(whole: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "blob").write_bytes((whole / "config.json").read_bytes())
    (whole / name).unlink(missing_ok=True)
    (whole / name).symlink_to(tmp_path / "blob")
    with pytest.raises(IncompleteCover, match=f"{name}' is a link"):
        looked(whole)


def test_a_link_to_nothing_is_named_as_broken(whole: Path, tmp_path: Path) -> None:
    (whole / ONE).unlink()
    (whole / ONE).symlink_to(tmp_path / "nowhere")
    with pytest.raises(IncompleteCover, match="is a link to nothing"):
        looked(whole)


def test_a_snapshot_of_the_hubs_cache_is_read_through_its_links(whole: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "abc", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    shutil.move(whole, blobs)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    assert looked(snapshot).shards == (ONE,)


@pytest.mark.parametrize("name", [ONE, "config.json", "tokenizer.json", "LICENSE", "chat_template.jinja"])
def test_a_git_lfs_pointer_is_named_before_any_work(whole: Path, name: str) -> None:
    (whole / name).write_bytes(POINTER)
    with pytest.raises((CorruptHeader, CorruptConfig), match="Git LFS pointer") as caught:
        looked(whole)
    assert name in f"{caught.value.message} {caught.value.where}"
    assert "git lfs pull" in (caught.value.hint or "")


def test_a_vocabulary_that_is_only_read_is_named_as_a_pointer_too(whole: Path) -> None:
    (whole / "tokenizer.json").unlink(missing_ok=True)
    (whole / "tokenization_kimi.py").write_text("")
    (whole / "tiktoken.model").write_bytes(POINTER)
    with pytest.raises(CorruptConfig, match=r"tiktoken\.model is a Git LFS pointer"):
        looked(whole)


def test_an_index_that_is_a_pointer_is_named(sharded: Path) -> None:
    (sharded / INDEX).write_bytes(POINTER)
    with pytest.raises(CorruptConfig, match="Git LFS pointer"):
        looked(sharded)


# What is no checkpoint at all.


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Qwen3-30B-A3B"}))
    (folder / "adapter_model.safetensors").write_bytes((folder / ONE).read_bytes())
    (folder / ONE).unlink()


def zero3(folder: Path) -> None:
    (folder / ONE).unlink()
    (folder / "zero_to_fp32.py").write_text("")
    (folder / "global_step12").mkdir()
    (folder / "global_step12" / "zero_pp_rank_0_mp_rank_00_model_states.pt").write_bytes(b"x")


def fsdp(folder: Path) -> None:
    (folder / ONE).unlink()
    (folder / "pytorch_model_fsdp_0").mkdir()
    (folder / "pytorch_model_fsdp_0" / "__0_0.distcp").write_bytes(b"x")


def megatron(folder: Path) -> None:
    (folder / ONE).unlink()
    (folder / "iter_0000100" / "mp_rank_00").mkdir(parents=True)
    (folder / "iter_0000100" / "mp_rank_00" / "model_optim_rng.pt").write_bytes(b"x")


def gguf(folder: Path) -> None:
    (folder / ONE).rename(folder / "model-Q4_K_M.gguf")


@pytest.mark.parametrize(
    ("make", "called", "way_out"),
    [
        (adapter, "adapter", "merge"),
        (zero3, "ZeRO", "zero_to_fp32.py"),
        (fsdp, "FSDP", "save_pretrained"),
        (megatron, "Megatron", "convert"),
        (gguf, "GGUF", "safetensors"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("config", [True, False], ids=["with config", "without config"])
def test_what_training_leaves_instead_of_weights_is_called_by_its_name(
    whole: Path, make: Callable[[Path], None], called: str, way_out: str, config: bool
) -> None:
    make(whole)
    if not config:
        (whole / "config.json").unlink()
    with pytest.raises(NotMixtureOfExperts, match=called) as caught:
        looked(whole)
    assert way_out in (caught.value.hint or "")


def test_an_adapter_names_its_base(whole: Path) -> None:
    adapter(whole)
    with pytest.raises(NotMixtureOfExperts, match="Qwen/Qwen3-30B-A3B"):
        looked(whole)


def test_a_merged_model_that_kept_its_adapter_is_read(whole: Path) -> None:
    data = (whole / ONE).read_bytes()
    adapter(whole)
    (whole / ONE).write_bytes(data)
    assert looked(whole).shards == (ONE,)


def test_pickles_win_over_safetensors_that_no_loader_of_models_reads(whole: Path) -> None:
    (whole / ONE).rename(whole / "optimizer.safetensors")
    (whole / "pytorch_model.bin").write_bytes(POINTER)
    with pytest.raises(CorruptHeader, match="Git LFS pointer") as caught:
        looked(whole)
    assert "pytorch_model.bin" in f"{caught.value.message} {caught.value.where}"


def test_the_tensors_of_a_shard_in_a_subfolder_are_found(whole: Path) -> None:
    stored = read_stored(whole / ONE)
    (whole / ONE).unlink()
    (whole / "weights").mkdir()
    shard(whole, stored, names=("weights/a", "weights/b"))
    assert looked(whole).shards == ("weights/a.safetensors", "weights/b.safetensors")
