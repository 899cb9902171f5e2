"""Asking again: only where waiting helps, only as long as asked, never for ever."""

from collections.abc import Callable, Iterator

import httpx2
import pytest
from huggingface_hub import errors as hf

from hubbot.errors import (
    CorruptHeader,
    Gated,
    HubRefused,
    HubUnavailable,
    OutOfRoom,
    RateLimited,
    RepoMissing,
    TokenRejected,
    ValueMismatch,
)
from hubbot.hub.retries import Patience
from tests.hub.embedded import impatient


def failing(*errors: Exception) -> Callable[[], str]:
    waiting: Iterator[Exception] = iter(errors)

    def call() -> str:
        error = next(waiting, None)
        if error is not None:
            raise error
        return "done"

    return call


def test_what_works_at_once_is_asked_once_and_not_waited_for() -> None:
    sleeps: list[float] = []
    assert impatient(sleeps).ask("a/b", failing()) == "done"
    assert sleeps == []


def test_the_pause_doubles_from_the_first_one() -> None:
    sleeps: list[float] = []
    assert impatient(sleeps).ask("a/b", failing(*[HubUnavailable("gone")] * 3)) == "done"
    assert sleeps == [1.0, 2.0, 4.0]


def test_the_pause_is_the_one_asked_for() -> None:
    sleeps: list[float] = []
    call = failing(RateLimited("slow", after_seconds=17.0), HubUnavailable("gone"))
    assert impatient(sleeps).ask("a/b", call) == "done"
    assert sleeps == [17.0, 2.0]


def test_it_gives_up_with_the_last_error() -> None:
    sleeps: list[float] = []
    errors = [HubUnavailable(f"number {number}") for number in range(1, 6)]
    with pytest.raises(HubUnavailable, match="number 4"):
        impatient(sleeps).ask("a/b", failing(*errors))
    assert len(sleeps) == 3


def test_no_pause_grows_beyond_the_bound() -> None:
    sleeps: list[float] = []
    patience = Patience(attempts=9, first_wait=1.0, longest_wait=5.0, sleep=sleeps.append)
    assert patience.ask("a/b", failing(*[HubUnavailable("gone")] * 6)) == "done"
    assert sleeps == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_a_pause_longer_than_the_bound_is_left_to_the_queue() -> None:
    sleeps: list[float] = []
    with pytest.raises(RateLimited) as caught:
        impatient(sleeps).ask("a/b", failing(RateLimited("much later", after_seconds=301.0)))
    assert sleeps == []
    assert caught.value.after_seconds == 301.0


@pytest.mark.parametrize(
    "error",
    [
        OutOfRoom("full"),
        TokenRejected("no"),
        Gated("no"),
        RepoMissing("no"),
        CorruptHeader("no"),
        ValueMismatch("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_else_is_asked_twice(error: Exception) -> None:
    sleeps: list[float] = []
    with pytest.raises(type(error)):
        impatient(sleeps).ask("a/b", failing(error))
    assert sleeps == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_a_refusal_is_not_asked_twice(status: int) -> None:
    sleeps: list[float] = []
    request = httpx2.Request("POST", "https://hub.example/api")
    error = hf.HfHubHTTPError("no", response=httpx2.Response(status, request=request))
    with pytest.raises(TokenRejected if status in {401, 403} else HubRefused):
        impatient(sleeps).ask("a/b", failing(error))
    assert sleeps == []


def test_a_fault_of_hubbot_is_not_hidden_by_asking_again() -> None:
    with pytest.raises(ZeroDivisionError):
        impatient().ask("a/b", failing(ZeroDivisionError()))
