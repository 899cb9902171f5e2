"""relayout through the command line: what it writes, says and refuses."""

import json
from pathlib import Path

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from tests.checkpoints_on_disk import edit_json, read_folder, rewrite
from tests.cli.conftest import Shell
from tests.hub.embedded import Site
from tests.reference.checkpoints import case, write
from tests.relaid import same

KEYS = {
    "source", "revision", "model_type", "to", "order", "experts", "moe_layers", "tensors", "bytes", "examples",
    "already", "left_out", "taken_by", "convert_refuses",
}  # fmt: skip
DONE = {"path", "seconds", "peak_memory_bytes"}


def test_a_folder_goes_there_and_back(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    there = hubbot("relayout", str(fox), "--to", "per-expert", "--out", str(tmp_path / "there"), "--json")
    assert there.code == 0
    assert set(there.json) == KEYS | DONE
    assert there.json["examples"][0]["name"].endswith("experts.0.gate_proj.weight")
    back = hubbot(
        "relayout", str(tmp_path / "there"), "--to", "stacked-fused", "--out", str(tmp_path / "back"), "--json"
    )
    assert (back.code, back.json["order"]) == (0, "concatenated")
    assert same(read_folder(tmp_path / "back"), read_folder(fox))
    assert (tmp_path / "back" / "config.json").read_bytes() == (fox / "config.json").read_bytes()


def test_what_comes_out_has_the_same_verdict_and_count(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert hubbot("relayout", str(fox), "--to", "per-expert", "--out", str(out)).code == 0
    before, after = (hubbot("inspect", str(folder), "--json").json for folder in (fox, out))
    assert (after["verdict"], after["parameters"]) == ("convertible", before["parameters"])
    assert after["layout"]["stacking"] == "per-expert"


def test_a_dry_run_says_what_would_be_made_and_writes_nothing(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("relayout", str(fox), "--to", "stacked", "--out", str(tmp_path / "out"), "--dry-run", "--json")
    assert ended.code == 0
    assert set(ended.json) == KEYS
    assert not (tmp_path / "out").exists()
    plain = hubbot("relayout", str(fox), "--to", "stacked", "--out", str(tmp_path / "out"), "--dry-run")
    assert "would be written" in plain.out


@pytest.mark.parametrize(
    ("name", "to", "programs"),
    [
        ("qwen3_moe/orig", "stacked", ["VeOmni"]),
        ("qwen3_vl_moe/orig", "per-expert", []),
        ("mixtral/orig", "stacked", []),
        ("olmoe/orig", "stacked-fused-transposed", []),
    ],
)
def test_it_is_said_at_once_whom_a_form_is_for_and_whether_convert_takes_it(
    name: str, to: str, programs: list[str], hubbot: Shell, tmp_path: Path
) -> None:
    source, out = write(case(name), tmp_path / "source"), tmp_path / "out"
    said = hubbot("relayout", str(source), "--to", to, "--out", str(out), "--dry-run", "--json").json
    assert said["taken_by"] == programs
    plain = hubbot("relayout", str(source), "--to", to, "--out", str(out)).out
    assert ("hubbot convert does not take it" in plain) == (said["convert_refuses"] is not None)
    verdict = hubbot("inspect", str(out), "--json").json["verdict"]
    assert (verdict == "convertible") == (said["convert_refuses"] is None)


def test_a_repo_is_fetched_rewritten_and_its_download_removed(hubbot: Shell, site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = hubbot("relayout", "fables/Fox-8x-MoE-sharded", "--to", "stacked-fused", "--out", str(out), "--json")
    assert ended.code == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "data", "home"}
    mark = json.loads((out / "hubbot.json").read_text())
    assert mark["source"]["repo"] == "fables/Fox-8x-MoE-sharded"
    assert (out / "tokenizer.json").is_file()


@pytest.mark.parametrize(("name", "code"), [("Hare-dense", 3), ("Fox-8x-MoE-broken", 4)])
def test_what_cannot_be_rewritten_says_why(
    hubbot: Shell, exhibits: dict[str, DemoRepo], tmp_path: Path, name: str, code: int
) -> None:
    out = tmp_path / "out"
    ended = hubbot("relayout", str(exhibits[name].folder), "--to", "stacked-fused", "--out", str(out), "--json")
    assert ended.code == code
    assert set(ended.json) == {"error"}
    assert not out.exists()
    if code == 4:
        assert "layer 2, expert 5" in ended.json["error"]["message"]


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("per-expert", "per_expert"),
        ("stacked-fused", "stacked_fused"),
        ("fused", "stacked_fused"),
        ("fused-transposed", "stacked_fused_transposed"),
    ],
)
def test_a_form_is_called_by_the_catalogues_word_or_by_its_former_one(
    hubbot: Shell, fox: Path, tmp_path: Path, word: str, key: str
) -> None:
    ended = hubbot("relayout", str(fox), "--to", word, "--out", str(tmp_path / "out"), "--dry-run", "--json")
    assert (ended.code, ended.json["to"]) == (0, key)
    assert key in {row["key"] for row in hubbot("layouts", "--json").json["layouts"]}


def test_an_unknown_form_is_wrong_usage(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("relayout", str(fox), "--to", "sideways", "--out", str(tmp_path / "out"), "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert "stacked-fused-transposed" in ended.json["error"]["hint"]


def test_a_folder_in_the_way_is_left_alone(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years of work")
    ended = hubbot("relayout", str(fox), "--to", "stacked", "--out", str(tmp_path / "out"), "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert (tmp_path / "out" / "thesis.txt").is_file()


def test_people_read_what_was_done(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("relayout", str(fox), "--to", "stacked-fused-transposed", "--out", str(tmp_path / "out"))
    assert ended.code == 0
    for word in ("8 experts", "gate and up concatenated", "done", "gate_up_proj"):
        assert word in ended.out


def test_a_count_that_the_config_gets_wrong_names_the_layer(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    edit_json(fox / "config.json", num_local_experts=9, num_experts=9)
    ended = hubbot("relayout", str(fox), "--to", "stacked", "--out", str(tmp_path / "out"), "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (4, "IncompleteCover")
    assert "layer 0 stacks 8 experts" in ended.json["error"]["message"]


def test_a_stack_that_lacks_its_down_projection_is_incomplete(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    stored = {name: value for name, value in read_folder(fox).items() if "layers.1.mlp.experts.down" not in name}
    (fox / "hubbot.json").write_text("{}")
    rewrite(fox, stored)
    ended = hubbot("relayout", str(fox), "--to", "stacked", "--out", str(tmp_path / "out"), "--json")
    assert ended.code == 4
    assert "layer 1 lacks down" in ended.json["error"]["message"]
