"""Commands on jobs: enqueue, jobs, show, retry, cancel. None of them needs the worker to be running."""

from typing import Annotated, Any

import typer

from hubbot.cli.options import JobId, Json, Repo, Revision
from hubbot.cli.output import data, print_json, table, talk


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    panel = "Jobs"
    app.command("enqueue", rich_help_panel=panel)(enqueue_command)
    app.command("jobs", rich_help_panel=panel)(jobs_command)
    app.command("show", rich_help_panel=panel)(show_command)
    app.command("retry", rich_help_panel=panel)(retry_command)
    app.command("cancel", rich_help_panel=panel)(cancel_command)


def enqueue_command(
    repo: Repo,
    revision: Revision = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", "-v", help="Variant to make; repeat for several.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher goes first.")] = 0,
    as_json: Json = False,
) -> None:
    """Put a repo into the queue; the same repo, revision and variants are one job, however often it is said.

    Example: hubbot enqueue Qwen/Qwen3-30B-A3B --variant 4bit --priority 10
    """
    from hubbot import settings
    from hubbot.catalogue.variants.named_variants import VARIANTS
    from hubbot.errors import WrongUsage
    from hubbot.hub.client import default_hub
    from hubbot.jobs.bot import open_records
    from hubbot.jobs.pipeline import recipe_key

    chosen = settings.load()
    variants = tuple(dict.fromkeys(variant or chosen.variants))
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise WrongUsage(f"there is no variant {unknown[0]!r}", hint=f"one of: {' '.join(VARIANTS)}")
    files = default_hub().open(repo, revision)
    with open_records(chosen) as records:
        job, created = records.queue.enqueue(
            files.repo.id,
            files.repo.revision,
            variants,
            recipe_key(variants),
            requested_by="enqueue",
            priority=priority,
        )
    if as_json:
        print_json({**job.to_json(), "created": created})
        return
    verb = "is new" if created else f"was there already, {job.state}"
    data.print(f"job {job.id} {verb}: {job.repo} at {job.revision[:12]}, {' '.join(job.variants)}")
    talk.print("`hubbot run` works on it; `hubbot show` tells how it stands")


def jobs_command(
    state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    as_json: Json = False,
) -> None:
    """List the jobs, newest first.

    Example: hubbot jobs --state parked
    """
    from hubbot import settings
    from hubbot.errors import WrongUsage
    from hubbot.jobs.bot import open_records
    from hubbot.lifecycle import State

    if state is not None and state not in set(State):
        raise WrongUsage(f"there is no state {state!r}", hint=f"one of: {' '.join(State)}")
    with open_records(settings.load()) as records:
        found = [job.to_json() for job in records.queue.jobs(State(state) if state else None)]
    if as_json:
        print_json({"jobs": found})
        return
    made = table(f"{len(found)} jobs", "job", "repo", "state", "stage", "variants", "why")
    for job in found:
        why = (job["error"] or {}).get("message", "")
        made.add_row(str(job["id"]), job["repo"], job["state"], job["stage"], " ".join(job["variants"]), why)
    data.print(made)


def show_command(job_id: JobId, as_json: Json = False) -> None:
    """Show one job: how it stands, what its stages found, every attempt.

    Example: hubbot show 3
    """
    from hubbot import settings
    from hubbot.jobs.bot import open_records

    with open_records(settings.load()) as records:
        job = records.queue.job(job_id)
        attempts = records.results.attempts(job_id)
        results = records.results.all(job_id)
    record: dict[str, Any] = {
        **job.to_json(),
        "history": [
            {
                "stage": a.stage,
                "started_at": a.started_at.isoformat(),
                "ended_at": a.ended_at.isoformat() if a.ended_at else None,
                "outcome": a.outcome,
                "error": a.error,
            }
            for a in attempts
        ],
        "results": [{"kind": r.kind, "variant": r.variant, "data": r.data} for r in results],
    }
    if as_json:
        print_json(record)
    else:
        _print_job(record)


def retry_command(job_id: JobId, as_json: Json = False) -> None:
    """Give a parked, failed, skipped or cancelled job another chance.

    Example: hubbot retry 3
    """
    _change("retry", job_id, as_json=as_json)


def cancel_command(job_id: JobId, as_json: Json = False) -> None:
    """Cancel a job; a running one stops at its runner's next sign of life.

    Example: hubbot cancel 3
    """
    _change("cancel", job_id, as_json=as_json)


def _change(verb: str, job_id: int, *, as_json: bool) -> None:
    from hubbot import settings
    from hubbot.jobs.bot import open_records

    with open_records(settings.load()) as records:
        job = records.queue.retry(job_id) if verb == "retry" else records.queue.cancel(job_id)
    if as_json:
        print_json(job.to_json())
    else:
        asked = ", asked to stop" if job.cancel_requested else ""
        data.print(f"job {job.id} ({job.repo}) is {job.state} at {job.stage}{asked}")


def _print_job(record: dict[str, Any]) -> None:
    data.print(f"[bold]job {record['id']}[/bold]  {record['repo']} at {record['revision'][:12]}")
    data.print(f"{record['state']} at stage {record['stage']}, variants {' '.join(record['variants'])}")
    progress = next((r["data"] for r in record["results"] if r["kind"] == "progress"), None)
    if progress and record["state"] == "running" and progress["stage"] == record["stage"]:
        percent = 100 * progress["done"] // max(1, progress["total"])
        data.print(f"{percent} % of {record['stage']} done, at {progress['what']}", markup=False)
    error = record["error"]
    if error:
        data.print(
            f"{error['kind']}: {error['message']}" + (f" ({error['where']})" if error["where"] else ""),
            markup=False,
        )
        if error["hint"]:
            data.print(f"  -> {error['hint']}", markup=False)
    made = table("history", "stage", "started", "outcome", "error")
    for attempt in record["history"]:
        message = (attempt["error"] or {}).get("message", "")
        made.add_row(attempt["stage"], attempt["started_at"][:19], attempt["outcome"] or "running", message)
    data.print(made)
    reports = [r for r in record["results"] if r["kind"] == "report"]
    if reports:
        made = table("verification", "variant", "verdict", "gates", "findings")
        for report in reports:
            found = report["data"]
            gates = ", ".join(f"{gate} {status}" for gate, status in found["gates"].items())
            made.add_row(report["variant"], found["verdict"], gates, str(len(found["findings"])))
        data.print(made)
