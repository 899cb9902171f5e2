"""The command that serves the dashboard: `hubbot serve`; `hubbot run --serve` does both in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import print_json, talk

if TYPE_CHECKING:
    from hubbot.jobs.open_records import Records
    from hubbot.lifecycle import Job
    from hubbot.settings import Settings

Host = Annotated[str, typer.Option("--host", help="Address to serve at; beyond loopback, pages ask for a token.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("serve", rich_help_panel="Running")(serve_command)


def serve_command(host: Host = "127.0.0.1", port: Port = 8765, as_json: Json = False) -> None:
    """Serve the dashboard until Ctrl-C: what runs, waits and needs a person, and what is published.

    Example: hubbot serve --port 8765
    """
    from hubbot import settings
    from hubbot.cli.interrupts import stopping
    from hubbot.jobs.open_records import open_records

    chosen = settings.load()
    with open_records(chosen) as records, stopping() as stop, dashboard(chosen, records, host, port) as url:
        if as_json:
            print_json({"url": url})
        stop.wait()


@contextmanager
def dashboard(chosen: "Settings", records: "Records", host: str, port: int) -> Iterator[str]:
    """Serve the dashboard while the block runs, say where, and yield its address; raises as `serving` does."""
    from hubbot.hub.client import default_hub
    from hubbot.jobs.bot import enqueue
    from hubbot.web.dashboard import serving, site_of
    from hubbot.web.token_file import FILE_NAME

    def put(repo: str, revision: str | None, variants: tuple[str, ...], priority: int) -> "Job":
        job, _ = enqueue(
            repo,
            revision,
            variants,
            settings=chosen,
            hub=default_hub(),
            queue=records.queue,
            requested_by="dashboard",
            priority=priority,
        )
        return job

    site = site_of(chosen, records, put, host=host)
    with serving(site, host=host, port=port) as url:
        talk.print(f"dashboard at {url}", soft_wrap=True)
        if not site.open_to_all:
            talk.print(f"its pages ask for the token in {chosen.data_dir / FILE_NAME}", soft_wrap=True)
        yield url
