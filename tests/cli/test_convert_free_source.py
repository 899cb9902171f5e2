"""`hubbot convert --free-source`: the download goes while the conversion comes, and never anybody's own folder."""

import json
import shutil
import types
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.hub.embedded import Site
from tests.shards_on_disk import in_shards

REPO = "fables/Fox-8x-MoE-sharded"


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("model*.safetensors")}


def test_a_folder_of_ones_own_is_never_freed(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    before = weights(fox)
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--free-source", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert weights(fox) == before
    assert not (tmp_path / "out").exists()


def test_a_repo_is_converted_and_proven_without_ever_being_here_as_a_whole(
    hubbot: Shell, site: Site, tmp_path: Path
) -> None:
    out, kept = tmp_path / "freed", tmp_path / "kept"
    asked = ("-v", "4bit", "-v", "bf16", "--verify", "--json")
    ended = hubbot("convert", REPO, "--out", str(out), "--free-source", *asked)
    assert ended.code == 0, ended.err
    assert ended.json["verified"] == {"4bit": "approved", "bf16": "approved"}
    assert sorted(path.name for path in out.iterdir()) == ["4bit", "bf16"]
    assert hubbot("convert", REPO, "--out", str(kept), "-v", "4bit", "-v", "bf16", "--json").code == 0
    for name in ("4bit", "bf16"):
        assert weights(out / name) == weights(kept / name)
        assert json.loads((out / name / "hubbot.json").read_text())["verified"] is True


def test_behaviour_is_not_run_on_a_released_source_and_says_so(hubbot: Shell, site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        hubbot("convert", REPO, "--out", str(out), "--free-source", "-v", "8bit", "--verify", "--json").code == 0
    )
    report = json.loads((out / "8bit" / "report.json").read_text())
    (finding,) = [f for f in report["findings"] if f["gate"] == "behaviour"]
    assert finding["status"] == "not-run"
    assert "released" in finding["reason"]


def test_a_dry_run_says_that_less_is_on_disk_at_once(
    hubbot: Shell, site: Site, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBOT_SHARD_GIGABYTES", "0.0002")
    in_shards(fox, 6)
    site.embedded.seed("tales/Fox-in-six", fox)
    asked = ("convert", "tales/Fox-in-six", "--out", str(tmp_path / "out"), "-v", "4bit", "--dry-run", "--json")
    kept, freed = (hubbot(*asked, *more) for more in ((), ("--free-source",)))
    assert kept.json["disk_bytes"] < freed.json["peak_disk_bytes"] < kept.json["peak_disk_bytes"]


def test_what_does_not_fit_is_refused_before_a_byte_is_fetched_with_the_numbers(
    hubbot: Shell, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = types.SimpleNamespace(total=1 << 20, used=1 << 20, free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    for more in ((), ("--free-source",)):
        ended = hubbot("convert", REPO, "--out", str(tmp_path / "out"), "-v", "4bit", "--json", *more)
        assert (ended.code, ended.json["error"]["kind"]) == (5, "OutOfRoom")
        assert "1.00 kB" in ended.json["error"]["message"]
    assert not list((tmp_path / "out").rglob("*.safetensors"))
