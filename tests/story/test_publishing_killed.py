"""kill -9 of the real bot at any request of a first publication and of an update, over xet and over LFS.

Afterwards the next run completes it: one correct public repo, never hidden once public, nothing twice.
"""

import signal
import subprocess
from typing import Any

import pytest

from tests.hub.embedded import LFS_WARNING, NEVER, Site, running
from tests.story.at_publish import Prepared, prepared, seen, undisturbed

__all__ = ["prepared"]
pytestmark = pytest.mark.filterwarnings(LFS_WARNING)


def kill_at(prepared: Prepared, site: Site, mode: str, index: int, moment: str) -> None:
    """Kill the bot when request `index` comes: before or after it has its effect, and before any answer."""
    faults, processes = site.faults, list[subprocess.Popen[bytes]]()

    def kill() -> None:
        processes[0].kill()
        processes[0].wait(10)

    if index:
        faults.cut("*", "", after=NEVER, times=index)
    if moment == "before":
        faults.reset("*", "", meanwhile=kill)
    else:
        faults.cut("*", "", after=0, meanwhile=kill)
    processes.append(prepared.start(site, mode))
    # Fewer requests than in the undisturbed run are possible where some ran side by side.
    assert processes[0].wait(120) in {-signal.SIGKILL, 0}
    faults.clear()


def check_killed_at(prepared: Prepared, whole: dict[str, Any], mode: str, index: int, moment: str) -> None:
    told = f"killed {moment} the effect of request {index} over {mode}"
    with running(prepared.again()) as site:
        kill_at(prepared, site, mode, index, moment)
        torn = seen(site)
        if prepared.old is not None:
            assert torn is not None
            assert not torn["private"], f"hidden, {told}"
            assert torn["files"] in (prepared.old["files"], whole["files"]), f"neither old nor new, {told}"
        elif torn is not None and not torn["private"]:
            assert torn["files"] == whole["files"], f"public and torn, {told}"
        assert prepared.start(site, mode).wait(120) == 0
        assert seen(site) == whole, told


def short_list(requests: list[tuple[str, str]]) -> list[int]:
    """The requests that change something for everybody: the commit and the change of visibility, else the tag."""
    found = [
        index
        for index, (method, path) in enumerate(requests)
        if (method, path.rpartition("/")[2]) == ("PUT", "settings") or (method == "POST" and "/commit/" in path)
    ]
    return [found[0], found[-1]] if len(found) > 1 else found


@pytest.mark.parametrize(("mode", "moment"), [("xet", "after"), ("lfs", "before")])
def test_killed_at_its_commit_or_when_it_opens_the_repo_the_next_run_completes_it(
    prepared: Prepared, mode: str, moment: str
) -> None:
    whole, requests = undisturbed(prepared, mode)
    chosen = short_list(requests)
    assert chosen
    for index in chosen:
        check_killed_at(prepared, whole, mode, index, moment)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["xet", "lfs"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request_the_next_run_completes_it(prepared: Prepared, mode: str, moment: str) -> None:
    whole, requests = undisturbed(prepared, mode)
    for index in range(len(requests)):
        check_killed_at(prepared, whole, mode, index, moment)
