"""The command that lists what is on the Hub."""

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, table
from hubbot.files.sizes import readable


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("published", rich_help_panel="Jobs")(published_command)


def published_command(as_json: Json = False) -> None:
    """List what hubbot has published, newest first.

    Example: hubbot published --json
    """
    from hubbot import settings
    from hubbot.jobs.bot import open_records

    with open_records(settings.load()) as records:
        listed = [publication.to_json() for publication in records.results.publications()]
    if as_json:
        print_json({"published": listed})
        return
    rows = table(f"{len(listed)} published", "repo", "source", "variant", "bits/weight", "size", "when")
    for item in listed:
        rows.add_row(
            item["target_repo"],
            f"{item['source_repo']}@{item['source_revision'][:8]}",
            item["variant"],
            f"{item['bits_per_weight']:.2f}",
            readable(item["bytes"]),
            item["published_at"][:16],
        )
    data.print(rows)
