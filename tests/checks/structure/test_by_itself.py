"""MLX repos judged without their source: hubbot's own, quantized ones, and those of mlx_lm.convert."""

from pathlib import Path

import pytest

from hubbot.checks.structure.by_itself import check_by_itself
from hubbot.conversion.verdict import is_mlx_repo, verdict_of
from hubbot.folders import Folder
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import Workshop, edit_json, read_folder, rewrite, workshop

__all__ = ["workshop"]
LOST = "model.layers.1.mlp.switch_mlp.up_proj.weight"


def failed(folder: Path) -> dict[str, str]:
    return {f.check: f.subject for f in check_by_itself(inspect(Folder(folder))) if f.status == "fail"}


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("qwen3_moe/orig", "fp32"),
        ("qwen3_moe/orig", "4bit"),
        ("hunyuan/orig", "4bit"),
        ("qwen3_5_moe/orig", "mxfp4"),
    ],
)
def test_a_repo_of_hubbot_s_own_is_whole(name: str, variant: str, workshop: Workshop) -> None:
    folder = workshop.artifact(name, variant)
    assert is_mlx_repo(inspect(Folder(folder)))
    assert failed(folder) == {}
    seen = verdict_of(Folder(folder), extensions=True, variants=[], working_bytes=1 << 20)
    assert (seen.record["verdict"], seen.exit_code) == ("mlx", 0)


def test_a_checkpoint_is_no_mlx_repo(workshop: Workshop) -> None:
    assert not is_mlx_repo(workshop.source("qwen3_moe/orig").checkpoint)


def test_missing_experts_are_named_with_their_layer(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/orig", "4bit", tmp_path / "4bit")
    rewrite(folder, {n: value for n, value in read_folder(folder).items() if not n.startswith(LOST[:-6])})
    assert failed(folder) == {"parameters present": LOST, "experts of every layer": LOST}
    seen = verdict_of(Folder(folder), extensions=True, variants=[], working_bytes=1 << 20)
    assert (seen.record["verdict"], seen.exit_code) == ("mlx-broken", 1)
    assert any(LOST in line for line in seen.record["evidence"])


def test_bits_and_shapes_that_the_config_does_not_say_are_named(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/orig", "4bit", tmp_path / "4bit")
    block = {"group_size": 64, "bits": 8, "mode": "affine"}
    edit_json(folder / "config.json", quantization=block, quantization_config=block)
    assert "bits" in failed(folder)
    folder = workshop.copy("qwen3_moe/orig", "fp32", tmp_path / "fp32")
    edit_json(folder / "config.json", num_experts=5)
    assert "shapes" in failed(folder)


def test_a_config_of_no_model_is_a_finding(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/orig", "4bit", tmp_path / "4bit")
    edit_json(folder / "config.json", model_type="nothing_known")
    assert failed(folder) == {"readable": "config.json"}
