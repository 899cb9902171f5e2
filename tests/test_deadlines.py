"""Waiting for a call ends: with its answer, when time is up, or when the work is stopped."""

import threading
import time

import pytest

from hubbot.deadlines import Interrupted, TimeRanOut, within


def test_the_answer_and_the_error_of_the_call_come_through() -> None:
    never = threading.Event()
    assert within(None, never, lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        within(1, never, lambda: 1 // 0)


def test_a_call_that_does_not_return_is_left_behind_when_its_time_is_up() -> None:
    let_go = threading.Event()
    with pytest.raises(TimeRanOut, match="no answer within"):
        within(0.1, threading.Event(), let_go.wait)
    let_go.set()


def test_stopping_ends_the_wait_at_once_and_begins_nothing_new() -> None:
    cancelled, let_go, begun = threading.Event(), threading.Event(), time.monotonic()
    threading.Timer(0.1, cancelled.set).start()
    with pytest.raises(Interrupted):
        within(60, cancelled, let_go.wait)
    let_go.set()
    with pytest.raises(Interrupted):
        within(60, cancelled, lambda: pytest.fail("it was begun"))
    assert time.monotonic() - begun < 5


def test_a_call_that_ends_in_the_grace_time_has_its_say() -> None:
    cancelled = threading.Event()

    def obey() -> str:
        assert cancelled.wait(5)
        time.sleep(0.1)
        return "stopped in order"

    threading.Timer(0.1, cancelled.set).start()
    assert within(None, cancelled, obey, grace=5) == "stopped in order"
