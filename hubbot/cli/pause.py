"""The command that lets runners rest: `hubbot pause`."""

from typing import Annotated

import typer

from hubbot.cli.options import Json, Runner
from hubbot.cli.output import data, print_json, talk


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("pause", rich_help_panel="Running")(pause_command)


def pause_command(
    until: Annotated[
        str | None, typer.Option("--until", help="18:30, 90m, 2h, 3d or 2026-12-01T08:00.", show_default=False)
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="Finish the jobs under way, begin no new one.")] = False,
    runner: Runner = None,
    as_json: Json = False,
) -> None:
    """Begin no stage until `hubbot resume`, or until a moment; what runs ends its stage and nothing is lost.

    Example: hubbot pause --until 18:30
    """
    from hubbot import quiet_hours, settings
    from hubbot.jobs.open_records import open_records, utc_now
    from hubbot.jobs.pauses import pause

    now = utc_now()
    then = None if until is None else quiet_hours.moment(until, now)
    with open_records(settings.load()) as records:
        asked = pause(records.outages, now, until=then, drain=drain, runner=runner)
    if as_json:
        print_json(asked.to_json())
        return
    what = "no new job is begun" if drain else "no stage is begun"
    whom = "every runner" if runner is None else f"runner {runner}"
    lasts = "`hubbot resume`" if then is None else f"{then.astimezone():%Y-%m-%d %H:%M}"
    data.print(f"{whom}: {what} until {lasts}")
    talk.print("`hubbot status` shows what is still under way")
