"""Build the bot for `run` and `demo` from settings, Hub, database, pipeline, worker and schedule."""

import logging
import platform
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random

from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.checkpoints import Repo
from hubbot.deadlines import Interrupted
from hubbot.errors import WrongUsage
from hubbot.files.atomic_folders import check_writable, free_bytes
from hubbot.hub.client import Hub
from hubbot.jobs import courtesies
from hubbot.jobs.audits import Auditing
from hubbot.jobs.child_folders import sweep
from hubbot.jobs.fleet_audits import FleetAudits
from hubbot.jobs.lanes import LANES, OWN_THREAD, run_lanes
from hubbot.jobs.lock import runner_lock
from hubbot.jobs.notices import Notices, sender
from hubbot.jobs.open_records import Records, open_records, utc_now
from hubbot.jobs.pauses import Pauses
from hubbot.jobs.pipeline import OnProgress, Pipeline, recipe_key, runtime_key
from hubbot.jobs.retry import rule_of
from hubbot.jobs.scheduler import Scheduler
from hubbot.jobs.takeovers import Takeovers
from hubbot.jobs.watch_rounds import Watching
from hubbot.jobs.worker import Emit, Worker
from hubbot.lifecycle import Job, State
from hubbot.settings import Settings
from hubbot.store.queue import Queue
from hubbot.store.records import Machine
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
BEATS_PER_LEASE = 4
# An expired lease that misses so many heartbeats more has nobody behind it.
SILENT_BEATS = 1.5
WAKE_FILE = "look-now"
UNFINISHED = frozenset({State.WAITING, State.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """The parts of one runner, open and ready."""

    settings: Settings
    hub: Hub
    records: Records
    queue: Queue
    results: Results
    watching: Watching
    worker: Worker
    pipeline: Pipeline
    takeovers: Takeovers
    started_at: datetime

    def scheduler(self, stop: threading.Event) -> Scheduler:
        """Return the schedule: watch, rescue, tell, prune; a look at the Hub ends when `stop` is set."""
        return Scheduler(
            watch=lambda: self._watch(stop),
            watch_every=timedelta(minutes=self.settings.watch_minutes),
            rescue=lambda: self._rescue(stop),
            prune=self._prune,
            tell=lambda: self._tell(stop),
            woken=lambda: take_wake(self.settings),
        )

    def run_forever(self, stop: threading.Event) -> None:
        """Watch by the clock and work until `stop` is set.

        Raises WrongUsage where another process runs under this runner's name, or the database's file was removed.
        """
        with runner_lock(self.settings.data_dir / f"{self.settings.runner}.lock"), self.scheduler(stop):
            self._begin()
            working = self._working(stop)
            run_lanes(replace(working, when_idle=self._fleet_audits(working.pauses).look), stop)
        self.records.check_place()

    def run_once(self, stop: threading.Event, patience_seconds: float) -> None:
        """Watch once, then work until nothing is due within `patience_seconds`; raises as `run_forever` does."""
        with runner_lock(self.settings.data_dir / f"{self.settings.runner}.lock"):
            self._begin()
            with suppress(Interrupted):
                self._pay_courtesies(stop)
                self._looking(stop).look(dry_run=False)
            self._working(stop).run_until_idle(stop, patience_seconds)

    def _begin(self) -> None:
        self._register()
        sweep(self.settings.data_dir)
        left = sum(1 for _ in (self.settings.data_dir / "work").glob("job-*"))
        if left and not sum(self.queue.counts().values()):
            logger.warning("the database is new, but work/ holds %d jobs: was it lost? then put back a copy", left)
        revived = self.queue.revive_no_runtime(runtime_key())
        if revived:
            logger.info("%d jobs that found no runtime are tried again with %s", len(revived), runtime_key())

    def _pay_courtesies(self, stop: threading.Event) -> None:
        courtesies.pay(self.results, self.hub.until(stop), self.settings)

    def _working(self, stop: threading.Event) -> Worker:
        pauses = replace(self.worker.pauses, probe=self.hub.until(stop).probe)
        return replace(self.worker, pauses=pauses)

    def _fleet_audits(self, pauses: Pauses) -> FleetAudits:
        auditing = Auditing(
            settings=self.settings,
            # An audit can wait: half of the Hub's quota is left to those who fetch and publish.
            hub=self.hub.sparing(0.5),
            queue=self.queue,
            results=self.results,
            progress=lambda *_: None,
            cancelled=threading.Event(),
        )
        return FleetAudits(
            auditing=auditing,
            pauses=pauses,
            clock=utc_now,
            per_day=self.settings.audits_per_day,
            gives_way_to=LANES[OWN_THREAD],
        )

    def _looking(self, stop: threading.Event) -> Watching:
        return replace(self.watching, hub=self.hub.until(stop))

    def _watch(self, stop: threading.Event) -> None:
        self._pay_courtesies(stop)
        if not self.settings.watch:
            logger.info("no watch rules are set, so nothing is watched")
            return
        self._looking(stop).look(dry_run=False)

    def _register(self) -> None:
        """Give a sign of life: other machines leave this one's jobs alone."""
        self.records.workers.put(
            Machine(
                runner=self.settings.runner,
                memory_bytes=self.settings.child_bytes,
                disk_bytes=free_bytes(self.settings.data_dir),
                device=f"{platform.system()} {platform.machine()}",
                started_at=self.started_at,
                seen_at=utc_now(),
            )
        )

    def _rescue(self, stop: threading.Event) -> None:
        try:
            self.records.check_place()
        except WrongUsage:
            # Nothing that is written from here on would be found again; `run_forever` says so at its end.
            stop.set()
            raise
        self._register()
        for job in self.takeovers.look():
            logger.warning("job %d was given back: its runner gave no sign of life", job.id)

    def _tell(self, stop: threading.Event) -> None:
        if self.settings.notify is None:
            return
        Notices(
            send=sender(self.settings.notify.get_secret_value(), stop),
            queue=self.queue,
            listings=self.records.listings,
            outages=self.records.outages,
            results=self.results,
            clock=utc_now,
            runner=self.settings.runner,
        ).look()

    def _prune(self) -> None:
        oldest = utc_now() - timedelta(days=self.settings.keep_days)
        for job in self.queue.jobs():
            if job.state not in UNFINISHED and job.updated_at < oldest:
                self.pipeline.workspace(job).remove()
        sweep(self.settings.data_dir)
        for folder in (self.settings.data_dir / "work").glob("audit-*"):
            # Not followed: a link may lead nowhere, and it must not keep the rest from being pruned.
            if folder.lstat().st_mtime < oldest.timestamp():
                shutil.rmtree(folder, ignore_errors=True)


def enqueue(
    repo: str,
    revision: str | None,
    variants: tuple[str, ...],
    *,
    settings: Settings,
    hub: Hub,
    queue: Queue,
    requested_by: str,
    priority: int = 0,
    allow_older: bool = False,
) -> tuple[Job, bool]:
    """Return the one job for `repo` (or REPO@SHA) at a revision (None: the newest), and whether it is new.

    Without variants those of the settings are made. `allow_older`: what was made of a newer revision is replaced,
    too. Raises WrongUsage for a variant that does not exist or two revisions, and what Hub.open raises.
    """
    source, wanted, newest = asked_for(repo, revision, variants, settings=settings, hub=hub)
    return queue.enqueue(
        source.id, source.revision, wanted, recipe_key(wanted, text_only=settings.text_only),
        requested_by=requested_by, priority=priority, newest=newest, allow_older=allow_older,
    )  # fmt: skip


def asked_for(
    repo: str, revision: str | None, variants: tuple[str, ...], *, settings: Settings, hub: Hub
) -> tuple[Repo, tuple[str, ...], bool]:
    """Return source, variants, and whether that commit is the newest; raises like `enqueue`."""
    wanted = tuple(dict.fromkeys(variants or settings.variants))
    unknown = [name for name in wanted if name not in VARIANTS]
    if unknown:
        raise WrongUsage(f"there is no variant {unknown[0]!r}", hint=f"one of: {' '.join(VARIANTS)}")
    name, _, commit = repo.partition("@")
    if commit and revision and commit != revision:
        raise WrongUsage("the revision is said twice, and not the same", hint="REPO@SHA, or --revision SHA")
    source = hub.open(name, commit or revision).repo
    return source, wanted, not (commit or revision) or hub.head(name) == source.revision


def wake_watch(settings: Settings) -> None:
    """Ask the bot of this data folder to look at the Hub now; said twice before it looks, it looks once."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / WAKE_FILE).touch()


def take_wake(settings: Settings) -> bool:
    """Return whether `wake_watch` was called since the last time, and forget it."""
    try:
        (settings.data_dir / WAKE_FILE).unlink()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def open_bot(settings: Settings, *, hub: Hub, emit: Emit, on_progress: OnProgress) -> Iterator[Bot]:
    """Open the database and build the bot over `hub`; `emit` and `on_progress` feed a display.

    Raises what `open_records` raises.
    """
    with open_records(settings) as records:
        queue, results = records.queue, records.results
        retry = rule_of(settings, Random())  # noqa: S311 - jitter, not a secret
        pipeline = Pipeline(
            settings=settings, hub=hub, queue=queue, results=results, on_progress=on_progress, clock=utc_now
        )
        worker = Worker(
            queue=queue,
            results=results,
            run_stage=pipeline.run_stage,
            emit=emit,
            retry=retry,
            pauses=Pauses(
                outages=records.outages,
                probe=hub.probe,
                clock=utc_now,
                runner=settings.runner,
                quiet=settings.quiet,
                check_folder=partial(check_writable, settings.data_dir / "work"),
            ),
            clock=utc_now,
            runner=settings.runner,
            lease_seconds=settings.lease_seconds,
            beat_seconds=settings.lease_seconds / BEATS_PER_LEASE,
            max_ram_bytes=settings.memory_bytes,
        )
        watching = Watching(settings=settings, hub=hub, queue=queue, results=results, clock=utc_now)
        with closing(pipeline.children):
            yield Bot(
                settings=settings,
                hub=hub,
                records=records,
                queue=queue,
                results=results,
                watching=watching,
                worker=worker,
                pipeline=pipeline,
                takeovers=Takeovers(
                    queue=queue,
                    retry=retry,
                    runner=settings.runner,
                    silent_seconds=SILENT_BEATS * settings.lease_seconds / BEATS_PER_LEASE,
                ),
                started_at=utc_now(),
            )
