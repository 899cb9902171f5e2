"""The command that shows how the bot stands: `hubbot status`. It changes nothing and asks no Hub."""

from typing import Any

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, styled, table
from hubbot.files.sizes import readable


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("status", rich_help_panel="Running")(status_command)


def status_command(as_json: Json = False) -> None:
    """Show what runs, waits, is paused, was published last, and needs a person.

    Example: hubbot status
    """
    from hubbot import settings
    from hubbot.jobs.open_records import open_records, utc_now
    from hubbot.jobs.overview import overview

    chosen = settings.load()
    with open_records(chosen) as records:
        found = overview(records, chosen, utc_now())
    if as_json:
        print_json(found)
        return
    _print(found)


def _print(found: dict[str, Any]) -> None:
    working = styled("green", "at work") if found["at_work"] else styled("yellow", "not running here")
    data.print(f"runner {found['runner']}:", working, f"({readable(found['free_bytes'])} free)")
    data.print(", ".join(f"{count} {state}" for state, count in found["counts"].items() if count) or "no jobs")
    if found["quiet_hours"]:
        data.print(styled("yellow", "quiet hours"), "no stage is begun")
    for one in found["pauses"]:
        stages = "all" if len(one["stages"]) > 8 else ", ".join(one["stages"]) or "what does not fit"
        why = "; ".join(filter(None, (one["error"].get("message"), one["error"].get("hint"))))
        message = f"{one['runner']}, since {one['since'][:16]}: {why}; waiting: {stages}"
        data.print(styled("yellow", one["door"]), message)
    for title, key, columns in (
        ("Running", "running", ("id", "repo", "at", "percent", "what", "runner", "seconds")),
        ("Next", "next", ("id", "repo", "at")),
        ("Needs a person", "needs_person", ("id", "repo", "state", "at", "why", "hint")),
        ("Published last", "published", ("source_repo", "published_at")),
    ):
        if found[key]:
            rows = table(title, *columns)
            for entry in found[key]:
                rows.add_row(*("" if entry[name] is None else str(entry[name]) for name in columns))
            data.print(rows)
