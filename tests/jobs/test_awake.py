"""A Mac stays awake while the bot runs, not a moment longer; elsewhere nothing is started."""

import logging
import subprocess
import sys
from collections.abc import Sequence

import pytest

from hubbot.jobs.awake import awake


def test_a_mac_is_kept_awake_by_a_process_that_ends_with_the_block_and_with_the_bot() -> None:
    started: list[Sequence[str]] = []
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
        started.append(command)
        processes.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return processes[0]

    with awake("darwin", 123, start):
        assert processes[0].poll() is None
    assert started == [["/usr/bin/caffeinate", "-i", "-w", "123"]]
    assert processes[0].poll() is not None


def test_elsewhere_nothing_is_started_and_a_missing_program_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
        raise FileNotFoundError(2, "No such file or directory")

    with caplog.at_level(logging.WARNING), awake("linux", 1, start):
        assert caplog.text == ""
    with caplog.at_level(logging.WARNING), awake("darwin", 1, start):
        assert "may fall asleep" in caplog.text
