"""What the bot waits for: outages of the world, said once and ended by themselves; a person's pause; quiet hours.

An outage burns no attempts. While the Hub is down or refuses the token, no stage is begun that needs it; where the
disk is full, each job waits until it fits; without a work folder no stage is begun. It never changes a job.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hubbot.deadlines import Interrupted
from hubbot.errors import (
    FolderUnusable,
    HubbotError,
    HubUnavailable,
    OutOfMemory,
    OutOfRoom,
    RateLimited,
    TokenRejected,
)
from hubbot.lifecycle import Stage
from hubbot.quiet_hours import NEVER, QuietHours
from hubbot.store.outages import EVERY_RUNNER, Outages
from hubbot.store.queue import Clock
from hubbot.store.records import Outage

logger = logging.getLogger(__name__)
HUB_STAGES = (Stage.INSPECT, Stage.PLAN, Stage.FETCH, Stage.CARD, Stage.PUBLISH)
FIRST_SECONDS = 30.0
LONGEST_SECONDS = 600.0
# A Hub may ask for a longer pause than hubbot would take by itself.
LONGEST_ASKED_SECONDS = 6 * 3600.0
FOLDER = "folder"
# A person's doors, and until when they stay shut where no time was named.
PAUSE, DRAIN = "pause", "drain"
UNTIL_RESUMED = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """What one runner waits for; `probe` asks the Hub who its token belongs to, and raises where it cannot.

    `check_folder` raises FolderUnusable where no stage could leave its work.
    """

    outages: Outages
    probe: Callable[[], None]
    clock: Clock
    runner: str
    quiet: QuietHours = NEVER
    check_folder: Callable[[], None] = lambda: None

    def explains(self, error: HubbotError) -> bool:
        """Say whether an outage is behind a stage's error, and note it; else the job itself is at fault."""
        if isinstance(error, OutOfRoom) and not isinstance(error, OutOfMemory):
            self._begin("disk", (), error)
            return True
        if isinstance(error, FolderUnusable):
            self._begin(FOLDER, tuple(Stage), error)
            return True
        if isinstance(error, RateLimited):
            self._begin("hub", HUB_STAGES, error)
            return True
        if not isinstance(error, HubUnavailable | TokenRejected):
            return False
        found = self._asked()
        if isinstance(found, TokenRejected) and isinstance(error, TokenRejected):
            self._begin("token", HUB_STAGES, found)
        elif isinstance(found, HubUnavailable | RateLimited):
            self._begin("hub", HUB_STAGES, found)
        else:
            return False
        return True

    def folder_error(self) -> HubbotError | None:
        """Return why no stage could leave its work just now, or None; then an outcome may be a job's own."""
        try:
            self.check_folder()
        except HubbotError as error:
            return error
        return None

    def stages(self) -> frozenset[Stage]:
        """Return the stages at which no job is to be begun now; doors whose time has come are looked at first."""
        if self.quiet.now(self.clock()):
            return frozenset(Stage)
        paused: set[Stage] = set()
        for outage in self.outages.all(self.runner):
            if outage.door in {PAUSE, DRAIN}:
                if not self._has_passed(outage):
                    paused |= {*outage.stages}
            elif outage.stages and not (self._is_due(outage) and self._is_over(outage)):
                paused |= {*outage.stages}
        return frozenset(paused)

    def end_earlier(self, by: timedelta) -> None:
        """Look at this runner's outages earlier: its clock was set back by so much since they were noted.

        What a person asked for lasts until the time that the person named.
        """
        for outage in self.outages.all(self.runner):
            if outage.door not in {PAUSE, DRAIN}:
                self.outages.put(replace(outage, next_probe=outage.next_probe - by))

    def worked(self, stage: Stage) -> None:
        """Note that a stage was finished: a disk that was full has room again once something was written."""
        if stage in {Stage.FETCH, Stage.CONVERT, Stage.VERIFY}:
            self._end("disk")

    def _has_passed(self, asked: Outage) -> bool:
        if asked.next_probe > self.clock():
            return False
        if self.outages.end(asked.runner, asked.door):
            logger.warning("the %s of %s is over; jobs go on", asked.door, asked.runner)
        return True

    def _is_due(self, outage: Outage) -> bool:
        now = self.clock()
        # Further away than any pause: the clock was set back in between.
        return outage.next_probe <= now or outage.next_probe > now + timedelta(seconds=LONGEST_ASKED_SECONDS)

    def _is_over(self, outage: Outage) -> bool:
        error = self.folder_error() if outage.door == FOLDER else self._asked()
        if error is None:
            self._end(outage.door)
            return True
        self.outages.put(self._extended(outage, error))
        return False

    def _asked(self) -> HubbotError | None:
        try:
            self.probe()
        except HubbotError as error:
            return error
        except Interrupted:
            return HubUnavailable("the bot was stopped while it asked the Hub")
        return None

    def _begin(self, door: str, stages: tuple[Stage, ...], error: HubbotError) -> None:
        known = next((one for one in self.outages.all(self.runner) if one.door == door), None)
        now = self.clock()
        fresh = Outage(
            runner=self.runner,
            door=door,
            stages=stages,
            since=now,
            next_probe=now,
            probes=0,
            error=error.to_json(),
        )
        self.outages.put(self._extended(known or fresh, error))
        if known is None:
            waits = f"no job is begun at {', '.join(stages)}" if stages else "jobs wait until they fit"
            logger.warning(
                "outage (%s): %s; %s until it is over, and no attempt is counted", door, error.with_hint, waits
            )

    def _extended(self, outage: Outage, error: HubbotError) -> Outage:
        wait = min(FIRST_SECONDS * 2.0 ** min(outage.probes, 20), LONGEST_SECONDS)
        asked = min(getattr(error, "after_seconds", None) or 0.0, LONGEST_ASKED_SECONDS)
        later = self.clock() + timedelta(seconds=max(wait, asked))
        return replace(outage, next_probe=later, probes=outage.probes + 1, error=error.to_json())

    def _end(self, door: str) -> None:
        known = next((one for one in self.outages.all(self.runner) if one.door == door), None)
        if known is not None and self.outages.end(self.runner, door):
            # The clock may have been set back meanwhile.
            lasted = max(0.0, (self.clock() - known.since).total_seconds() / 60)
            logger.warning("outage (%s) is over after %.0f minutes; jobs go on in their order", door, lasted)


def pause(
    outages: Outages,
    now: datetime,
    *,
    until: datetime | None = None,
    drain: bool = False,
    runner: str | None = None,
) -> Outage:
    """Shut the door for a runner (None: every one): no stage is begun, or where it drains, no new job.

    What runs ends its stage. It lasts `until`, or until `resume`; asked again, the last words count.
    """
    resume(outages, runner)
    lasts = "until it is resumed" if until is None else f"until {until.isoformat(timespec='minutes')}"
    asked = Outage(
        runner=runner or EVERY_RUNNER,
        door=DRAIN if drain else PAUSE,
        # The first stage alone: jobs that are past it go on to their end.
        stages=(Stage.INSPECT,) if drain else tuple(Stage),
        since=now,
        next_probe=until or UNTIL_RESUMED,
        probes=0,
        error={"kind": "Paused", "message": f"a person asked for it, {lasts}"},
    )
    outages.put(asked)
    return asked


def resume(outages: Outages, runner: str | None = None) -> list[Outage]:
    """Open a person's doors again, of a runner or (None) of all; return those that were shut."""
    shut = [one for one in outages.all() if one.door in {PAUSE, DRAIN} and runner in {None, one.runner}]
    for one in shut:
        outages.end(one.runner, one.door)
    return shut
