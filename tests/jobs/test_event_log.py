"""One event, one line of JSON; files of bounded size; no secret and no line that somebody else wrote."""

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from hubbot.errors import HubUnavailable
from hubbot.jobs import event_log
from hubbot.jobs.event_log import EventLog, written
from hubbot.lifecycle import Job
from hubbot.store.queue import Queue

TOKEN = "hf_ATokenThatNobodyMaySee"
WORD = "swordfish-in-plain-words"


@pytest.fixture
def job(queue: Queue) -> Job:
    return queue.enqueue("org/moe", "a" * 40, ("4bit",), "4bit", requested_by="test")[0]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_an_event_is_one_line_with_its_job_outcome_error_and_seconds(tmp_path: Path, job: Job) -> None:
    log = EventLog("mac")
    with written(tmp_path / "log", secrets=()) as file:
        log.emit("stage_started", job=job, stage=job.stage)
        log.emit("stage_finished", job=job, stage=job.stage, outcome="waiting", error=HubUnavailable("down"))
    started, finished = lines(file)
    assert (started["event"], started["runner"], started["job"], started["repo"]) == (
        "stage_started", "mac", job.id, "org/moe",
    )  # fmt: skip
    assert started["time"].endswith("+00:00")
    assert (finished["outcome"], finished["stage"], finished["error"]["kind"]) == (
        "waiting", "inspect", "HubUnavailable",
    )  # fmt: skip
    assert finished["seconds"] >= 0


def test_what_is_logged_is_there_too_and_nothing_after_the_end(tmp_path: Path) -> None:
    logger = logging.getLogger("hubbot.jobs.test")
    with written(tmp_path, secrets=()) as file:
        logger.warning("outage (%s): %s", "hub", "down")
    logger.warning("later")
    (line,) = lines(file)
    assert (line["level"], line["logger"], line["message"]) == (
        "warning",
        "hubbot.jobs.test",
        "outage (hub): down",
    )


def test_no_secret_and_no_control_character_gets_into_it(tmp_path: Path, job: Job) -> None:
    with written(tmp_path, secrets=[WORD]) as file:
        EventLog("mac").emit(
            "stage_finished", job=job, error=HubUnavailable(f"{TOKEN}\x1b[2J {WORD}", where=f"http://me:{WORD}@x")
        )
        try:
            int(TOKEN)
        except ValueError:
            logging.getLogger("hubbot").exception("it failed\nFAKE LOG LINE %s", WORD)
    text = file.read_text(encoding="utf-8")
    assert TOKEN not in text
    assert WORD not in text
    assert "\x1b" not in text
    assert len(lines(file)) == 2


def test_the_files_are_bounded_in_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "LARGEST_BYTES", 2000)
    monkeypatch.setattr(event_log, "OLDER_FILES", 2)
    with written(tmp_path / "log", secrets=()):
        for number in range(200):
            EventLog("mac").emit("tick", number=number)
    files = sorted((tmp_path / "log").iterdir())
    assert [file.name for file in files] == ["hubbot.jsonl", "hubbot.jsonl.1", "hubbot.jsonl.2"]
    assert all(file.stat().st_size <= 2000 for file in files)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_log_that_cannot_be_rotated_keeps_the_newest_lines_and_does_not_grow(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(event_log, "LARGEST_BYTES", 2000)
    monkeypatch.setattr(event_log, "OLDER_FILES", 3)
    # A folder cannot be replaced by a file; root may do all else.
    (tmp_path / f"hubbot.jsonl.{number}" / "x").mkdir(parents=True)
    with written(tmp_path, secrets=()):
        for tick in range(200):
            EventLog("mac").emit("tick", number=tick)
            assert (tmp_path / "hubbot.jsonl").stat().st_size <= 2000
    assert lines(tmp_path / "hubbot.jsonl")[-1]["number"] == 199
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert "cannot be rotated" in told[0]
