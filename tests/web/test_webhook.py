"""The webhook: off by default, wakes the watch rules, enqueues nothing."""

from pathlib import Path

from pydantic import SecretStr
from starlette.testclient import TestClient

from hubbot.jobs.bot import WAKE_FILE, take_wake
from hubbot.settings import Settings
from hubbot.web.webhook import MOST_BYTES
from tests.web.conftest import Bench

SECRET = {"x-webhook-secret": "a secret"}
EVENT = {"event": {"action": "update"}, "repo": {"name": "fables/Fox", "type": "model"}}


def hooked(bench: Bench, folder: Path) -> TestClient:
    settings = Settings(data_dir=folder, webhook_secret=SecretStr("a secret"))
    return bench.browser(settings=settings, open_to_all=False)


def test_without_a_secret_in_the_settings_there_is_no_webhook(bench: Bench) -> None:
    assert bench.browser().post("/webhooks/hub", json=EVENT, headers=SECRET).status_code == 404
    empty = Settings(data_dir=bench.site.settings.data_dir, webhook_secret=SecretStr(""))
    assert bench.browser(settings=empty).post("/webhooks/hub", json=EVENT).status_code == 404


def test_it_wakes_the_watch_rules_once_and_enqueues_nothing(bench: Bench, tmp_path: Path) -> None:
    browser = hooked(bench, tmp_path)
    for _ in range(3):
        assert browser.post("/webhooks/hub", json=EVENT, headers=SECRET).status_code == 202
    assert take_wake(bench.site.settings)
    assert not take_wake(bench.site.settings)
    assert bench.asked == []
    assert bench.records.listings.jobs().total == 0


def test_a_wrong_secret_or_body_wakes_nothing(bench: Bench, tmp_path: Path) -> None:
    browser = hooked(bench, tmp_path)
    for headers in ({}, {"x-webhook-secret": "wrong"}, {"x-webhook-secret": ""}):
        assert browser.post("/webhooks/hub", json=EVENT, headers=headers).status_code == 403
    for body in (b"", b"[]", b"nonsense", b"[" * 100_000, b"\xff"):
        assert browser.post("/webhooks/hub", content=body, headers=SECRET).status_code == 400
    assert browser.post("/webhooks/hub", content=b" " * (MOST_BYTES + 1), headers=SECRET).status_code == 413
    assert browser.get("/webhooks/hub", headers=SECRET).status_code == 405
    assert not (tmp_path / WAKE_FILE).exists()
