"""The fleet's audit: whose turn it is, what it gives way to, and that nothing of it stops the bot."""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hubbot.deadlines import Interrupted
from hubbot.errors import HubUnavailable, OutOfRoom, TokenRejected
from hubbot.hub.client import default_hub
from hubbot.jobs import fleet_audits as module
from hubbot.jobs.audits import Audited, Auditing
from hubbot.jobs.fleet_audits import SLOT, FleetAudits, in_line
from hubbot.jobs.lanes import LANES
from hubbot.jobs.pauses import Pauses, pause
from hubbot.settings import Settings
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.records import Audit, PublishedVariant
from hubbot.store.results import Results

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
WRONG, RIGHT = {"mlx-lm": "0.31.3"}, {"mlx-lm": "0.32.2"}


def published(name: str, made_with: dict[str, str], *, days: int = 0) -> PublishedVariant:
    return PublishedVariant(
        source_repo=f"fables/{name}",
        source_revision="a" * 40,
        variant="bf16",
        target_repo=f"mlx-moe/{name}",
        target_revision="b" * 40,
        published_at=NOON - timedelta(days=days),
        bits_per_weight=16.0,
        bytes=1,
        report={"versions": made_with},
        model_type="lfm2_moe",
    )


def audit(name: str, versions: dict[str, str], days: int) -> Audit:
    return Audit(
        target_repo=f"mlx-moe/{name}",
        target_revision="b" * 40,
        variant="bf16",
        verdict="approved",
        reason="",
        gates={},
        versions=versions,
        job_id=None,
        audited_at=NOON - timedelta(days=days),
    )


def line(items: Sequence[PublishedVariant], audits: Sequence[Audit], judges: dict[str, str] = RIGHT) -> list[str]:
    last = {(item.target_repo, item.variant): item for item in audits}
    return [item.source_repo.partition("/")[2] for item in in_line(items, last, judges)]


@pytest.mark.parametrize(
    ("audits", "judges", "names"),
    [
        ([], RIGHT, ["wrong", "old", "new"]),
        ([audit("wrong", RIGHT, 1)], RIGHT, ["old", "new", "wrong"]),
        ([audit("wrong", WRONG, 1)], RIGHT, ["wrong", "old", "new"]),
        ([audit("wrong", WRONG, 1)], WRONG, ["old", "new", "wrong"]),
        ([audit("old", RIGHT, 2), audit("new", RIGHT, 3)], RIGHT, ["wrong", "new", "old"]),
        (
            [audit("wrong", RIGHT, 9), audit("old", RIGHT, 2), audit("new", RIGHT, 3)],
            RIGHT,
            ["wrong", "new", "old"],
        ),
    ],
)
def test_known_faults_come_first_and_then_what_was_not_judged_for_longest(
    audits: list[Audit], judges: dict[str, str], names: list[str]
) -> None:
    items = [published("new", RIGHT), published("old", RIGHT, days=5), published("wrong", WRONG, days=1)]
    assert line(items, audits, judges) == names


def test_what_a_repo_held_before_is_not_audited() -> None:
    assert line([published("a", RIGHT), published("a", WRONG, days=9)], []) == ["a"]
    assert in_line([published("a", RIGHT), published("a", WRONG, days=9)], {}, RIGHT)[0].made_with == RIGHT


@dataclass
class Fleet:
    """One repo after another that is published, and an audit whose work the test does."""

    engine: sa.Engine
    settings: Settings
    monkeypatch: pytest.MonkeyPatch
    now: datetime = NOON
    judged: list[str] = field(default_factory=list)
    error: Exception | None = None
    until_cancelled: bool = False

    def __post_init__(self) -> None:
        self.queue, self.results = Queue(self.engine, self.clock), Results(self.engine, self.clock)
        self.outages = Outages(self.engine)
        fleet = self

        def run(auditing: Auditing, chosen: Sequence[PublishedVariant]) -> Iterator[Audited]:
            fleet.judged += [item.target_repo for item in chosen]
            if fleet.until_cancelled:
                assert auditing.cancelled.wait(10)
                raise Interrupted("verify was stopped")
            if fleet.error is not None:
                raise fleet.error
            for item in chosen:
                yield auditing.pass_over(item, "the test judges nothing")

        self.monkeypatch.setattr(Auditing, "run", run)
        self.monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
        self.monkeypatch.setattr(module, "POLL_SECONDS", 0.05)

    def clock(self) -> datetime:
        return self.now

    def publish(self, *names: str) -> None:
        for name in names:
            self.results.record_publication(
                source_repo=f"fables/{name}",
                source_revision="a" * 40,
                variant="4bit",
                target_repo=f"mlx-moe/{name}",
                target_revision="b" * 40,
                bits_per_weight=4.5,
                size_bytes=1,
                report={"versions": RIGHT},
            )
            self.now += timedelta(seconds=1)

    def audits(self, per_day: int = 4, lane: str = "compute") -> FleetAudits:
        auditing = Auditing(
            settings=self.settings,
            hub=default_hub(),
            queue=self.queue,
            results=self.results,
            progress=lambda *_: None,
            cancelled=threading.Event(),
        )
        pauses = Pauses(outages=self.outages, probe=lambda: None, clock=self.clock, runner="mac")
        return FleetAudits(
            auditing=auditing,
            pauses=pauses,
            clock=self.clock,
            per_day=per_day,
            gives_way_to=LANES[lane],
        )

    def look(self, per_day: int = 4) -> None:
        self.audits(per_day).look(threading.Event())

    def enqueue(self) -> None:
        self.queue.enqueue("fables/x", "c" * 40, ("4bit",), "4bit", requested_by="test")


