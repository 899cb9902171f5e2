"""The command that lists the jobs: `hubbot jobs`. The worker need not be running for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, styled, table

if TYPE_CHECKING:
    from hubbot.lifecycle import Job, State
    from hubbot.store.queue import Queue, Selection


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
    from hubbot.jobs.open_records import open_records
    from hubbot.lifecycle import State

    if state is not None:
        _states([state])
    with open_records(settings.load()) as records:
        chosen = records.queue.jobs(State(state) if state else None, None if everything else limit)
        seconds = records.results.seconds([job.id for job in chosen])
        listed = [{**job.to_json(), "seconds": seconds[job.id]} for job in chosen]
        counts = records.queue.counts()
        outages = [outage.to_json() for outage in records.outages.all()]
    if as_json:
        print_json({"jobs": listed, **({"outages": outages} if outages else {})})
        return
    total = counts[State(state)] if state else sum(counts.values())
    title = f"{total} jobs" if total == len(listed) else f"newest {len(listed)} of {total} jobs (see --all)"
    rows = table(title, "job", "repo", "state", "stage", "variants", "took", "why")
    for job in listed:
        why = (job["error"] or {}).get("message", "")
        variants, took = " ".join(job["variants"]), _took(job["seconds"])
        rows.add_row(str(job["id"]), job["repo"], job["state"], job["stage"], variants, took, why)
    data.print(rows)
    for outage in outages:
        waits = ", ".join(outage["stages"]) or "what does not fit"
        told = f"since {outage['since'][:19]}: {outage['error']['message']}; waiting: {waits}"
        data.print(styled("yellow", f"outage ({outage['door']})"), told)


def _took(seconds: dict[str, float]) -> str:
    """Return the sum of a job's stages in words, with the longest of them."""
    if not seconds:
        return ""
    longest = max(seconds, key=lambda stage: seconds[stage])
    return f"{sum(seconds.values()):.1f} s, {longest} {seconds[longest]:.1f}"


def print_state(job: "Job", *, as_json: bool) -> None:
    """Print the state of one job after a person's command."""
    if as_json:
        print_json(job.to_json())
        return
    asked = ", asked to stop" if job.cancel_requested else ""
    data.print(f"job {job.id} ({job.repo}) is {job.state} at {job.stage}{asked}")


def change(
    job_ids: list[int] | None,
    states: list[str] | None,
    match: str | None,
    error: str | None,
    *,
    usual: "tuple[State, ...]",
    one: "Callable[[Queue, int], Job]",
    many: "Callable[[Queue, Selection], list[Job]]",
    dry_run: bool,
    as_json: bool,
) -> None:
    """Change the jobs that a person names and print them; `usual` are the states where none is named.

    Raises WrongUsage where nothing is named, and for a single number what `one` raises.
    """
    from hubbot import settings
    from hubbot.errors import WrongUsage
    from hubbot.jobs.open_records import open_records
    from hubbot.store.queue import Selection

    filtered = states or match or error
    if not job_ids and not filtered:
        raise WrongUsage("no job is named", hint="a number of `hubbot jobs`, or --state, --match or --error")
    ids, among = tuple(job_ids or ()), _states(states or ())
    selection = Selection(ids=ids, states=among or (() if ids else usual), pattern=match, kind=error)
    with open_records(settings.load()) as records:
        if len(ids) == 1 and not filtered and not dry_run:
            print_state(one(records.queue, ids[0]), as_json=as_json)
            return
        if dry_run:
            changed = [records.queue.job(number) for number in records.queue.select(selection)]
        else:
            changed = many(records.queue, selection)
    if as_json:
        print_json({"jobs": [job.to_json() for job in changed], "dry_run": dry_run})
        return
    for job in changed:
        print_state(job, as_json=False)
    data.print(f"{len(changed)} jobs {'would be changed' if dry_run else 'changed'}")


def _states(names: "list[str] | tuple[()]") -> "tuple[State, ...]":
    from hubbot.errors import WrongUsage
    from hubbot.lifecycle import State

    for name in names:
        if name not in set(State):
            raise WrongUsage(f"there is no state {name!r}", hint=f"one of: {' '.join(State)}")
    return tuple(State(name) for name in names)
