"""Hours of the day, by this machine's time, in which no stage is begun; and moments as a person writes them.

Pure: the time is passed in.
"""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from hubbot.errors import WrongUsage

_SPANS = {"m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
LONGEST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Ranges of the day, the end not included; one whose end is before its beginning goes over midnight."""

    ranges: tuple[tuple[time, time], ...] = ()
    zone: tzinfo | None = None

    def now(self, moment: datetime) -> bool:
        """Say whether a moment is in the quiet hours of `zone` (None: this machine's)."""
        local = moment.astimezone(self.zone).time()
        return any(
            begin <= local < end if begin <= end else local >= begin or local < end for begin, end in self.ranges
        )


NEVER = QuietHours()


def parse(texts: tuple[str, ...]) -> QuietHours:
    """Return the quiet hours that "HH:MM-HH:MM" name; raises ValueError for anything else."""
    ranges = []
    for text in texts:
        found = _RANGE.fullmatch(text.replace(" ", ""))
        if not found:
            raise ValueError(f"{text!r} is no range of hours such as 09:00-18:00")
        first, second, third, fourth = map(int, found.groups())
        ranges.append((time(first, second), time(third, fourth)))
    return QuietHours(tuple(ranges))


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that a person means: 18:30 (the next one), 90m, 2h, 3d, or a date and time of ISO 8601.

    Without a zone it is this machine's time. Raises WrongUsage for anything else, and for what is over.
    """
    if span := re.fullmatch(r"(\d{1,6})([mhd])", text.strip()):
        wait = timedelta(seconds=int(span[1]) * _SPANS[span[2]])
        if wait > timedelta(days=LONGEST_DAYS):
            raise WrongUsage(f"{text!r} is longer than {LONGEST_DAYS} days", hint="leave --until away")
        return now + wait
    local = now.astimezone()
    try:
        if clock := re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip()):
            then = local.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            meant = then if then > local else then + timedelta(days=1)
        else:
            meant = datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise WrongUsage(f"{text!r} is no moment", hint="18:30, 90m, 2h, 3d or 2026-12-01T08:00") from error
    if meant <= local:
        raise WrongUsage(f"{text!r} is over already", hint="name a moment to come")
    return meant.astimezone(now.tzinfo)
