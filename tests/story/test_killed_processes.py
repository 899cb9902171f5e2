"""kill -9 of the real bot before, inside and after each stage: the next goes on, and the bytes are the same."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import Job, Stage, State
from hubbot.settings import Settings
from hubbot.store.records import Attempt
from tests.hub.embedded import LFS_WARNING, ORG, OWNER, Site, calm, running
from tests.story.bots import settings
from tests.story.test_killed import published

ROOT = Path(__file__).parents[2]
SOURCE = "fables/Fox"
MOMENTS = ("before", "inside", "after")
# The whole takes minutes; this is the stage that costs most to repeat.
SHORT = {(Stage.CONVERT, "inside")}


def run(site: Site, chosen: Settings, *command: str) -> int:
    """Run the bot as a process of its own and return how it ended."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUBBOT_"))}
    env = {
        **clean, "HUBBOT_DATA_DIR": str(chosen.data_dir), "HUBBOT_ORG": ORG, "HUBBOT_RUNNER": "tester",
        "HUBBOT_VARIANTS": '["4bit"]', "HUBBOT_WITHOUT_LICENCE": "other", "HUBBOT_CONFIG": "",
        "HF_ENDPOINT": site.url, "HF_TOKEN": OWNER, "HF_HOME": str(chosen.data_dir.parent / "hf"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT),
        "HUBBOT_BEHAVIOUR_TOKENS": "64", "HUBBOT_SMOKE_TOKENS": "64",
    }  # fmt: skip
    return subprocess.run([sys.executable, *command], env=env, cwd=chosen.data_dir.parent, check=False).returncode


def enqueue(site: Site, chosen: Settings) -> None:
    files = site.client().open(SOURCE, None)
    with open_records(chosen) as records:
        records.queue.enqueue(
            files.repo.id, files.repo.revision, ("4bit",), "4bit", requested_by="test", newest=True
        )


def stands(chosen: Settings) -> tuple[Job, list[Attempt]]:
    with open_records(chosen) as records:
        (job,) = records.queue.jobs()
        return job, records.results.attempts(job.id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A Hub with a source, a data folder with its job, and what a bot that nothing disturbs publishes."""

    folder: Path
    whole: dict[str, str]

    def again(self, folder: Path) -> Settings:
        for name in ("hub", "data"):
            shutil.copytree(self.folder / f"{name}-before", folder / name)
        return settings(folder / "data")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, exhibits: dict[str, DemoRepo]) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("whole")
    chosen = settings(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        calm(patch, folder)
        with running(folder / "hub") as site:
            site.embedded.seed(SOURCE, exhibits["Fox-8x-MoE-fused"].folder)
            enqueue(site, chosen)
        for name in ("hub", "data"):
            shutil.copytree(folder / name, folder / f"{name}-before")
        with running(folder / "hub") as site:
            assert run(site, chosen, "-m", "hubbot", "run", "--once") == 0
            files = published(site)
    assert any(path.endswith(".safetensors") for path in files)
    yield Prepared(folder, files)
    shutil.rmtree(folder)


@pytest.mark.filterwarnings(LFS_WARNING)
@pytest.mark.parametrize(
    ("stage", "moment"),
    [
        pytest.param(
            stage, moment, marks=[] if (stage, moment) in SHORT else [pytest.mark.slow, pytest.mark.timeout(600)]
        )
        for stage in Stage
        for moment in MOMENTS
    ],
)
def test_killed_at_any_stage_the_next_process_repeats_none_that_was_finished(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage, moment: str
) -> None:
    calm(monkeypatch, tmp_path)
    chosen = prepared.again(tmp_path)
    with running(tmp_path / "hub") as site:
        assert run(site, chosen, "-m", "tests.story.dying_bot", stage, moment) == -signal.SIGKILL
        job, _ = stands(chosen)
        assert (job.state, job.stage) == (State.RUNNING, stage)
        assert run(site, chosen, "-m", "hubbot", "run", "--once") == 0
        job, attempts = stands(chosen)
        assert job.state is State.PUBLISHED, job.error
        done = Counter(attempt.stage for attempt in attempts if attempt.outcome in {"done", "published"})
        assert done == dict.fromkeys(Stage, 1)
        assert [attempt.stage for attempt in attempts if attempt.outcome == "lost"] == [stage]
        assert published(site) == prepared.whole
