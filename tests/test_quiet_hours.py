"""Hours of the day, and moments as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hubbot.errors import WrongUsage
from hubbot.quiet_hours import QuietHours, moment, parse

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ranges", "hour", "quiet"),
    [
        (("09:00-18:00",), 9, True),
        (("09:00-18:00",), 18, False),
        (("22:00-06:30",), 23, True),
        (("22:00-06:30",), 6, True),
        (("22:00-06:30",), 7, False),
        (("07:00-08:00", "20:00-21:00"), 20, True),
        ((), 12, False),
    ],
)
def test_a_range_holds_its_beginning_and_goes_over_midnight(
    ranges: tuple[str, ...], hour: int, *, quiet: bool
) -> None:
    hours = QuietHours(parse(ranges).ranges, zone=UTC)
    assert hours.now(NOON.replace(hour=hour)) is quiet


def test_the_hours_are_those_of_the_zone() -> None:
    hours = QuietHours(parse(("09:00-18:00",)).ranges, zone=timezone(timedelta(hours=9)))
    assert not hours.now(NOON)
    assert hours.now(NOON.replace(hour=1))


@pytest.mark.parametrize("text", ["9-18", "25:00-26:00", "", "09:00", "09:60-10:00", "09:00-18:00 UTC"])
def test_anything_else_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="no range of hours"):
        parse((text,))


@pytest.mark.parametrize(("text", "hours"), [("90m", 1.5), ("2h", 2), ("3d", 72), (" 2h ", 2)])
def test_a_span_counts_from_now(text: str, hours: float) -> None:
    assert moment(text, NOON) == NOON + timedelta(hours=hours)


def test_a_time_of_day_is_the_next_one_and_a_date_is_itself() -> None:
    local = NOON.astimezone()
    later, earlier = local + timedelta(hours=1), local - timedelta(hours=1)
    assert moment(f"{later:%H:%M}", NOON) == later
    assert moment(f"{earlier:%H:%M}", NOON) == earlier + timedelta(days=1)
    assert moment("2026-03-02T08:00+00:00", NOON) == datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["tomorrow", "", "25:00", "9999999999d", "99999999d", "-2h", "2026-02-01", "1e3h"]
)
def test_what_is_no_moment_to_come_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        moment(text, NOON)
