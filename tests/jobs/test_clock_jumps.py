"""A clock that is set back is told by how much, once; what happens to it otherwise is not."""

from datetime import UTC, datetime, timedelta

import pytest

from hubbot.jobs.clock_jumps import ClockJumps

START = datetime(2026, 10, 25, 3, tzinfo=UTC)


class Clocks:
    """Both clocks of a machine, and what was told of them."""

    def __init__(self) -> None:
        self.now, self.elapsed = START, 5000.0
        self.told: list[float] = []
        self.fails = False
        self.jumps = ClockJumps(monotonic=lambda: self.elapsed)
        self.look()

    def look(self) -> None:
        self.jumps.follow(lambda: self.now, self.note)

    def note(self, by: timedelta) -> None:
        if self.fails:
            raise OSError("no database")
        self.told.append(by.total_seconds())

    def live(self, seconds: float, jump: float = 0) -> None:
        self.elapsed += seconds
        self.now += timedelta(seconds=seconds + jump)


@pytest.mark.parametrize(
    ("jumps", "told"),
    [
        ((0, 0), []),
        ((-3600, 0), [3600]),
        ((3600, 0), []),
        ((3600, -3600), [3600]),
        ((-172_800, 172_800, -60), [172_800, 60]),
        ((-20, -20, 0), [40]),
        ((-20, 20, -20), []),
    ],
)
def test_only_steps_back_are_told_and_small_ones_when_they_have_added_up(
    jumps: tuple[float, ...], told: list[float]
) -> None:
    clocks = Clocks()
    for jump in jumps:
        clocks.live(600, jump)
        clocks.look()
    assert clocks.told == told


def test_a_jump_that_could_not_be_acted_upon_is_told_again() -> None:
    clocks = Clocks()
    clocks.live(10, -3600)
    clocks.fails = True
    with pytest.raises(OSError, match="no database"):
        clocks.look()
    clocks.fails = False
    clocks.look()
    assert clocks.told == [3600]