@pytest.fixture
def fleet(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return Fleet(engine, Settings(data_dir=tmp_path, runner="mac"), monkeypatch)


def test_the_budget_is_spread_over_the_day_and_everybody_has_a_turn(fleet: Fleet) -> None:
    fleet.publish("a", "b", "c")
    for _ in range(3 * 24):
        fleet.look(per_day=4)
        fleet.now += timedelta(hours=1)
    assert fleet.judged == [f"mlx-moe/{name}" for name in "abc" * 4]


def test_runners_of_one_database_share_the_budget_and_a_restart_begins_no_new_one(fleet: Fleet) -> None:
    fleet.publish("a", "b")
    for _ in range(5):
        fleet.look()
    assert fleet.judged == ["mlx-moe/a"]


def test_no_budget_is_no_audit_and_nothing_published_takes_no_slot(fleet: Fleet) -> None:
    fleet.look()
    assert fleet.results.watermark(SLOT) is None
    fleet.publish("a")
    fleet.look(per_day=0)
    assert fleet.judged == []


@pytest.mark.parametrize("kept", ["2031-01-01T00:00:00+00:00", "nonsense", "2026-11-01T00:00:00"])
def test_a_clock_that_was_wrong_does_not_stop_the_audits(kept: str, fleet: Fleet) -> None:
    fleet.publish("a")
    fleet.results.set_watermark(SLOT, kept)
    fleet.look()
    assert fleet.judged == ["mlx-moe/a"]


def test_nothing_is_audited_while_a_job_waits_or_a_person_paused(fleet: Fleet) -> None:
    fleet.publish("a")
    pause(fleet.outages, NOON)
    fleet.look()
    fleet.outages.end("*", "pause")
    fleet.enqueue()
    fleet.look()
    assert fleet.judged == []
    assert fleet.results.watermark(SLOT) is None


@pytest.mark.parametrize("why", ["stop", "job"])
def test_an_audit_gives_way_to_a_job_that_waits_for_the_machine_and_to_the_end(why: str, fleet: Fleet) -> None:
    fleet.publish("a")
    fleet.until_cancelled = True
    stop = threading.Event()
    # A new job is at the first stage of that lane; the machine's own lane is two stages further.
    thread = threading.Thread(target=fleet.audits(lane="bring").look, args=(stop,))
    thread.start()
    while not fleet.judged:
        threading.Event().wait(0.01)
    stop.set() if why == "stop" else fleet.enqueue()
    thread.join(5)
    assert not thread.is_alive()
    assert fleet.results.last_audits() == {}


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (HubUnavailable("away"), False), (OutOfRoom("too large"), True), (TokenRejected("no"), False),
        (ZeroDivisionError("a fault of hubbot"), False), (sa.exc.OperationalError("x", {}, OSError()), False),
    ],
)  # fmt: skip
def test_an_audit_that_fails_raises_nothing_and_holds_up_no_other(
    error: Exception, recorded: bool, fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.publish("a", "b")
    fleet.error = error
    with caplog.at_level(logging.INFO, "hubbot"):
        fleet.look()
    assert bool(fleet.results.last_audits()) is recorded
    assert any(str(error).split("\n")[0][:8] in record.getMessage() for record in caplog.records)
    fleet.error, fleet.now = None, fleet.now + timedelta(days=1)
    fleet.look()
    assert fleet.judged[-1] == ("mlx-moe/b" if recorded else "mlx-moe/a")
