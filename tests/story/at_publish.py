"""The real bot as a process whose job is about to be published: a Hub and a data folder to copy for each trial."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import Stage, State
from hubbot.settings import Settings
from tests.hub.embedded import ORG, OWNER, Site, calm, running
from tests.story.bots import Stages, bot, settings
from tests.story.test_killed import Killed, killing, run_until_done

ROOT = Path(__file__).parents[2]
REPO = f"{ORG}/Fox-MLX-4bit"
SOURCE = "fables/Fox"


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


def retrained(folder: Path) -> None:
    """Change the last weights of every shard a little, and the settings for sampling."""
    for path in folder.glob("*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-512::2] = bytes(byte ^ 1 for byte in data[-512::2])
        path.write_bytes(data)
    (folder / "generation_config.json").write_text('{"temperature": 0.25, "do_sample": true}')


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
            retrained(fox)
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


def job_stands(prepared: Prepared) -> tuple[State, int]:
    """Return the state of the newest job, and how many attempts count against it."""
    with open_records(prepared.chosen) as records:
        job = max(records.queue.jobs(), key=lambda one: one.id)
    return job.state, job.attempts
