"""How many processes a job starts: each costs a second of imports, which no test could time reliably."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from hubbot.jobs import child
from hubbot.jobs.child_main import SERVE, stage_function
from hubbot.lifecycle import State
from hubbot.progress import Progress
from tests.hub.embedded import LFS_WARNING, Site
from tests.story.bots import SMOKED, bot, run_job, settings

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)


class AnsweringHere:
    """A child and the conversation with it, of which every stage runs in this process."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.process = SimpleNamespace(pid=os.getpid())
        self.conversation = self
        self.answer: dict[str, Any] | None = None
        self.last_progress = time.monotonic()
        self.is_there = True

    def ask(self, asked: Mapping[str, Any], progress: Progress) -> None:
        stage, request = (asked["stage"], asked["request"]) if self.word == SERVE else (self.word, asked)
        done = SMOKED.to_json() if stage == "smoke" else stage_function(stage)(dict(request), progress)
        self.answer = {"ok": dict(done)}

    def listen(self) -> bool:
        return False

    def end(self) -> None:
        self.is_there = False


def test_jobs_one_after_the_other_share_a_child_and_start_one_for_each_upload(
    site: Site, exhibits: dict[str, DemoRepo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[AnsweringHere] = []

    def start(_env: object, _home: Path, word: str, *_rest: object) -> AnsweringHere:
        started.append(AnsweringHere(word))
        return started[-1]

    monkeypatch.setattr(child, "start", start)
    monkeypatch.setattr(child, "KEPT_BYTES", 1 << 50)  # this process holds the whole test run
    ended = {"Hare-dense": State.SKIPPED, "Fox-8x-MoE-fused": State.PUBLISHED, "Fox-8x-MoE-broken": State.PARKED}
    with bot(site.client(), settings(tmp_path / "data", behaviour_tokens=64)) as opened:
        for name, state in ended.items():
            site.embedded.seed(f"fables/{name}", exhibits[name].folder)
            assert run_job(opened, f"fables/{name}").state is state
        assert [one.word for one in started] == [SERVE, "upload"]
        assert started[0].is_there
    assert not started[0].is_there
