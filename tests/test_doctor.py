"""What the doctor finds, and that it never says what it must not."""

import json
import shutil
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, tzinfo
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from hubbot import doctor
from hubbot.doctor import Check, examine, explain
from hubbot.engine.formats import kernels
from hubbot.hub import client
from hubbot.hub.answers import Account
from hubbot.jobs.retry import MAX_ATTEMPTS
from hubbot.runtime import loading
from hubbot.settings import Settings
from tests.hub.embedded import ORG, OWNER, Site, calm, impatient, running

Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024 - the shape of shutil's own
RULES = """
[[watch]]
name = "moe"
authors = ["fables", "others"]
tags = ["moe"]
min_age_hours = 6
max_gigabytes = 100
licences = ["apache-2.0"]
deny = ["*-GGUF"]
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("hub")) as site:
        yield site


@pytest.fixture
def site(hub: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    monkeypatch.setattr(client, "default_hub", lambda *_: hub.client(None))
    monkeypatch.setenv("HF_TOKEN", OWNER)
    for name in ("HUBBOT_ORG", "HUBBOT_DATABASE_URL", "HUBBOT_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    configure(monkeypatch, tmp_path, f'org = "{ORG}"\n{RULES}')
    yield hub
    hub.faults.clear()


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    file = folder / "hubbot.toml"
    file.write_text(f'data_dir = "{folder.as_posix()}/data"\n{text}')
    monkeypatch.setenv("HUBBOT_CONFIG", str(file))
    return file


def found() -> dict[str, Check]:
    checks = examine()
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def test_a_machine_in_order_is_all_ok(site: Site) -> None:
    checks = found()
    assert {name: check.status for name, check in checks.items() if check.status == "fail"} == {}
    assert {
        "settings",
        "python",
        "mlx",
        "mlx-lm",
        "huggingface_hub",
        "data folder",
        "database",
        "hub",
        "org",
    } <= set(checks)
    assert checks["hub"].message == f"{site.url} as keeper (write)"
    assert checks["org"].message == f"publishing as {ORG}"
    assert checks["database"].message == "no jobs yet"


def test_a_rule_is_told_in_words(site: Site) -> None:
    told = found()["watch moe"].message
    for part in (
        "repos of fables, others",
        "tagged moe",
        "unchanged for 6",
        "up to 100",
        "not *-GGUF",
        "licensed apache-2.0",
    ):
        assert part in told


def test_no_rules_and_no_organisation_are_warnings_with_what_to_do(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, "")
    checks = found()
    assert (checks["watch"].status, checks["org"].status) == ("warn", "warn")
    assert "nothing is watched" in checks["watch"].message
    assert checks["watch"].hint
    assert checks["org"].hint


def test_a_token_of_a_stranger_to_the_organisation_fails(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, 'org = "somebody-else"\n')
    check = found()["org"]
    assert (check.status, check.message) == ("fail", "keeper is no member of somebody-else")


def test_without_a_token_the_hub_is_a_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    check = found()["hub"]
    assert check.status == "warn"
    assert "HF_TOKEN" in (check.hint or "")


def test_a_rejected_token_is_a_warning_and_not_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_WrongWrongWrong")
    checks = found()
    assert checks["hub"].status == "warn"
    assert "hf_WrongWrongWrong" not in json.dumps([check.to_json() for check in checks.values()])


def test_a_hub_that_does_not_answer_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = client.Hub(endpoint="http://127.0.0.1:9", token=OWNER, patience=impatient())
    monkeypatch.setattr(client, "default_hub", lambda *_: nowhere)
    check = found()["hub"]
    assert check.status == "fail"
    assert OWNER not in str(check)


def test_little_room_is_a_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 3 * 10**9))
    check = found()["data folder"]
    assert check.status == "warn"
    assert "3.00 GB free" in check.message


def test_a_data_folder_that_cannot_be_made_fails_and_the_rest_is_examined(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_text("a file in the way")
    checks = found()
    assert (checks["data folder"].status, checks["database"].status) == ("fail", "fail")
    assert checks["hub"].status == "ok"


def test_kernels_that_the_self_check_leaves_are_a_warning_that_says_why(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = replace(kernels.DEFINITIONS, reason="self-check: mxfp4, BF16, zeros")
    monkeypatch.setattr(kernels, "checked", lambda _: left)
    check = found()["quantizer BF16, F16, F32"]
    assert check.status == "warn"
    assert "self-check: mxfp4, BF16, zeros" in check.message


def test_a_missing_package_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "mlx-lm":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    checks = found()
    assert (checks["mlx-lm"].status, checks["mlx"].status) == ("fail", "ok")


@pytest.mark.parametrize(
    "text", ["orgg = 1\n", "watch_minutes = -1\n", "= nonsense\n", '[[watch]]\nname = "x"\nauthor = "y"\n']
)
def test_settings_that_cannot_be_read_fail_and_are_still_explained(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = configure(monkeypatch, tmp_path, text)
    checks = found()
    assert checks["settings"].status == "fail"
    assert str(file) in (checks["settings"].hint or "")
    assert "hub" not in checks
    assert set(explain()) == set(Settings.model_fields)


def test_no_settings_file_is_a_warning(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBBOT_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HUBBOT_DATA_DIR", str(tmp_path / "data"))
    check = found()["settings"]
    assert check.status == "warn"
    assert "defaults are in force" in check.message


def test_every_setting_has_its_value_and_meaning_and_no_password(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained = explain()
    assert set(explained) == set(Settings.model_fields)
    assert all(entry["meaning"] for entry in explained.values())
    assert explained["org"]["value"] == ORG
    monkeypatch.setenv("HUBBOT_DATABASE_URL", "postgresql+psycopg://me:secret@db/hubbot")
    assert explain()["database_url"]["value"] == "(set)"
    json.dumps(explain())


def test_a_setting_that_is_left_out_shows_the_number_in_force(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained = explain()
    assert explained["max_attempts"]["value"] == MAX_ATTEMPTS == 6
    assert explained["database_url"]["value"] == f"sqlite:///{tmp_path / 'data' / 'hubbot.db'}"
    configure(monkeypatch, tmp_path, "max_attempts = 2\n")
    assert explain()["max_attempts"]["value"] == 2
    configure(monkeypatch, tmp_path, "max_attempts = many\n")
    assert explain()["max_attempts"]["value"] == MAX_ATTEMPTS


def test_a_password_in_the_database_url_is_not_told_when_it_cannot_be_reached(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("HUBBOT_DATABASE_URL", "postgresql+psycopg://me:secret-word@127.0.0.1:9/hubbot")
    check = found()["database"]
    assert check.status == "fail"
    assert "secret-word" not in str(check)


def test_a_database_whose_driver_is_not_installed_fails_with_what_to_do(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setenv("HUBBOT_DATABASE_URL", "postgresql+psycopg://me:secret-word@127.0.0.1:9/hubbot")
    check = found()["database"]
    assert check.status == "fail"
    assert "psycopg" in f"{check.message} {check.hint}"
    assert "secret-word" not in str(check)


def test_every_finding_that_is_not_well_says_what_to_do(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 99, 1))
    configure(monkeypatch, tmp_path, 'memory_gigabytes = 999999\n[[watch]]\nname = "everybody"\n')
    poor = {check.name: check for check in examine() if check.status != "ok"}
    assert {"memory", "service", "notices", "org", "watch everybody"} <= set(poor)
    assert all(check.hint for check in poor.values())


def test_a_token_that_may_only_read_fails_where_something_is_to_be_published(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.Hub, "whoami", lambda _: Account(name="fox", orgs=(ORG,), role="read"))
    check = found()["hub"]
    assert (check.status, "may not write" in check.message) == ("fail", True)


@pytest.mark.parametrize(("seconds", "word"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_clock_that_is_off_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, seconds: float, word: str
) -> None:
    assert found()["clock"].status == "ok"

    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Off":
            return cls.fromtimestamp(time.time() + seconds, tz)

    monkeypatch.setattr(doctor, "datetime", Off)
    check = found()["clock"]
    assert (check.status, word in check.message) == ("warn", True)


@pytest.mark.parametrize("system", ["darwin", "linux", "win32"])
def test_the_service_is_found_where_install_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    before = [check.status for check in doctor._service(system, tmp_path)]
    for unit in ("Library/LaunchAgents/hubbot.plist", ".config/systemd/user/hubbot.service"):
        (tmp_path / unit).parent.mkdir(parents=True)
        (tmp_path / unit).touch()
    after = [check.status for check in doctor._service(system, tmp_path)]
    assert (before, after) == (([], []) if system == "win32" else (["warn"], ["ok"]))


def test_a_damaged_database_is_found_with_the_way_out(site: Site, tmp_path: Path) -> None:
    assert found()["database"].status == "ok"
    file = tmp_path / "data" / "hubbot.db"
    pages = bytearray(file.read_bytes())
    for start in range(2 * 4096, len(pages), 3 * 4096):
        pages[start : start + 200] = b"\xff" * 200
    file.write_bytes(pages)
    check = found()["database"]
    assert check.status == "fail"
    assert ".recover" in (check.hint or "")


def test_the_device_and_the_build_of_mlx_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._device().status == "ok"
    assert "products by" in doctor._device().message
    monkeypatch.setattr(loading, "builds", lambda: ("mlx-cpu 0.32.4", "mlx-cuda-13 0.32.4"))
    both = doctor._device()
    assert both.status == "warn"
    assert "mlx-cpu 0.32.4 and mlx-cuda-13 0.32.4" in both.message
