"""One runner name, one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from hubbot.errors import WrongUsage
from hubbot.jobs.lock import runner_lock

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from pathlib import Path; from hubbot.jobs.lock import runner_lock\n" + (
    "with runner_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_of_the_same_name_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "data" / "mac.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(WrongUsage, match="the runner 'mac' is at work already"), runner_lock(path):
            pass
        first.kill()
        first.wait()
    with runner_lock(path):
        pass


def test_runners_of_different_names_do_not_mind_each_other(tmp_path: Path) -> None:
    with runner_lock(tmp_path / "a.lock"), runner_lock(tmp_path / "b.lock"):
        pass
    with runner_lock(tmp_path / "a.lock"):
        pass
