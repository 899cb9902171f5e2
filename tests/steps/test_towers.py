"""The tower of a model that also sees: kept bit for bit beside the decoder, or left out with the reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.artifacts import Report
from hubbot.catalogue.tensors import TOWER
from hubbot.conversion.verdict import verdict_of
from hubbot.folders import Folder
from hubbot.plans import Plan
from hubbot.runtime import vision
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import Source, converted, judged, look, read_folder
from tests.reference import images
from tests.reference.checkpoints import case, write

SEEING = tuple(images.TOLERANCES)
CONVOLUTION = "vision_tower.patch_embed.proj.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = images.write(images.seeing("qwen3_5_moe"), tmp_path_factory.mktemp("sees") / "source")
    (folder / "preprocessor_config.json").write_text('{"patch_size": 2, "auto_map": {"AutoProcessor": "x.Y"}}')
    return look(folder)


@pytest.fixture(scope="module")
def artifact(source: Source) -> Path:
    return converted(source, source.folder.parent / "out", "4bit")["4bit"]


@pytest.fixture
def copied(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact, tmp_path / "4bit"))


def planned(source: Source, *, text_only: bool = False) -> Plan:
    return plan(source.checkpoint, source.layout, ["4bit"], working_bytes=1 << 20, text_only=text_only)


def failures(report: Report) -> set[tuple[str, str]]:
    return {(finding.check, finding.subject) for finding in report.failures}


@pytest.mark.parametrize("model_type", SEEING)
def test_every_tensor_of_the_tower_is_kept_bit_for_bit_and_convolutions_turn(
    model_type: str, tmp_path: Path
) -> None:
    source = look(images.write(images.seeing(model_type), tmp_path / "source"))
    made = planned(source)
    folder = converted(source, tmp_path / "out", "4bit")["4bit"]
    before, after = read_folder(source.folder), read_folder(folder)
    kept = [move for move in made.moves if move.role == "tower"]
    assert kept
    assert not any(drop.reason.startswith(TOWER) for drop in made.drops)
    for move in kept:
        (dtype, values), (kept_dtype, found) = before[move.sources[0]], after[move.output]
        assert kept_dtype == dtype
        assert np.array_equal(found, np.moveaxis(values, 1, -1) if values.shape != found.shape else values)
    assert judged(source, folder).verdict == "approved"


def test_the_tower_keeps_sixteen_bits_in_every_variant(tmp_path: Path) -> None:
    source = look(write(case("qwen3_5_moe/bf16"), tmp_path / "source"))
    for folder in converted(source, tmp_path / "out", "fp32", "fp16", "mxfp4").values():
        assert {dtype for name, (dtype, _) in read_folder(folder).items() if name.startswith("vision_tower")} == {
            "BF16"
        }
        assert judged(source, folder).verdict == "approved"


def test_the_config_says_what_mlx_vlm_reads_and_processor_files_go_along_without_code(artifact: Path) -> None:
    config = json.loads((artifact / "config.json").read_text())
    assert config["image_token_id"] == images.IMAGE
    assert config["vision_config"]["depth"] == 1
    assert config["text_config"]["rope_parameters"]["mrope_section"] == [2, 1, 1]
    assert json.loads((artifact / "preprocessor_config.json").read_text()) == {"patch_size": 2}
    assert json.loads((artifact / "hubbot.json").read_text())["sees"] is True


def test_text_only_leaves_the_tower_out_and_makes_another_recipe(source: Source) -> None:
    kept, left = planned(source), planned(source, text_only=True)
    assert (kept.modality, left.modality) == ("text and images", "text only: text only was asked for")
    assert "vision_config" not in left.config
    assert "image_token_id" not in left.config
    assert not any(move.role == "tower" for move in left.moves)
    assert {drop.reason for drop in left.drops} == {f"{TOWER}: text only was asked for"}
    assert left.variants[0].recipe == {**kept.variants[0].recipe, "text_only": True}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mistral3/orig", "kv_b_proj"),
        ("minimax_m3_vl/orig", "projector_hidden_size = 16"),
        ("kimi_k25/v5", "has no place for model.vision_tower."),
        ("glm4v_moe/orig", "mlx-vlm loads no repo that mlx-lm loads"),
    ],
)
def test_a_tower_that_cannot_be_kept_is_left_out_and_the_reason_said(name: str, told: str, tmp_path: Path) -> None:
    folder = write(case(name), tmp_path / "source")
    made = planned(look(folder))
    assert made.modality.startswith("text only: ")
    assert told in made.modality
    seen = verdict_of(Folder(folder), extensions=True, variants=[], working_bytes=1 << 20)
    assert seen.record["modality"] == made.modality


def test_kimi_as_transformers_saves_it_has_the_tower_of_the_published_repo(tmp_path: Path) -> None:
    towers = []
    for name in ("kimi_k25/hub", "kimi_k25/saved"):
        source = look(write(case(name), tmp_path / name))
        folder = converted(source, tmp_path / name / "out", "fp32")["fp32"]
        assert judged(source, folder).verdict == "approved"
        config = json.loads((folder / "config.json").read_text())["vision_config"]
        kept = {
            move.output: read_folder(folder)[move.output][1]
            for move in planned(source).moves
            if move.role == "tower"
        }
        towers.append((kept, {key: config[key] for key in ("embed_dim", "depth", "num_heads")}))
    (published, told), (saved, told_again) = towers
    assert published.keys() == saved.keys()
    assert all(np.array_equal(values, saved[name]) for name, values in published.items())
    assert told == told_again


def test_a_model_of_text_is_none_that_had_to_lose_its_tower(tmp_path: Path) -> None:
    assert planned(look(write(case("qwen3_moe/orig"), tmp_path / "source"))).modality == "text"


def test_without_mlx_vlm_its_load_is_said_not_to_have_run(source: Source, artifact: Path) -> None:
    found = [f for f in judged(source, artifact).findings if "mlx-vlm" in f.subject]
    assert [finding.status for finding in found] == ["not-run" if vision.version() is None else "pass"]


def changed(folder: Path, name: str, change: Any) -> None:
    """Change the bytes of one stored tensor in place, and leave every hash as it was recorded."""
    for path in folder.glob("model*.safetensors"):
        data = bytearray(path.read_bytes())
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        if name in header:
            start, stop = (8 + size + offset for offset in header[name]["data_offsets"])
            data[start:stop] = change(bytes(data[start:stop]))
            path.write_bytes(data)


def test_one_bit_of_the_tower_is_seen(source: Source, copied: Path) -> None:
    name = "vision_tower.blocks.0.attn.qkv.weight"
    changed(copied, name, lambda raw: bytes([raw[0] ^ 1]) + raw[1:])
    assert ("values", name) in failures(judged(source, copied))


def test_a_convolution_that_was_not_turned_is_seen(source: Source, copied: Path) -> None:
    shape = (16, 2, 2, 2, 3)
    changed(
        copied,
        CONVOLUTION,
        lambda raw: np.moveaxis(np.frombuffer(raw, "<f4").reshape(shape), -1, 1).tobytes(),
    )
    assert ("values", CONVOLUTION) in failures(judged(source, copied))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        (None, "image_token_id", 7),
        ("vision_config", "spatial_merge_size", 1),
        ("text_config", "rope_parameters", {"rope_theta": 51234.0, "mrope_section": [1, 1, 2], "type": "default"}),
    ],
)
def test_a_config_that_sees_otherwise_is_refused(
    part: str | None, key: str, value: Any, source: Source, copied: Path
) -> None:
    path = copied / "config.json"
    config = json.loads(path.read_text())
    (config[part] if part else config)[key] = value
    path.write_text(json.dumps(config))
    where = f"config.json, {part}.{key}" if part else f"config.json, {key}"
    assert ("tower", where) in failures(judged(source, copied))


def test_a_repo_that_lost_its_sight_is_refused(source: Source, copied: Path) -> None:
    path = copied / "config.json"
    config = json.loads(path.read_text())
    del config["vision_config"]
    path.write_text(json.dumps(config))
    found = failures(judged(source, copied))
    assert ("tower", "config.json") in found
    assert any(check == "no other tensors" for check, _ in found)


def test_a_tower_in_a_repo_that_others_made_is_judged_too(source: Source, copied: Path) -> None:
    (copied / "hubbot.json").unlink()
    assert judged(source, copied).verdict == "approved"
    name = "vision_tower.merger.linear_fc2.weight"
    changed(copied, name, lambda raw: raw[4:] + raw[:4])
    assert ("values", name) in failures(judged(source, copied))


def test_windows_of_few_bytes_keep_the_tower_too(source: Source, tmp_path: Path) -> None:
    small = converted(source, tmp_path / "out", "4bit", working_bytes=1 << 10, shard_bytes=1 << 14)["4bit"]
    assert len(list(small.glob("model*.safetensors"))) > 4
    assert judged(source, small).verdict == "approved"
