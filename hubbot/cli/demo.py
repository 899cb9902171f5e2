"""The command that shows everything: `hubbot demo`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, styled, table, talk
from hubbot.cli.serve import Port, dashboard

if TYPE_CHECKING:
    from hubbot.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("demo", rich_help_panel="Try it")(demo_command)


def demo_command(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where the demo lives. Default: a folder in the user's data.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show a dashboard, and keep it and the embedded Hub up until Ctrl-C.")
    ] = False,
    port: Port = 8765,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline on this machine against an embedded Hub: six repos, four to publish.

    An interrupted demo goes on where it stopped. Delete its folder to begin anew.

    Example: hubbot demo --serve
    """
    from hubbot import demo
    from hubbot.cli.interrupts import stopping
    from hubbot.settings import data_folder

    home = (folder or data_folder(sys.platform, Path.home()) / "demo").expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    with demo.embedded_hub(home) as (hub, repos), stopping() as stop:
        demo.isolate(home, hub.url)
        from hubbot.cli.display import Display

        talk.print(f"embedded Hub: {hub.url} with {len(repos)} repos; everything is under {home}", soft_wrap=True)
        with _dashboard(demo.settings_of(home), port) if serve else nullcontext():
            ended = demo.run(home, repos, Display(talk.console), stop)
            if as_json:
                print_json(ended.record)
            else:
                _print_record(ended.record, hub.url, home, serve=serve)
            if serve and not stop.is_set():
                talk.print(f"serving {hub.url} until Ctrl-C")
                stop.wait()
    if stop.is_set() and not ended.as_expected:
        talk.print("interrupted; the same command goes on where it stopped")
        raise typer.Exit(130)
    if not ended.as_expected:
        talk.print(styled("red", "the demo did not come to its expected end"))
        raise typer.Exit(1)


@contextmanager
def _dashboard(chosen: "Settings", port: int) -> Iterator[None]:
    from hubbot.jobs.open_records import open_records

    with open_records(chosen) as records, dashboard(chosen, records, "127.0.0.1", port):
        yield


def _print_record(record: dict[str, Any], url: str, home: Path, *, serve: bool) -> None:
    rows = table("What became of the six repos", "source", "outcome", "published as / reason")
    variants: dict[str, list[str]] = {}
    for item in record["published"]:
        variants.setdefault(item["source"], []).append(item["variant"])
    for source, names in variants.items():
        pattern = next(item["repo"] for item in record["published"] if item["source"] == source)
        shown = pattern.removesuffix(names[0]) + "{" + ",".join(names) + "}"
        rows.add_row(source, styled("green", "published"), shown)
    for outcome in ("skipped", "parked"):
        for item in record[outcome]:
            rows.add_row(item["repo"], styled("yellow", outcome), item["reason"])
    data.print(rows)
    counts = record["counts"]
    data.print(
        f"{counts['published']} published, {counts['skipped']} skipped, {counts['parked']} parked "
        f"in {record['seconds']} s"
    )
    if serve:
        data.print(f"Open {url} in a browser: every repo has a page with its card.")
    else:
        data.print(f"To look at the cards: {sys.argv[0]} devhub --dir {record['hub_dir']}", soft_wrap=True)
    data.print(f"The settings it ran with: {home / 'hubbot.toml'}", soft_wrap=True)
