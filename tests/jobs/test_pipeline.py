"""The stages of one job: what each leaves behind, what becomes of its errors, and where a job resumes."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubbot.deadlines import Interrupted
from hubbot.devhub.demo_repos import write_demo_repos
from hubbot.errors import ChildDied, CorruptHeader, NoRuntime, RateLimited, WorkLost
from hubbot.jobs import child
from hubbot.jobs.bot import Bot
from hubbot.jobs.pipeline import recipe_key, runtime_key
from hubbot.lifecycle import Job, Published, Refused, Stage, StageDone, State
from hubbot.plots import drawing
from tests.hub.embedded import LFS_WARNING, ORG, STRANGER, Site, calm, running
from tests.story.bots import Stages, bot, in_process, on_the_hub, run_job, settings, work_folder

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
FOX = "fables/Fox-8x-MoE-fused"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    exhibits = write_demo_repos(tmp_path_factory.mktemp("exhibits"))
    return next(exhibit.folder for exhibit in exhibits if exhibit.repo_id == FOX)


@pytest.fixture
def site(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    with running(tmp_path / "hub") as started:
        started.embedded.seed(FOX, source)
        yield started


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return in_process(monkeypatch)


@pytest.fixture
def opened(site: Site, stages: Stages, tmp_path: Path) -> Iterator[Bot]:
    with bot(site.client(), settings(tmp_path / "data")) as made:
        yield made


def enqueued(opened: Bot, revision: str | None = None) -> Job:
    files = opened.hub.open(FOX, None)
    variants = opened.settings.variants
    found = revision or files.repo.revision
    return opened.queue.enqueue(FOX, found, variants, recipe_key(variants), requested_by="test")[0]


def take(opened: Bot, job: Job, until: Stage) -> Job:
    """Run stages one by one, each by a pipeline that knows nothing but the disk, up to `until`."""
    while job.stage is not until:
        outcome = replace(opened.pipeline).run_stage(job, threading.Event())
        assert isinstance(outcome, StageDone), outcome
        job = replace(job, stage=outcome.next or job.stage.following or job.stage)
    return job


def kinds(opened: Bot, job: Job) -> set[tuple[str, str | None]]:
    return {(result.kind, result.variant) for result in opened.results.all(job.id)}


def test_each_stage_leaves_what_people_and_the_next_stage_need(opened: Bot) -> None:
    job = take(opened, enqueued(opened), Stage.PUBLISH)
    assert kinds(opened, job) == {
        ("checkpoint", None),
        ("layout", None),
        ("plan", None),
        ("progress", None),
        ("artifact", "4bit"),
        ("report", "4bit"),
        ("smoke", "4bit"),
    }
    seen = opened.results.get(job.id, "checkpoint")
    assert seen is not None
    assert seen["model_type"] == "qwen3_moe"
    assert 0 < seen["requests"] < 10
    assert seen["bytes_read"] < 300_000
    left = {path.name for path in opened.pipeline.workspace(job).root.iterdir()}
    assert left == {
        "source", "out", "checkpoint.json", "layout.json", "plan.json", "artifacts.json", "report-4bit.json",
        "smoke-4bit.json", "seconds.json", "renewal.json", "cards.json",
    }  # fmt: skip


def test_publishing_writes_down_where_everything_went_and_clears_the_folder(opened: Bot, site: Site) -> None:
    job = run_job(opened, FOX)
    assert job.state is State.PUBLISHED
    (found,) = opened.results.publications()
    assert (found.source_repo, found.source_revision, found.variant) == (FOX, job.revision, "4bit")
    assert found.target_repo == f"{ORG}/Fox-8x-MoE-fused-MLX-4bit"
    assert found.target_revision == site.client().head(found.target_repo)
    assert 4 < found.bits_per_weight < 6
    assert not opened.pipeline.workspace(job).root.exists()


def test_the_plan_tells_the_queue_what_the_job_will_need(opened: Bot) -> None:
    job = take(opened, enqueued(opened), Stage.PLAN)
    outcome = opened.pipeline.run_stage(job, threading.Event())
    assert isinstance(outcome, StageDone)
    assert outcome.predicted_ram_bytes
    assert outcome.predicted_disk_bytes


def test_an_error_of_the_tree_is_an_outcome_with_the_runtime_it_met(
    opened: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (NoRuntime("none"), CorruptHeader("torn"), RateLimited("slow"), ChildDied("shot")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(child, "run", fail)
        job = take(opened, enqueued(opened), Stage.PLAN)
        assert opened.pipeline.run_stage(job, threading.Event()) == Refused(error=error, runtime=runtime_key())


def test_an_error_outside_of_the_tree_is_the_workers_to_explain(
    opened: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbot.steps.inspect.inspect", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        opened.pipeline.run_stage(enqueued(opened), threading.Event())
    assert run_job(opened, FOX).state is State.FAILED


@pytest.mark.parametrize(
    "stage",
    [
        Stage.CLASSIFY,
        Stage.PLAN,
        Stage.FETCH,
        Stage.CONVERT,
        Stage.VERIFY,
        Stage.SMOKE,
        Stage.CARD,
        Stage.PUBLISH,
    ],
)
def test_a_work_folder_that_is_gone_sends_the_job_back_to_its_beginning(opened: Bot, stage: Stage) -> None:
    job = take(opened, enqueued(opened), stage)
    shutil.rmtree(opened.pipeline.workspace(job).root)
    assert opened.pipeline.run_stage(job, threading.Event()) == StageDone(next=Stage.INSPECT)
    assert run_job(opened, FOX).state is State.PUBLISHED


def test_at_the_beginning_there_is_nothing_to_go_back_to(opened: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(_: object) -> None:
        raise WorkLost("gone")

    monkeypatch.setattr("hubbot.steps.inspect.inspect", lose)
    with pytest.raises(WorkLost):
        opened.pipeline.run_stage(enqueued(opened), threading.Event())


def test_a_torn_file_of_an_earlier_stage_sends_the_job_back(opened: Bot) -> None:
    job = take(opened, enqueued(opened), Stage.VERIFY)
    (opened.pipeline.workspace(job).root / "checkpoint.json").write_text('{"half')
    assert opened.pipeline.run_stage(job, threading.Event()) == StageDone(next=Stage.INSPECT)


def older(folder: Path) -> None:
    """Leave layout and plan as the version that called layouts by letters left them."""
    for name in ("layout", "plan"):
        path = folder / f"{name}.json"
        if path.is_file():
            data = json.loads(path.read_text())[name]
            (data if name == "layout" else data["layout"])["row"] = "E"
            path.write_text(json.dumps(data))


@pytest.mark.parametrize("stage", [Stage.PLAN, Stage.CONVERT, Stage.PUBLISH])
def test_a_work_folder_of_an_earlier_format_sends_the_job_back_and_it_ends_published(
    opened: Bot, site: Site, stage: Stage
) -> None:
    job = take(opened, enqueued(opened), stage)
    older(opened.pipeline.workspace(job).root)
    assert opened.pipeline.run_stage(job, threading.Event()) == StageDone(next=Stage.INSPECT)
    assert on_the_hub(site) == {}
    opened.run_once(threading.Event(), 0)
    assert opened.queue.job(job.id).state is State.PUBLISHED
    assert on_the_hub(site) == {f"{ORG}/Fox-8x-MoE-fused-MLX-4bit": False}


@pytest.mark.parametrize("stage", list(Stage))
def test_a_job_killed_after_any_stage_ends_the_same(opened: Bot, site: Site, stages: Stages, stage: Stage) -> None:
    job = take(opened, enqueued(opened), stage)
    done = list(stages.ran)
    # A stage runs twice where the runner died before it could write its outcome down.
    if stage is not Stage.PUBLISH:
        opened.pipeline.run_stage(job, threading.Event())
        job = take(opened, job, Stage.PUBLISH)
    assert opened.pipeline.run_stage(job, threading.Event()) == Published()
    assert stages.ran[: len(done)] == done
    assert on_the_hub(site) == {f"{ORG}/Fox-8x-MoE-fused-MLX-4bit": False}
    assert "hubbot.json" in site.tree(f"{ORG}/Fox-8x-MoE-fused-MLX-4bit")


@pytest.mark.parametrize("left", ["another source's checkpoint", "a torn checkpoint"])
def test_a_folder_that_a_lost_database_left_behind_gives_nothing_to_the_job_of_its_number(
    opened: Bot, site: Site, left: str
) -> None:
    folder = work_folder(opened.settings, enqueued(opened))
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "chat_template.jinja").write_text("{{ 'of another model' }}")
    other = json.dumps({"repo": {"id": FOX, "revision": "f" * 40}})
    (folder / "checkpoint.json").write_text(other if left == "another source's checkpoint" else other[:9])
    opened.run_once(threading.Event(), 0)
    tree = site.tree(f"{ORG}/Fox-8x-MoE-fused-MLX-4bit")
    assert "hubbot.json" in tree
    assert ("chat_template.jinja" in tree) == ("chat_template.jinja" in site.tree(FOX))
    if "chat_template.jinja" in tree:
        assert tree["chat_template.jinja"].is_same(site.tree(FOX)["chat_template.jinja"])


def test_killed_after_the_last_publication_it_is_done_without_folder_token_or_hub(opened: Bot, site: Site) -> None:
    job = run_job(opened, FOX)
    again = replace(job, state=State.RUNNING, stage=Stage.PUBLISH)
    without_token = replace(opened.pipeline, hub=site.client(None))
    site.faults.clear()
    assert without_token.run_stage(again, threading.Event()) == Published()
    assert site.faults.count() == 0


def test_a_publication_of_another_revision_does_not_count(opened: Bot) -> None:
    job = run_job(opened, FOX)
    other = replace(job, state=State.RUNNING, stage=Stage.PUBLISH, revision="f" * 40)
    assert opened.pipeline.run_stage(other, threading.Event()) == StageDone(next=Stage.INSPECT)


def test_a_stop_between_two_publications_keeps_the_first(site: Site, stages: Stages, tmp_path: Path) -> None:
    stop = threading.Event()
    with bot(site.client(), settings(tmp_path / "data", variants=("4bit", "8bit"))) as opened:
        job = take(opened, enqueued(opened), Stage.PUBLISH)
        stopping = replace(opened.pipeline, on_progress=lambda job, done, *_: stop.set() if done else None)
        with pytest.raises(Interrupted):
            stopping.run_stage(job, stop)
        assert len(on_the_hub(site)) == 1
        assert opened.pipeline.run_stage(job, threading.Event()) == Published()
    assert set(on_the_hub(site).values()) == {False}
    assert len(on_the_hub(site)) == 2


def test_children_get_the_limits_of_the_settings(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, dict[str, Any]] = {}
    stages = in_process(monkeypatch)
    run = child.run

    def watched(stage: str, request: Any, **limits: Any) -> dict[str, Any]:
        seen[stage] = limits
        return run(stage, request, **limits)

    monkeypatch.setattr(child, "run", watched)
    chosen = settings(tmp_path / "data", smoke_seconds=7, stage_hours=2, memory_gigabytes=3)
    with bot(site.client(), chosen) as opened:
        assert run_job(opened, FOX).state is State.PUBLISHED
    # An upload has a limit by its size.
    seconds = {stage: limits["timeout_seconds"] for stage, limits in seen.items() if stage != "upload"}
    assert seconds == {
        "plan": 7200.0,
        "convert": 7200.0,
        "verify": 7200.0,
        "smoke": 7.0,
        **({"draw": 7200.0} if drawing.is_possible() else {}),
    }
    assert {limits["memory_bytes"] for limits in seen.values()} == {3_000_000_000}
    assert all(limits["hf_home"].is_relative_to(chosen.data_dir) for limits in seen.values())
    assert stages.ran


def test_a_recipe_is_the_same_in_any_order() -> None:
    assert recipe_key(("8bit", "4bit")) == recipe_key(("4bit", "8bit")) == "4bit+8bit"


def test_a_job_has_a_folder_of_its_own(opened: Bot) -> None:
    job = enqueued(opened)
    assert opened.pipeline.workspace(job).root == work_folder(opened.settings, job)


def test_how_far_a_heavy_stage_is_stands_in_the_jobs_results(opened: Bot) -> None:
    job = take(opened, enqueued(opened), Stage.VERIFY)
    progress = opened.results.get(job.id, "progress")
    assert progress is not None
    assert progress["stage"] == "convert"
    assert progress["done"] == progress["total"] > 0


def test_refused_courtesies_are_noted_with_the_job_and_paid_later(opened: Bot, site: Site) -> None:
    site.faults.fail("*", "/api/collections", status=501, times=9999)
    site.faults.fail("POST", "/tag/", status=403, times=9999)
    job = run_job(opened, FOX)
    assert job.state is State.PUBLISHED
    (target,) = on_the_hub(site)
    owed = opened.results.get(job.id, "owed", "4bit")
    assert owed is not None
    assert (owed["repo"], set(owed["refused"])) == (target, {"tag", "collection"})
    site.faults.clear()
    opened.run_once(threading.Event(), 0)
    assert opened.results.get(job.id, "owed", "4bit") == {}
    api = site.api()
    assert [tag.name for tag in api.list_repo_refs(target).tags] == [f"source-{job.revision[:12]}"]
    assert len(list(api.list_collections(owner=ORG, item=f"models/{target}"))) == 1


# What is asked before the work


def refused(opened: Bot, stages: Stages) -> dict[str, Any]:
    """The error of a job that must stop before anything heavy ran."""
    job = run_job(opened, FOX)
    assert (job.state, stages.ran) == (State.PARKED, [])
    assert job.error is not None
    return job.error


def test_a_token_that_may_not_write_to_the_organisation_is_refused_before_the_work(
    site: Site, stages: Stages, tmp_path: Path
) -> None:
    with bot(site.client(STRANGER), settings(tmp_path / "data")) as opened:
        error = refused(opened, stages)
    assert (error["kind"], error["message"]) == (
        "TokenRejected", f"the token of somebody may not make repos under {ORG}"
    )  # fmt: skip


def test_a_name_that_is_taken_is_refused_before_the_work(opened: Bot, site: Site, stages: Stages) -> None:
    target = f"{ORG}/Fox-8x-MoE-fused-MLX-4bit"
    site.api().create_repo(target)
    assert "is empty; hubbot did not make it" in refused(opened, stages)["message"]
    site.api().upload_file(path_or_fileobj=b"mine", path_in_repo="README.md", repo_id=target)
    opened.queue.retry(1)
    assert "carries no hubbot.json" in refused(opened, stages)["message"]


def test_a_name_that_is_too_long_is_refused_before_the_work(site: Site, stages: Stages, tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data", repo_name="{name}-" + 80 * "x" + "-{variant}")
    with bot(site.client(), chosen) as opened:
        assert "the Hub allows 96" in refused(opened, stages)["message"]


def test_two_sources_of_one_name_are_told_apart_before_the_work_and_by_their_owners(
    opened: Bot, site: Site, stages: Stages, source: Path, tmp_path: Path
) -> None:
    run_job(opened, FOX)
    stages.ran.clear()
    twin = FOX.replace("fables", "others")
    site.embedded.seed(twin, source)
    job = run_job(opened, twin)
    assert (job.state, stages.ran) == (State.PARKED, [])
    assert job.error is not None
    assert "{owner}" in job.error["hint"]
    with bot(site.client(), settings(tmp_path / "2", repo_name="{owner}_{name}-{variant}")) as named:
        assert run_job(named, twin).state is State.PUBLISHED
    assert f"{ORG}/others_Fox-8x-MoE-fused-4bit" in on_the_hub(site)


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (b"# A model without terms\n", "states no licence"),
        (b"---\nlicense: [apache-2.0\n---\n", "cannot be read, so the licence is unknown"),
    ],
)
def test_a_source_without_a_licence_parks_unless_the_settings_say_otherwise(
    site: Site, stages: Stages, source: Path, tmp_path: Path, card: bytes, told: str
) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(source, folder)
    (folder / "README.md").write_bytes(card)
    site.embedded.seed(FOX, folder)
    with bot(site.client(), settings(tmp_path / "data", without_licence="park")) as opened:
        assert told in refused(opened, stages)["message"]


def test_a_source_without_a_licence_is_published_as_of_another_one_where_the_settings_say_so(
    site: Site, stages: Stages, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(source, folder)
    (folder / "README.md").write_bytes(b"# A model without terms\n")
    site.embedded.seed(FOX, folder)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        assert run_job(opened, FOX).state is State.PUBLISHED
    card = site.api().model_info(f"{ORG}/Fox-8x-MoE-fused-MLX-4bit").card_data
    assert card is not None
    assert (card.license, card.license_name) == ("other", "not-stated")


@pytest.mark.parametrize("stage", [Stage.INSPECT, Stage.CONVERT, Stage.PUBLISH])
def test_a_work_folder_that_vanishes_in_the_midst_fails_no_job(
    opened: Bot, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    work = opened.settings.data_dir / "work"
    away = work.with_name("away")
    run = opened.pipeline.run_stage
    work.mkdir()

    def run_stage(job: Job, cancelled: threading.Event) -> Any:
        if job.stage is stage and not away.exists():
            work.rename(away)
            work.write_text("", encoding="utf-8")
        return run(job, cancelled)

    robbed = replace(opened, worker=replace(opened.worker, run_stage=run_stage))
    job = run_job(robbed, FOX)
    assert (job.state, job.stage, job.attempts) == (State.WAITING, stage, 0)
    assert job.error is not None
    assert job.error["kind"] == "FolderUnusable"
    assert "Traceback" not in caplog.text
    work.unlink()
    away.rename(work)
    (outage,) = opened.records.outages.all()
    opened.records.outages.put(replace(outage, next_probe=outage.since))
    assert run_job(opened, FOX).state is State.PUBLISHED
