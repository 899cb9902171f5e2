"""What the dashboard stands on: the database, the settings, the token and what it may do to jobs.

It never meets the Hub: whoever builds a Site passes the one function that enqueues.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hubbot.jobs.open_records import Records
from hubbot.lifecycle import Job
from hubbot.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Enqueue(Protocol):
    """Put a repo into the queue."""

    def __call__(self, repo: str, revision: str | None, variants: tuple[str, ...], priority: int) -> Job:
        """Return the job; raises a HubbotError that says why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One dashboard; `open_to_all` says that pages need no sign-in, which holds on loopback alone."""

    settings: Settings
    records: Records
    enqueue: Enqueue
    token: str
    hosts: frozenset[str]
    open_to_all: bool
    clock: Callable[[], datetime]
