"""The command that checks this machine and explains the settings: `hubbot doctor`."""

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, styled, table


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("doctor", rich_help_panel="Running")(doctor_command)


_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor_command(as_json: Json = False) -> None:
    """Check runtime, disk, database, Hub, token and settings, and explain every setting; exit 1 if one fails.

    Example: hubbot doctor
    """
    from hubbot.doctor import examine, explain

    checks = examine()
    settings = explain()
    if as_json:
        print_json({"checks": [check.to_json() for check in checks], "settings": settings})
    else:
        rows = table("This machine", "", "what", "found", "to do")
        for check in checks:
            rows.add_row(styled(_STYLES[check.status], check.status), check.name, check.message, check.hint or "")
        data.print(rows)
        rows = table("Settings", "key", "value", "what it is")
        for key, entry in settings.items():
            rows.add_row(key, str(entry["value"]), entry["meaning"])
        data.print(rows)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
