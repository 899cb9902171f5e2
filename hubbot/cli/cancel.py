"""The command that cancels jobs: `hubbot cancel`."""

import typer

from hubbot.cli.jobs import change
from hubbot.cli.options import DryRun, JobIds, Json, Kind, Match, States


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("cancel", rich_help_panel="Jobs")(cancel_command)


def cancel_command(
    job_ids: JobIds = None,
    state: States = None,
    match: Match = None,
    error: Kind = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Cancel jobs, by number or all that an option names; a running one stops at its runner's next sign of life.

    Without --state, those that wait, run or are parked.

    Example: hubbot cancel 3, or hubbot cancel --match 'spam/*'
    """
    from hubbot.lifecycle import State
    from hubbot.store.queue import Queue

    usual = (State.WAITING, State.RUNNING, State.PARKED)
    change(
        job_ids, state, match, error, usual=usual, one=Queue.cancel, many=Queue.cancel_all, dry_run=dry_run,
        as_json=as_json,
    )  # fmt: skip
