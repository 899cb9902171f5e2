"""kill -9 of the real bot at any request of a first publication and of an update, over xet and over LFS.

Afterwards the next run completes it: one correct public repo, never hidden once public, nothing twice.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hubbot.lifecycle import Stage, State
from hubbot.settings import Settings
from tests.hub.embedded import LFS_WARNING, NEVER, ORG, OWNER, Site, calm, running
from tests.story.bots import Stages, bot, settings
from tests.story.test_killed import Killed, killing, run_until_done

ROOT = Path(__file__).parents[2]
REPO = f"{ORG}/Fox-MLX-4bit"
SOURCE = "fables/Fox"
pytestmark = pytest.mark.filterwarnings(LFS_WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A Hub and a data folder as they are when the publish stage of a job is about to begin; both are copied."""

    folder: Path
    chosen: Settings
    old: dict[str, Any] | None

    def again(self) -> Path:
        """Put both back as they were, and return the folder of the Hub."""
        for name in ("hub", "data"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(self.folder / f"{name}-before", self.folder / name)
        return self.folder / "hub"

    def start(self, site: Site, mode: str) -> subprocess.Popen[bytes]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUBBOT_"))}
        env = {
            **clean, "HUBBOT_DATA_DIR": str(self.chosen.data_dir), "HUBBOT_ORG": ORG, "HUBBOT_RUNNER": "tester",
            "HUBBOT_VARIANTS": '["4bit"]', "HUBBOT_WITHOUT_LICENCE": "other", "HUBBOT_CONFIG": "",
            "HF_ENDPOINT": site.url, "HF_TOKEN": OWNER, "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_XET": str(int(mode == "lfs")), "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "hubbot", "run", "--once"],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip


def seen(site: Site) -> dict[str, Any] | None:
    """What there is to see of the repo, None where there is none: an equal state is the same publication."""
    api, state = site.api(), site.client().state(REPO)
    if state is None:
        return None
    tags = {tag.name: tag.target_commit == state.revision for tag in api.list_repo_refs(REPO).tags}
    collections = [
        item.item_id for found in api.list_collections(owner=ORG) for item in api.get_collection(found.slug).items
    ]
    return {
        "files": {path: file.sha256 or file.blob_id for path, file in state.files.items()},
        "private": state.private,
        "tags": tags,
        "collections": collections,
        "commits": [commit.title for commit in api.list_repo_commits(REPO)],
        "repos": sorted(site.repos),
    }


@pytest.fixture(params=["first", "update"])
def prepared(
    request: pytest.FixtureRequest, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: Stages
) -> Iterator[Prepared]:
    calm(monkeypatch, tmp_path)
    chosen, old = settings(tmp_path / "data"), None
    with running(tmp_path / "hub") as site:
        site.embedded.seed(SOURCE, fox)
        if request.param == "update":
            with bot(site.client(), chosen) as opened:
                assert run_until_done(opened).state is State.PUBLISHED
            old = seen(site)
            config = fox / "generation_config.json"
            config.write_text('{"temperature": 0.25, "do_sample": true}')
            site.embedded.seed(SOURCE, fox)
        with bot(site.client(), chosen) as opened, pytest.raises(Killed):
            run_until_done(killing(opened, Stage.PUBLISH, "before"))
    for name in ("hub", "data"):
        (tmp_path / name).rename(tmp_path / f"{name}-before")
    yield Prepared(folder=tmp_path, chosen=chosen, old=old)
    for name in ("hub", "data", "hub-before", "data-before"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)


def undisturbed(prepared: Prepared, mode: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the state after a run that nothing disturbs, and its requests."""
    with running(prepared.again()) as site:
        assert prepared.start(site, mode).wait(120) == 0
        requests = [(one.method, one.path) for one in site.faults.exchanges()]
        state = seen(site)
    assert state is not None
    assert not state["private"]
    assert True in state["tags"].values()
    assert not prepared.old or len(state["commits"]) == len(prepared.old["commits"]) + 1
    return state, requests


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
