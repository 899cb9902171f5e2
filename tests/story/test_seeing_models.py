"""A model that sees, from fp8 on disk to one repo for two runtimes, through the command line."""

import json
from pathlib import Path

from tests.checkpoints_on_disk import edit_json, read_folder
from tests.cli.conftest import Shell, hubbot, machine
from tests.reference.checkpoints import case, write

__all__ = ["hubbot", "machine"]


def test_row_44_an_fp8_checkpoint_that_sees_becomes_plain_fused_and_then_an_artifact_that_sees(
    hubbot: Shell, tmp_path: Path
) -> None:
    source = write(case("qwen3_5_moe/fp8"), tmp_path / "source")
    (source / "preprocessor_config.json").write_text('{"patch_size": 2}')
    seen = hubbot("inspect", str(source))
    assert "text and images" in seen.out
    assert "its weights are packed: fp8" in seen.out
    fused = tmp_path / "fused"
    done = hubbot(
        "relayout", str(source), "--to", "stacked-fused", "--unpack", "bf16", "--out", str(fused), "--json"
    )
    assert done.code == 0
    assert "quantization_config" not in json.loads((fused / "config.json").read_text())
    assert (fused / "preprocessor_config.json").is_file()
    made = hubbot("convert", str(fused), "--out", str(tmp_path / "out"), "--variant", "4bit", "--verify", "--json")
    assert made.code == 0
    assert made.json["modality"] == "text and images"
    assert made.json["verified"] == {"4bit": "approved"}
    card = (tmp_path / "out" / "4bit" / "README.md").read_text()
    assert "**Text and images.**" in card
    assert "pipeline_tag: image-text-to-text" in card
    tower = [name for name in read_folder(tmp_path / "out" / "4bit") if name.startswith("vision_tower.")]
    assert len(tower) == 21


def test_row_45_text_only_says_so_in_inspect_s_words_and_on_the_card(hubbot: Shell, tmp_path: Path) -> None:
    source = write(case("qwen3_5_moe/orig"), tmp_path / "source")
    made = hubbot("convert", str(source), "--out", str(tmp_path / "out"), "-v", "4bit", "--text-only", "--json")
    assert (made.code, made.json["modality"]) == (0, "text only: text only was asked for")
    folder = tmp_path / "out" / "4bit"
    assert "**Text only.**" in (folder / "README.md").read_text()
    assert "vision_config" not in json.loads((folder / "config.json").read_text())
    assert not any(name.startswith("vision_tower.") for name in read_folder(folder))


def test_row_55_a_form_that_is_there_already_is_said_so_and_nothing_is_written(
    hubbot: Shell, tmp_path: Path
) -> None:
    source = write(case("qwen3_moe/v5"), tmp_path / "source")
    ended = hubbot("relayout", str(source), "--to", "stacked-fused", "--out", str(tmp_path / "out"))
    assert ended.code == 0
    assert "nothing to do: it is stacked-fused already" in " ".join(ended.out.split())
    assert not (tmp_path / "out").exists()


def test_a_form_that_is_not_taken_is_refused_with_the_relayout_that_helps(hubbot: Shell, tmp_path: Path) -> None:
    source = write(case("qwen3_moe/orig"), tmp_path / "source")
    turned, back = tmp_path / "turned", tmp_path / "back"
    assert hubbot("relayout", str(source), "--to", "stacked-fused-transposed", "--out", str(turned)).code == 0
    refused = hubbot("convert", str(turned), "--out", str(tmp_path / "out"), "--json")
    assert refused.code == 4
    assert "hubbot relayout --to per-expert" in refused.json["error"]["hint"]
    assert hubbot("relayout", str(turned), "--to", "per-expert", "--out", str(back)).code == 0
    assert hubbot("convert", str(back), "--out", str(tmp_path / "out"), "--variant", "bf16").code == 0


def test_code_that_is_left_out_is_named(hubbot: Shell, tmp_path: Path) -> None:
    source = write(case("qwen3_moe/orig"), tmp_path / "source")
    edit_json(source / "config.json", auto_map={"AutoModel": "modeling_x.Y"})
    (source / "modeling_x.py").write_text("raise SystemExit")
    ended = hubbot("relayout", str(source), "--to", "stacked", "--out", str(tmp_path / "out"))
    assert "left out: modeling_x.py" in ended.out
