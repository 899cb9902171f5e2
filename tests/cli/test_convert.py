"""convert: the JSON that scripts rely on, what is written where, and what a refusal leaves alone."""

import json
from pathlib import Path

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from tests.cli.conftest import Shell
from tests.hub.embedded import Site

CONVERT_KEYS = {
    "source",
    "revision",
    "layout",
    "variants",
    "dropped",
    "stage_seconds",
    "modality",
    "seconds",
    "peak_memory_bytes",
}


def snapshot(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_dry_run_plans_and_writes_nothing(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    before = snapshot(fox)
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "4bit", "--dry-run", "--json")
    assert ended.code == 0
    assert [variant["name"] for variant in ended.json["variants"]] == ["4bit"]
    assert ended.json["disk_bytes"] >= ended.json["variants"][0]["bytes"] > 0
    assert not (tmp_path / "out").exists()
    assert snapshot(fox) == before


def test_a_dry_run_of_a_repo_reads_only_headers(hubbot: Shell, site: Site, tmp_path: Path) -> None:
    site.faults.clear()
    out = tmp_path / "out"
    ended = hubbot("convert", "fables/Fox-8x-MoE-fused", "--out", str(out), "-v", "8bit", "--dry-run", "--json")
    assert ended.code == 0
    assert not out.exists()
    assert site.faults.bytes_sent("GET", "safetensors") <= 128 << 10


def test_a_conversion_writes_a_folder_per_variant_and_says_so(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    arguments = ("--out", str(tmp_path / "out"), "--variant", "bf16", "--variant", "4bit", "--variant", "4bit")
    ended = hubbot("convert", str(fox), *arguments, "--json")
    assert ended.code == 0
    assert set(ended.json) == CONVERT_KEYS
    assert [set(variant) for variant in ended.json["variants"]] == [
        {"name", "path", "bytes", "bits_per_weight"}
    ] * 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bf16", "4bit"}
    for variant in ended.json["variants"]:
        folder = Path(variant["path"])
        assert folder == tmp_path / "out" / variant["name"]
        assert json.loads((folder / "hubbot.json").read_text())["verified"] is False
        assert (folder / "README.md").is_file()
    assert 15.9 < ended.json["variants"][0]["bits_per_weight"] <= 16.5
    again = hubbot("convert", str(fox), *arguments, "--json")
    assert again.code == 0


def test_a_folder_in_the_way_that_is_not_hubbots_is_left_alone(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    precious = tmp_path / "out" / "4bit" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("three years of work")
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "4bit", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert precious.read_text() == "three years of work"


def test_an_unknown_variant_is_wrong_usage(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "9bit", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert "4bit" in ended.json["error"]["hint"]
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_a_folder_is_wrong_usage(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "file"), "--variant", "4bit", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")


@pytest.mark.parametrize(("name", "code"), [("Hare-dense", 3), ("Fox-8x-MoE-broken", 4)])
def test_what_is_not_to_be_converted_says_why(
    hubbot: Shell, exhibits: dict[str, DemoRepo], tmp_path: Path, name: str, code: int
) -> None:
    ended = hubbot("convert", str(exhibits[name].folder), "--out", str(tmp_path / "out"), "--json")
    assert ended.code == code
    assert set(ended.json) == {"error"}
    assert not (tmp_path / "out").exists()


def test_a_repo_is_fetched_converted_verified_and_its_download_removed(
    hubbot: Shell, site: Site, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = hubbot("convert", "fables/Fox-8x-MoE-sharded", "--out", str(out), "-v", "8bit", "--verify", "--json")
    assert ended.code == 0
    assert ended.json["verified"] == {"8bit": "approved"}
    assert ended.json["revision"] == site.client().head("fables/Fox-8x-MoE-sharded")
    assert [path.name for path in out.iterdir()] == ["8bit"]
    assert json.loads((out / "8bit" / "hubbot.json").read_text())["verified"] is True
    assert (out / "8bit" / "report.json").is_file()


def test_verbose_says_on_stderr_what_every_parameter_is_made_of(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--dry-run", "--json", "--verbose")
    assert ended.code == 0
    told = " ".join(ended.err.split())
    assert "model.layers.0.mlp.switch_mlp.up_proj.weight: expected [" in told
    assert "found plain model.layers.0.mlp.experts.gate_up_proj [" in told
    assert "in model.safetensors" in told
