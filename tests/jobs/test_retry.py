"""Pauses grow, scatter, listen and end."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hubbot.errors import HubUnavailable, RateLimited
from hubbot.jobs.retry import MAX_ATTEMPTS, Backoff, rule_of
from hubbot.settings import Settings


def backoff(max_attempts: int = 8) -> Backoff:
    return Backoff(first_seconds=10, longest_seconds=1000, max_attempts=max_attempts, random=Random(1))


def seconds(rule: Backoff, attempts: int, asked: float | None = None) -> float:
    pause = rule(attempts, RateLimited("wait", after_seconds=asked))
    assert pause is not None
    return pause.total_seconds()


def test_pauses_double_within_their_jitter_and_stop_at_the_bound() -> None:
    rule = backoff(max_attempts=100)
    for attempts, most in [(1, 10), (2, 20), (3, 40), (7, 640), (8, 1000), (99, 1000)]:
        assert most / 2 <= seconds(rule, attempts) <= most


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    rule = backoff()
    assert len({seconds(rule, 1) for _ in range(20)}) > 10


def test_the_same_seed_gives_the_same_pauses() -> None:
    assert [seconds(backoff(), n) for n in (1, 2, 3)] == [seconds(backoff(), n) for n in (1, 2, 3)]


def test_a_longer_pause_is_honoured_when_the_hub_asks_for_it() -> None:
    assert seconds(backoff(), 1, asked=300) == 300
    assert seconds(backoff(), 6, asked=1) >= 160


def test_a_pause_beyond_the_bound_is_cut() -> None:
    assert seconds(backoff(), 1, asked=10**9) == 1000


def test_attempts_are_spent_at_the_last_one() -> None:
    assert backoff(max_attempts=3)(2, HubUnavailable("down")) is not None
    assert backoff(max_attempts=3)(3, HubUnavailable("down")) is None


@given(st.integers(1, 10**6), st.none() | st.floats(0, 1e12))
def test_every_pause_is_positive_and_bounded(attempts: int, asked: float | None) -> None:
    assert 0 < seconds(backoff(max_attempts=10**7), attempts, asked) <= 1000


def test_the_attempts_are_those_of_this_module_unless_the_settings_say_otherwise() -> None:
    assert rule_of(Settings(), Random(1)).max_attempts == MAX_ATTEMPTS
    assert rule_of(Settings(max_attempts=2), Random(1)).max_attempts == 2
    assert f"{MAX_ATTEMPTS} by default" in (Settings.model_fields["max_attempts"].description or "")
