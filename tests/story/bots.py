"""The whole bot in this process, over an embedded Hub: heavy stages run here, where a test can plant a bug."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hubbot.deadlines import Interrupted
from hubbot.hub.client import Hub
from hubbot.jobs import child, child_main
from hubbot.jobs.bot import Bot, open_bot
from hubbot.jobs.pipeline import recipe_key
from hubbot.lifecycle import Job
from hubbot.progress import Progress
from hubbot.settings import Settings
from hubbot.steps.smoke import Sample, SmokeRecord
from tests.hub.embedded import ORG, Site

Meddle = Callable[[Path], object]
SMOKED = SmokeRecord(
    samples=(
        Sample(
            prompt="Hello",
            chat=True,
            temperature=0.0,
            text="Once there was a fox.",
            tokens=6,
            finished=True,
            first_token_seconds=0.1,
            prompt_tokens_per_second=100.0,
            tokens_per_second=50.0,
        ),
    ),
    warnings=(),
    kind="instruct",
    seed=1,
    utilisation=(),
    peak_memory_bytes=1 << 28,
    upcast_to_float32=False,
    device={"device": "CPU", "name": "x86_64", "system": "Linux"},
)


@dataclass(frozen=True, slots=True)
class Stages:
    """What ran, and what is to happen to the job's folder before a stage runs."""

    ran: list[str] = field(default_factory=list)
    before: dict[str, Meddle] = field(default_factory=dict)


def in_process(monkeypatch: pytest.MonkeyPatch, *, speaks: bool = False) -> Stages:
    """Run heavy stages in this process; unless `speaks`, the smoke test is taken as passed."""
    stages = Stages()

    def run(
        stage: str,
        request: Mapping[str, Any],
        *,
        progress: Progress,
        cancelled: threading.Event,
        **_limits: object,
    ) -> dict[str, Any]:
        if cancelled.is_set():
            raise Interrupted(f"{stage} was stopped")
        if stage in stages.before:
            stages.before[stage](Path(request.get("root", request.get("folder"))))
        # Pictures are drawn only where matplotlib is; an upload is a part of publish.
        if stage not in {"draw", "upload"}:
            stages.ran.append(stage)
        if stage == "smoke" and not speaks and Path(request["folder"]).is_dir():
            return SMOKED.to_json()
        function = child_main.stage_function(stage)
        answer: Mapping[str, Any] = function(dict(request), progress)
        return dict(answer)

    monkeypatch.setattr(child, "run", run)
    monkeypatch.setattr(child, "prepare", lambda *_: None)
    return stages


def settings(data_dir: Path, **fields: Any) -> Settings:
    # Few of the tests' sources have a card; what becomes of those by default is tested by itself.
    # A few hundred tokens are enough to tell a right model from a wrong one, and take a fifth of the time.
    chosen: dict[str, Any] = {
        "data_dir": data_dir, "org": ORG, "variants": ("4bit",), "runner": "tester", "without_licence": "other",
        "behaviour_tokens": 256, **fields,
    }  # fmt: skip
    return Settings(**chosen)


def _say_nothing(event: str, **fields: object) -> None:
    """Take an event of the worker."""


@contextmanager
def bot(hub: Hub, chosen: Settings) -> Iterator[Bot]:
    with open_bot(chosen, hub=hub, emit=_say_nothing, on_progress=lambda *_: None) as opened:
        yield opened


def run_job(opened: Bot, repo: str, *, revision: str | None = None) -> Job:
    """Enqueue the repo and work until nothing is due at once; return the job."""
    files = opened.hub.open(repo, revision)
    return run_revision(opened, files.repo.id, files.repo.revision)


def run_revision(opened: Bot, repo: str, revision: str) -> Job:
    variants = opened.settings.variants
    job, _ = opened.queue.enqueue(repo, revision, variants, recipe_key(variants), requested_by="test")
    opened.run_once(threading.Event(), 0)
    return opened.queue.job(job.id)


def on_the_hub(site: Site) -> dict[str, bool]:
    """Every repo of the organisation and whether it is private."""
    return {model.id: bool(model.private) for model in site.api().list_models(author=ORG, expand=["private"])}


def work_folder(chosen: Settings, job: Job) -> Path:
    return chosen.data_dir / "work" / f"job-{job.id}"
