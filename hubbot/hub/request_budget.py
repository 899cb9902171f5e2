"""The requests that the Hub still allows, shared by every process of one data folder through a small file there.

What the Hub's answers say is written down; before a request, whoever makes it waits for its turn. Who watches or
audits leaves a share of the quota to those who fetch and publish, and slows down before that is reached. A Hub
that tells no limits is asked as ever. It believes no clock that has jumped.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hubbot import plain_json
from hubbot.errors import RateLimited
from hubbot.hub.rate_limits import LONGEST_WINDOW_SECONDS, RateLimit, pause, read_limit

FILE_NAME = "hub-budget.json"
# Where a request waits by itself; a longer pause is an error, which ends the call and is waited for outside of it.
LONGEST_HERE_SECONDS = 20.0
# Below this part of what it may take, whoever spares takes the rest evenly over the window.
PACED = 0.5
MOST_BYTES = 64 << 10
MOST_ENTRIES = 32
TOO_MANY = 429
# A quota that is not told is taken for the smallest that the Hub documents (anonymous, 2025).
USUAL_QUOTA = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one kind of requests has left until the time `until`; times are seconds since 1970."""

    left: int
    quota: int
    noted: float
    until: float

    def holds(self, now: float) -> bool:
        """Say whether it still stands: it was noted before, for a window that goes on."""
        return self.noted - 1 <= now < self.until <= now + LONGEST_WINDOW_SECONDS + 1


class RequestBudget:
    """The allowances in `file` (None: of this process alone); `clock` gives seconds since 1970."""

    def __init__(self, file: Path | None, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._known: dict[str, Allowance] = {}

    def wait(self, url: str, share: float) -> float:
        """Return the seconds to wait before a request; `share` of the quota (0 to 1) is left to others."""
        now = self._clock()
        allowance = self._read().get(_kind(url))
        if allowance is None or not allowance.holds(now):
            return 0.0
        allowed = (1 - share) * allowance.quota
        spare = allowance.left - share * allowance.quota
        if spare < 1:
            return allowance.until - now + 1
        if not share or spare >= PACED * allowed:
            return 0.0
        # From the last request on: whoever has waited meanwhile has its turn.
        turn = allowance.noted + (allowance.until - allowance.noted) / (spare + 1)
        return max(0.0, turn - now)

    def note(self, url: str, status: int, headers: Mapping[str, str]) -> None:
        """Take over what an answer says of the quota."""
        now, kind = self._clock(), _kind(url)
        limit = read_limit(headers)
        if status == TOO_MANY and (limit is None or limit.left):
            asked = pause(headers)
            limit = None if asked is None else RateLimit(left=0, seconds=asked, quota=None)
        if limit is None:
            return
        known = self._read()
        before = known.get(kind)
        quota = limit.quota or (before.quota if before else USUAL_QUOTA)
        until = now + min(limit.seconds, LONGEST_WINDOW_SECONDS)
        known[kind] = Allowance(left=limit.left, quota=max(quota, limit.left, 1), noted=now, until=until)
        self._write(known)

    def allowances(self) -> dict[str, Allowance]:
        """Return what stands now, by host and kind of request."""
        now = self._clock()
        return {kind: one for kind, one in sorted(self._read().items()) if one.holds(now)}

    def _read(self) -> dict[str, Allowance]:
        if self._file is None:
            return dict(self._known)
        try:
            with self._file.open("rb") as file:
                data = plain_json.loads(file.read(MOST_BYTES))
            return {str(kind): _allowance(entry) for kind, entry in data.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return dict(self._known)

    def _write(self, known: dict[str, Allowance]) -> None:
        newest = sorted(known.items(), key=lambda item: item[1].noted)[-MOST_ENTRIES:]
        self._known = dict(newest)
        if self._file is None:
            return
        # A full disk, or a folder that is gone, costs the sharing and no request.
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix=".hub-budget-", dir=self._file.parent)
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump({kind: asdict(one) for kind, one in newest}, file)
                Path(name).replace(self._file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Who asks the Hub: from which budget, the share it leaves to others, and how it waits."""

    budget: RequestBudget
    share: float
    sleep: Callable[[float], object]

    def before(self, url: str) -> None:
        """Wait for the turn of a request; raises RateLimited where that is not soon."""
        seconds = self.budget.wait(url, self.share)
        # The client asks for these from within its transfer, where an error would be taken for the transfer's.
        if seconds > LONGEST_HERE_SECONDS and "-token/" not in url:
            left = f" but for the {self.share:.0%} that are left to fetch and publish" if self.share else ""
            raise RateLimited(
                f"the Hub's quota of requests is used up{left}, for {seconds:.0f} s",
                where=urlsplit(url).netloc,
                after_seconds=seconds,
            )
        if seconds:
            self.sleep(min(seconds, LONGEST_HERE_SECONDS))


_SPENDING: ContextVar[Spending | None] = ContextVar("spending", default=None)


@contextlib.contextmanager
def spending(who: Spending | None) -> Iterator[None]:
    """Let the requests of this block be made by `who`."""
    token = _SPENDING.set(who)
    try:
        yield
    finally:
        _SPENDING.reset(token)


def spender() -> Spending | None:
    """Return who makes the requests here; None where no budget is kept."""
    return _SPENDING.get()


def _kind(url: str) -> str:
    """Return host and kind of a request; the Hub counts its API, its files and its pages apart."""
    parts = urlsplit(url)
    if "/resolve/" in parts.path or "/resolve-cache/" in parts.path or "/raw/" in parts.path:
        return f"{parts.netloc} resolvers"
    return f"{parts.netloc} api" if parts.path.startswith("/api/") else f"{parts.netloc} pages"


def _allowance(entry: Mapping[str, float]) -> Allowance:
    left, quota, noted, until = (entry[name] for name in ("left", "quota", "noted", "until"))
    return Allowance(left=int(left), quota=int(quota), noted=float(noted), until=float(until))
