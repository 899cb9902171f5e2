"""The command that gives jobs another chance: `hubbot retry`."""

import typer

from hubbot.cli.jobs import change
from hubbot.cli.options import DryRun, JobIds, Json, Kind, Match, States


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("retry", rich_help_panel="Jobs")(retry_command)


def retry_command(
    job_ids: JobIds = None,
    state: States = None,
    match: Match = None,
    error: Kind = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Give parked, failed, skipped or cancelled jobs another chance: by number, or all that an option names.

    Without --state, parked and failed ones.

    Example: hubbot retry 3, or hubbot retry --state parked --match 'Qwen/*'
    """
    from hubbot.lifecycle import State
    from hubbot.store.queue import Queue

    usual = (State.PARKED, State.FAILED)
    change(
        job_ids, state, match, error, usual=usual, one=Queue.retry, many=Queue.retry_all, dry_run=dry_run,
        as_json=as_json,
    )  # fmt: skip
