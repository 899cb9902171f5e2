"""Real conversions, children, uploads and a real Hub under random faults: every job ends as it should."""

import sys
from pathlib import Path

import pytest

from tests.soak import real_jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(14_400)]


@pytest.mark.skipif(sys.platform != "linux", reason="children to kill are found in /proc")
@pytest.mark.parametrize(("jobs", "seconds"), [(20, 120.0), (200, 1200.0)])
def test_real_jobs_end_right_whatever_happens_around_them(jobs: int, seconds: float, tmp_path: Path) -> None:
    told = real_jobs.run(
        tmp_path / "world", jobs=jobs, storm_seconds=seconds, seed=jobs, patience_seconds=60.0 * jobs
    )
    assert told["wrong"] == [], told
