"""The command that lists the jobs: `hubbot jobs`. The worker need not be running for it."""

from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, styled, table

if TYPE_CHECKING:
    from hubbot.lifecycle import Job


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("jobs", rich_help_panel="Jobs")(jobs_command)


def jobs_command(
    state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to list.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="List all of them.")] = False,
    as_json: Json = False,
) -> None:
    """List the newest 50 jobs, newest first.

    Example: hubbot jobs --state parked
    """
    from hubbot import settings
    from hubbot.errors import WrongUsage
    from hubbot.jobs.bot import open_records
    from hubbot.lifecycle import State

    if state is not None and state not in set(State):
        raise WrongUsage(f"there is no state {state!r}", hint=f"one of: {' '.join(State)}")
    with open_records(settings.load()) as records:
        chosen = records.queue.jobs(State(state) if state else None, None if everything else limit)
        listed = [job.to_json() for job in chosen]
        counts = records.queue.counts()
        outages = [outage.to_json() for outage in records.outages.all()]
    if as_json:
        print_json({"jobs": listed, **({"outages": outages} if outages else {})})
        return
    total = counts[State(state)] if state else sum(counts.values())
    title = f"{total} jobs" if total == len(listed) else f"newest {len(listed)} of {total} jobs (see --all)"
    rows = table(title, "job", "repo", "state", "stage", "variants", "why")
    for job in listed:
        why = (job["error"] or {}).get("message", "")
        rows.add_row(str(job["id"]), job["repo"], job["state"], job["stage"], " ".join(job["variants"]), why)
    data.print(rows)
    for outage in outages:
        waits = ", ".join(outage["stages"]) or "what does not fit"
        told = f"since {outage['since'][:19]}: {outage['error']['message']}; waiting: {waits}"
        data.print(styled("yellow", f"outage ({outage['door']})"), told)


def print_state(job: "Job", *, as_json: bool) -> None:
    """Print the state of one job after a person's command."""
    if as_json:
        print_json(job.to_json())
        return
    asked = ", asked to stop" if job.cancel_requested else ""
    data.print(f"job {job.id} ({job.repo}) is {job.state} at {job.stage}{asked}")
