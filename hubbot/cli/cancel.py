"""The command that cancels a job: `hubbot cancel`."""

import typer

from hubbot.cli.jobs import print_state
from hubbot.cli.options import JobId, Json


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("cancel", rich_help_panel="Jobs")(cancel_command)


def cancel_command(job_id: JobId, as_json: Json = False) -> None:
    """Cancel a job; a running one stops at its runner's next sign of life.

    Example: hubbot cancel 3
    """
    from hubbot import settings
    from hubbot.jobs.bot import open_records

    with open_records(settings.load()) as records:
        job = records.queue.cancel(job_id)
    print_state(job, as_json=as_json)
