"""`hubbot convert --free-source`: the download goes while the conversion comes, and never anybody's own folder."""

import json
from pathlib import Path

from tests.cli.conftest import Shell
from tests.hub.embedded import Site

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
