"""The last stage told to stop: a hanging upload ends within seconds, and nothing becomes public afterwards."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubbot.deadlines import Interrupted
from hubbot.devhub.demo_repos import write_demo_repos
from hubbot.hub import repo_states, uploads
from hubbot.jobs.pipeline import recipe_key
from hubbot.jobs.publishing import STOP_SECONDS, keep_pictures
from hubbot.lifecycle import Published, Stage, StageDone
from tests.hub.embedded import LFS_WARNING, ORG, Site, calm, running
from tests.story.bots import Stages, bot, in_process, on_the_hub, settings

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
FOX = "fables/Fox-8x-MoE-fused"
TARGET = f"{ORG}/Fox-8x-MoE-fused-MLX-4bit"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    with running(tmp_path / "hub") as started:
        exhibits = write_demo_repos(tmp_path / "exhibits")
        started.embedded.seed(FOX, next(one.folder for one in exhibits if one.repo_id == FOX))
        yield started


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return in_process(monkeypatch)


def test_a_stop_ends_an_upload_that_hangs_and_what_arrives_later_stays_private(
    site: Site, stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, stop = threading.Event(), threading.Event(), threading.Event()
    send = repo_states.commit_files

    def hang(*given: Any) -> str:
        begun.set()
        go_on.wait(60)
        return send(*given)

    with bot(site.client(), settings(tmp_path / "data")) as opened:
        revision = site.client().head(FOX)
        job, _ = opened.queue.enqueue(FOX, revision, ("4bit",), recipe_key(("4bit",)), requested_by="test")
        while job.stage is not Stage.PUBLISH:
            outcome = opened.pipeline.run_stage(job, threading.Event())
            assert isinstance(outcome, StageDone)
            job = replace(job, stage=outcome.next or job.stage.following or job.stage)
        monkeypatch.setattr(uploads, "commit_files", hang)
        told: list[float] = []

        def tell() -> None:
            begun.wait(30)
            told.append(time.monotonic())
            stop.set()

        threading.Thread(target=tell).start()
        with pytest.raises(Interrupted):
            opened.pipeline.run_stage(job, stop)
        assert time.monotonic() - told[0] < STOP_SECONDS + 2
        # The bytes that were on their way arrive after all.
        go_on.set()
        deadline = time.monotonic() + 30
        while "hubbot.json" not in site.tree(TARGET):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        assert on_the_hub(site) == {TARGET: True}
        monkeypatch.setattr(uploads, "commit_files", send)
        assert opened.pipeline.run_stage(job, threading.Event()) == Published()
    assert on_the_hub(site) == {TARGET: False}


def test_a_variants_pictures_are_kept_for_the_pages_and_those_of_before_go(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data")
    for names in (("variants.png", "layers.png"), ("variants.png",)):
        folder = tmp_path / f"made-{len(names)}"
        (folder / "plots").mkdir(parents=True)
        for name in names:
            (folder / "plots" / name).write_bytes(b"png")
        keep_pictures(chosen, "me/x", folder)
        assert {path.name for path in (chosen.pictures / "me" / "x").iterdir()} == set(names)
