"""Tells a person: what parked or failed and which outages began, soon; a digest of the day, once a day.

It tells a webhook (Slack, Discord and their like) or a file, and remembers in the database what it has told; what
could not be sent is told later. It changes no job.
"""

import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hubbot.deadlines import Interrupted, TimeRanOut, within
from hubbot.lifecycle import Job, State
from hubbot.printable import printable
from hubbot.redaction import redacted
from hubbot.store.listings import Listings
from hubbot.store.outages import Outages
from hubbot.store.queue import Clock, Queue
from hubbot.store.records import Outage
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
DAY = timedelta(days=1)
SETTLED = timedelta(seconds=5)
# A little longer than between two looks.
A_LOOK = timedelta(minutes=15)
MOST_JOBS = 20
LONGEST_REASON = 300
POST_SECONDS = 10.0
FAILURES, DIGEST = "notices:failures", "notices:digest"
TROUBLE = (State.PARKED, State.FAILED)

Send = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """What a person is told, over one database; `send` raises OSError where it cannot."""

    send: Send
    queue: Queue
    listings: Listings
    outages: Outages
    results: Results
    clock: Clock
    runner: str

    def look(self) -> None:
        """Tell what has happened since the last time; of several runners on one database, one tells it."""
        # What is this old is written: nothing is told twice, and nothing is missed.
        now = self.clock() - SETTLED
        since = self._since(FAILURES, now)
        jobs = self.listings.ended_since(TROUBLE, since, MOST_JOBS + 1, until=now)
        begun = [one for one in self.outages.all() if since < one.since <= now]
        if jobs or begun:
            self._tell(FAILURES, since, now, _failures(jobs, begun))
        since = self._since(DIGEST, now)
        if now - since >= DAY:
            self._tell(DIGEST, since, now, self.digest(since))

    def digest(self, since: datetime) -> dict[str, Any]:
        """Return the digest of what has happened since a moment."""
        counts = {state.value: count for state, count in self.queue.counts().items()}
        ended = {
            state.value: self.listings.count_since(state, since)
            for state in (State.PUBLISHED, State.SKIPPED, *TROUBLE)
        }
        published = self.listings.ended_since((State.PUBLISHED,), since, MOST_JOBS)
        lines = [
            f"hubbot, the day since {since:%Y-%m-%d %H:%M} UTC: "
            + ", ".join(f"{count} {state}" for state, count in ended.items()),
            f"in the queue: {counts['waiting']} waiting, {counts['running']} running",
            f"a person is needed for {counts['parked']} parked and {counts['failed']} failed",
            *(f"published: {job.repo}" for job in published),
            *(_of_outage(outage) for outage in self.outages.all()),
        ]
        return {"kind": "digest", "text": "\n".join(map(_plain, lines)), "ended": ended, "counts": counts}

    def _since(self, mark: str, now: datetime) -> datetime:
        """Return the moment up to which was told; what happened before the first time is nobody's news."""
        value = self.results.watermark(mark)
        told = None if value is None else datetime.fromisoformat(value)
        if told is None or told > now:
            # Where the clock was set back: better told twice than not at all.
            told = now if told is None else now - A_LOOK
            self.results.set_watermark(mark, told.isoformat())
        return told

    def _tell(self, mark: str, since: datetime, now: datetime, notice: dict[str, Any]) -> None:
        if not self.results.move_watermark(mark, since.isoformat(), now.isoformat()):
            return
        try:
            self.send({**notice, "runner": self.runner, "time": now.isoformat()})
        except (OSError, ValueError) as error:
            self.results.move_watermark(mark, now.isoformat(), since.isoformat())
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            logger.warning("a notice could not be sent, and is sent later: %s", reason)


def sender(target: str, cancelled: threading.Event) -> Send:
    """Return what sends a notice to a webhook's URL, or appends it to a file as a line of JSON.

    A webhook that has not answered within POST_SECONDS, or when `cancelled` is set, has not taken it.
    """
    if target.startswith(("https://", "http://")):
        return lambda notice: _post_in_time(target, notice, cancelled)
    return lambda notice: _append(Path(target).expanduser(), notice)


def _post_in_time(url: str, notice: Mapping[str, Any], cancelled: threading.Event) -> None:
    try:
        within(POST_SECONDS, cancelled, lambda: _post(url, notice))
    except (TimeRanOut, Interrupted) as error:
        raise TimeoutError(0, str(error)) from error


def _post(url: str, notice: Mapping[str, Any]) -> None:
    # Slack reads `text`, Discord `content`; names from outside must call nobody.
    body = {**notice, "content": notice["text"][:1900], "allowed_mentions": {"parse": []}}
    request = urllib.request.Request(  # noqa: S310 - sender() has seen that it is http
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json", "User-Agent": "hubbot"}
    )
    try:
        with urllib.request.urlopen(request, timeout=POST_SECONDS) as answer:  # noqa: S310
            answer.read(1000)
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _append(file: Path, notice: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(notice, ensure_ascii=False) + "\n")


def _failures(jobs: Sequence[Job], outages: Sequence[Outage]) -> dict[str, Any]:
    lines = [_of_outage(outage) for outage in outages]
    lines += [f"job {job.id} {job.repo} {job.state} at {job.stage}: {_why(job.error)}" for job in jobs[:MOST_JOBS]]
    if len(jobs) > MOST_JOBS:
        lines.append("and more; `hubbot jobs --state parked` lists them")
    return {
        "kind": "failures",
        "text": "\n".join(map(_plain, lines)),
        "jobs": [{"id": job.id, "repo": job.repo, "state": job.state.value} for job in jobs[:MOST_JOBS]],
        "outages": [outage.door for outage in outages],
    }


def _of_outage(outage: Outage) -> str:
    return f"waiting ({outage.door}) since {outage.since:%Y-%m-%d %H:%M} UTC: {_why(outage.error)}"


def _why(error: Mapping[str, Any] | None) -> str:
    said = error or {}
    hint = f" -> {said['hint']}" if said.get("hint") else ""
    return f"{said.get('message', 'no reason')}{hint}"[:LONGEST_REASON]


def _plain(line: str) -> str:
    """Return a line that no chat takes for markup, a mention or two lines, and that holds no secret."""
    text = printable(redacted(line))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("-&gt;", "->")
