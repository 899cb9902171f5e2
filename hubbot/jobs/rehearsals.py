"""What a job would do, found out without doing it: it reads the Hub and the database and changes neither."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hubbot.checkpoints import Checkpoint
from hubbot.files.sizes import readable
from hubbot.hub.client import Hub
from hubbot.jobs.card_renewals import is_card_only, published_of
from hubbot.jobs.pipeline import check_wanted, recipe_key
from hubbot.jobs.targets import Target, Targets, refuse_without_licence
from hubbot.lifecycle import Job, Stage, State
from hubbot.settings import Settings
from hubbot.steps import classify, inspect, publish
from hubbot.store.queue import Queue, Selection
from hubbot.store.results import Results

# No job has it.
_NO_JOB = 0


def rehearse(
    repo: str,
    revision: str,
    variants: tuple[str, ...],
    *,
    settings: Settings,
    hub: Hub,
    results: Results,
    queue: Queue,
    now: datetime,
) -> dict[str, Any]:
    """Return `source` and `steps`, in the order in which a job for `repo` at commit `revision` would take them.

    The one step "skip" says that there is a job for the same already, so that none is made. Raises what would stop
    the job: of inspect, classify, licence, rights and names.
    """
    same = _same(queue, repo, revision, recipe_key(variants, text_only=settings.text_only))
    if same is not None:
        ended = "published already" if same.state is State.PUBLISHED else same.state.value
        told = f"job {same.id} was asked for the same and is {ended}: no job is made"
        return {"source": f"{repo}@{revision}", "steps": [_step("skip", repo, told)]}
    checkpoint = inspect.inspect(hub.open(repo, revision))
    check_wanted(checkpoint, settings)
    refuse_without_licence(checkpoint, settings)
    layout = classify.classify(checkpoint)
    job = _job(checkpoint, variants, settings, now)
    targets = Targets(settings=settings, hub=hub, results=results, queue=queue).check(job)
    only_card = is_card_only(hub, job, targets, checkpoint)
    private = checkpoint.gated or checkpoint.private
    steps: list[dict[str, str]] = []
    if not only_card:
        count = len(checkpoint.shards)
        size = f"{readable(checkpoint.weight_bytes)} in {count} file{'s' if count != 1 else ''}"
        steps += [
            _step("fetch", job.repo, f"download {size}"),
            _step("convert", job.repo, f"layout {layout.row}, {checkpoint.model_type}: {', '.join(variants)}"),
            _step(
                "verify", job.repo, "compare every number with the source; a variant that fails is not published"
            ),
            _step("smoke", job.repo, "let every variant answer a few prompts"),
            _step("card", job.repo, "write every variant's card and report and draw its pictures"),
        ]
    for target in targets:
        steps += _publication(target, job, settings, only_card=only_card, private=private)
    own = [target.repo_id for target in targets]
    recorded = [item.target_repo for item in results.publications(job.repo) if item.target_repo not in own]
    steps += [
        _step("card", made.repo_id, "renew the card, if it says anything new")
        for made in published_of(hub, recorded)
    ]
    return {"source": f"{job.repo}@{job.revision}", "steps": steps}


def _same(queue: Queue, repo: str, revision: str, key: str) -> Job | None:
    """Return the job that enqueueing would find instead of making one."""
    jobs = map(queue.job, queue.select(Selection(pattern=repo)))
    return next((job for job in jobs if (job.revision, job.recipe_key) == (revision, key)), None)


def _publication(
    target: Target, job: Job, settings: Settings, *, only_card: bool, private: bool
) -> list[dict[str, str]]:
    steps = []
    if only_card:
        steps.append(_step("card", target.repo_id, "nothing that a conversion reads has changed: renew the card"))
    elif target.mark is None:
        seen = (
            "which stays private, as its source is" if private else "and make it public once every file is right"
        )
        steps.append(
            _step("publish", target.repo_id, f"make a private repo, send all files in one commit, {seen}")
        )
    else:
        before = _revision(target.mark)
        told = f"replace what was made of {before} in one commit, if anything differs; files of others stay"
        steps.append(_step("publish", target.repo_id, told))
    steps.append(_step("tag", target.repo_id, f"source-{job.revision[: publish.TAG_DIGITS]}"))
    if settings.collection and not private:
        steps.append(_step("collect", target.repo_id, f"into the collection {settings.collection!r}"))
    return steps


def _revision(mark: Mapping[str, Any]) -> str:
    return str(mark["source"]["revision"])[: publish.TAG_DIGITS]


def _step(what: str, repo: str, how: str) -> dict[str, str]:
    return {"step": what, "repo": repo, "how": how}


def _job(checkpoint: Checkpoint, variants: tuple[str, ...], settings: Settings, now: datetime) -> Job:
    return Job(
        id=_NO_JOB,
        repo=checkpoint.repo.id,
        revision=checkpoint.repo.revision,
        variants=variants,
        recipe_key=recipe_key(variants, text_only=settings.text_only),
        stage=Stage.INSPECT,
        state=State.WAITING,
        priority=0,
        attempts=0,
        not_before=None,
        lease=None,
        lease_until=None,
        runner=None,
        cancel_requested=False,
        error=None,
        requested_by="rehearsal",
        created_at=now,
        updated_at=now,
        predicted_ram_bytes=None,
        predicted_disk_bytes=None,
        runtime=None,
    )
