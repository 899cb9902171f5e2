"""The command that ends a pause: `hubbot resume`."""

import typer

from hubbot.cli.options import Json, Runner
from hubbot.cli.output import data, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("resume", rich_help_panel="Running")(resume_command)


def resume_command(runner: Runner = None, as_json: Json = False) -> None:
    """End what `hubbot pause` began; outages of the Hub or the disk end by themselves.

    Example: hubbot resume
    """
    from hubbot import settings
    from hubbot.jobs.open_records import open_records
    from hubbot.jobs.pauses import resume

    with open_records(settings.load()) as records:
        ended = resume(records.outages, runner)
    if as_json:
        print_json({"ended": [one.to_json() for one in ended]})
    else:
        data.print(f"jobs go on; {len(ended)} pauses ended" if ended else "nothing was paused")
