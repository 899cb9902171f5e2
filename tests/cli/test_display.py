"""The worker's events as lines for a log and a bar for a terminal."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from hubbot.cli import bars
from hubbot.cli.display import Display
from hubbot.errors import CorruptHeader
from hubbot.lifecycle import Job, Stage, State

NOW = datetime(2026, 5, 1, tzinfo=UTC)
JOB = Job(
    id=3, repo="fables/[bold]Fox", revision="a" * 40, variants=("4bit",), recipe_key="4bit", stage=Stage.CONVERT,
    state=State.RUNNING, priority=0, attempts=0, not_before=None, lease="key", lease_until=NOW, runner="r",
    cancel_requested=False, error=None, requested_by="test", created_at=NOW, updated_at=NOW,
    predicted_ram_bytes=None, predicted_disk_bytes=None, runtime=None,
)  # fmt: skip


def shown(*, terminal: bool) -> tuple[Display, io.StringIO]:
    written = io.StringIO()
    return Display(Console(file=written, force_terminal=terminal, width=200, highlight=False)), written


def test_a_log_has_a_line_for_every_stage_and_end() -> None:
    display, written = shown(terminal=False)
    with display.live():
        display.emit("given_back", job=JOB)
        display.emit("claimed", job=JOB)
        display.emit("stage_started", job=JOB, stage=Stage.CONVERT)
        display.emit("stage_finished", job=JOB, stage=Stage.CONVERT, outcome="done", error=None)
        failed = CorruptHeader("torn", where="[here]")
        display.emit("stage_finished", job=JOB, stage=Stage.VERIFY, outcome="failed", error=failed)
        display.emit("stopping", job=JOB)
        display.emit("lost", job=JOB)
    assert written.getvalue().splitlines() == [
        "job 3 fables/[bold]Fox: goes on at convert after an interruption",
        "job 3 fables/[bold]Fox: convert done",
        "failed fables/[bold]Fox: torn ([here])",
        "job 3 fables/[bold]Fox: another runner has taken it over",
    ]


def test_a_log_hears_of_progress_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("hubbot.cli.display.time.monotonic", lambda: clock[0])
    display, written = shown(terminal=False)
    for second in range(25):
        clock[0] = 100.0 + second
        display.on_progress(JOB, second, 50, "layers.0")
    assert written.getvalue().splitlines() == [
        "job 3 fables/[bold]Fox: convert 20 %, layers.0",
        "job 3 fables/[bold]Fox: convert 40 %, layers.0",
    ]


def test_a_terminal_gets_a_bar_that_is_gone_when_the_stage_is() -> None:
    display, written = shown(terminal=True)
    with display.live():
        display.emit("stage_started", job=JOB, stage=Stage.CONVERT)
        display.on_progress(JOB, 1, 2, "layers.0")
        display.emit("stage_finished", job=JOB, stage=Stage.CONVERT, outcome="published", error=None)
        display.on_progress(replace(JOB, id=4), 0, 0, "nothing")
    assert "published" in written.getvalue()


def test_a_bar_without_a_terminal_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("hubbot.cli.bars.time.monotonic", lambda: clock[0])
    with bars.bar("convert") as tell:
        for second in range(21):
            clock[0] = float(second)
            tell(second, 0 if second < 11 else 40, "layers.0")
    assert len(capsys.readouterr().err.splitlines()) == 2
