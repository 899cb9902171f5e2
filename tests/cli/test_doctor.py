"""doctor at the command line: every setting explained, no token shown."""

from pathlib import Path

import pytest

from hubbot import doctor
from hubbot.settings import Settings
from tests.cli.conftest import Shell
from tests.hub.embedded import ORG, OWNER, Site


def test_every_setting_is_explained(hubbot: Shell, site: Site) -> None:
    ended = hubbot("doctor", "--json")
    assert set(ended.json) == {"checks", "settings"}
    assert set(ended.json["settings"]) == set(Settings.model_fields)
    assert all(len(entry["meaning"]) > 10 for entry in ended.json["settings"].values())
    table = hubbot("doctor").out
    for key in Settings.model_fields:
        assert key in table


def test_a_machine_in_order_exits_0_and_never_shows_the_token(
    hubbot: Shell, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBOT_ORG", ORG)
    for ended in (hubbot("doctor", "--json"), hubbot("doctor")):
        assert ended.code == 0, ended.out
        assert OWNER not in ended.out + ended.err
        assert "keeper" in ended.out


def test_a_machine_out_of_order_exits_1_with_what_to_do(
    hubbot: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hubbot.toml"
    file.write_text("orgg = 'typo'\n")
    monkeypatch.setenv("HUBBOT_CONFIG", str(file))
    ended = hubbot("doctor", "--json")
    assert ended.code == 1
    (failed,) = [check for check in ended.json["checks"] if check["status"] == "fail"]
    assert "orgg" in failed["message"]
    assert str(file) in failed["hint"]
    assert set(ended.json["settings"]) == set(Settings.model_fields)
    assert hubbot("doctor").code == 1


def test_an_installed_version_that_is_known_to_be_wrong_is_warned_of(
    hubbot: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "installed", lambda: {"mlx-lm": "0.31.3", "mlx": "0.32.4"})
    checks = hubbot("doctor", "--json").json["checks"]
    warned = [check for check in checks if check["name"] == "known fault of mlx-lm"]
    assert {check["status"] for check in warned} == {"warn"}
    assert [check["message"].rpartition("/")[2] for check in warned] == ["1883)", "1197)"]
    assert "later than 0.31.3" in warned[0]["hint"]
