"""The command that gives a job another chance: `hubbot retry`."""

import typer

from hubbot.cli.jobs import print_state
from hubbot.cli.options import JobId, Json


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("retry", rich_help_panel="Jobs")(retry_command)


def retry_command(job_id: JobId, as_json: Json = False) -> None:
    """Give a parked, failed, skipped or cancelled job another chance.

    Example: hubbot retry 3
    """
    from hubbot import settings
    from hubbot.jobs.bot import open_records

    with open_records(settings.load()) as records:
        job = records.queue.retry(job_id)
    print_state(job, as_json=as_json)
