"""--no-extensions, and the setting of that name: families that need a model file of hubbot's own are refused."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.reference.checkpoints import case, write


@pytest.fixture
def ernie(tmp_path: Path) -> str:
    return str(write(case("ernie4_5_moe/orig"), tmp_path / "ernie"))


def test_convert_takes_such_a_family_unless_told_not_to(hubbot: Shell, ernie: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    refused = hubbot("convert", ernie, "--out", out, "--variant", "bf16", "--no-extensions", "--json")
    assert refused.code == 4
    error = refused.json["error"]
    assert (error["kind"], error["state"]) == ("NoRuntime", "parked")
    assert "ernie4_5_moe.py" in error["message"]
    assert "correction biases" in error["message"]
    assert "--no-extensions" in error["hint"]
    assert not (tmp_path / "out" / "bf16").exists()
    assert hubbot("convert", ernie, "--out", out, "--variant", "bf16", "--json").code == 0
    assert (tmp_path / "out" / "bf16" / "ernie4_5_moe.py").is_file()


def test_the_setting_holds_for_inspect_and_convert_alike(
    hubbot: Shell, ernie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hubbot("inspect", ernie, "--json").json
    assert found["verdict"] == "convertible"
    assert found["runtime"].endswith("ernie4_5_moe with hubbot's ernie4_5_moe.py")
    monkeypatch.setenv("HUBBOT_EXTENSIONS", "false")
    assert hubbot("inspect", ernie, "--json").json["verdict"] == "no-runtime"
    out = str(tmp_path / "out")
    assert hubbot("convert", ernie, "--out", out, "--variant", "bf16", "--json").code == 4
    assert hubbot("convert", ernie, "--out", out, "--variant", "bf16", "--extensions", "--json").code == 0


def test_other_families_do_not_care(hubbot: Shell, tmp_path: Path) -> None:
    source = str(write(case("mixtral/orig"), tmp_path / "mixtral"))
    out = str(tmp_path / "out")
    assert hubbot("convert", source, "--out", out, "--variant", "bf16", "--no-extensions", "--json").code == 0
    assert not list((tmp_path / "out" / "bf16").glob("*.py"))


def test_the_card_says_what_loading_runs_and_why(hubbot: Shell, ernie: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    hubbot("convert", ernie, "--out", str(out), "--variant", "bf16", "--json")
    card = (out / "bf16" / "README.md").read_text("utf-8")
    assert "--trust-remote-code --prompt" in card
    assert 'load("bf16", trust_remote_code=True)' in card
    assert "throws away the router's correction biases" in card
    plain = write(case("mixtral/orig"), tmp_path / "mixtral")
    hubbot("convert", str(plain), "--out", str(out), "--variant", "fp16", "--json")
    assert "trust" not in (out / "fp16" / "README.md").read_text("utf-8")
