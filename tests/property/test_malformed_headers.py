"""Ten thousand malformed headers: an error of the tree each time, no crash, and little memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.property.malformed import LARGEST

WANTED = 10_000
LIMIT = 200 << 20
ROOT = Path(__file__).parents[2]


def child(asked: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.malformed", asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_ten_thousand_malformed_headers_are_errors_each_time_in_little_memory() -> None:
    answer = child(str(WANTED))
    assert answer["told"] == {"refused": WANTED}
    assert answer["peak_bytes"] < LIMIT


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_headers_that_are_read_at_all_fit_into_little_memory(name: str) -> None:
    answer = child(name)
    read = {"as many tensors as may be": {"tensors": 100_000}, "spaces": {"tensors": 0}}
    assert answer["told"] == read.get(name, {"refused": 1})
    assert answer["peak_bytes"] < LIMIT
