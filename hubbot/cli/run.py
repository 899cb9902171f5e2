"""The command that watches and works on the queue: `hubbot run`."""

import logging
import os
import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from hubbot.cli.interrupts import stopping
from hubbot.cli.options import Json, Once
from hubbot.cli.output import data, print_json, talk
from hubbot.cli.serve import Host, Port, dashboard

PATIENCE_SECONDS = 0.0


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("run", rich_help_panel="Running")(run_command)


def run_command(
    once: Once = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the dashboard beside it.")] = False,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    as_json: Json = False,
) -> None:
    """Watch by the clock and work on the queue until Ctrl-C; with --once until nothing is left to do.

    Example: hubbot run
    """
    from hubbot import settings
    from hubbot.cli.display import Display
    from hubbot.cli.log_lines import as_text
    from hubbot.hub.client import default_hub
    from hubbot.jobs.awake import awake
    from hubbot.jobs.bot import open_bot
    from hubbot.jobs.event_log import EventLog, written
    from hubbot.redaction import secrets_in

    chosen = settings.load()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(as_text)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    display, events = Display(talk.console), EventLog(chosen.runner)

    def emit(event: str, **fields: object) -> None:
        display.emit(event, **fields)
        events.emit(event, **fields)

    if not chosen.watch:
        talk.print("no watch rules are set, so nothing is watched; only the queue is worked on")
    with (
        open_bot(chosen, hub=default_hub(chosen.data_dir), emit=emit, on_progress=display.on_progress) as bot,
        written(chosen.data_dir / "log", secrets=(*secrets_in(os.environ), *chosen.secrets)),
        stopping() as stop,
        awake(sys.platform, os.getpid()),
        dashboard(chosen, bot.records, host, port) if serve else nullcontext(),
        display.live(),
    ):
        if once:
            bot.run_once(stop, PATIENCE_SECONDS)
        else:
            bot.run_forever(stop)
        counts = {state.value: count for state, count in bot.queue.counts().items()}
    if as_json:
        print_json({"counts": counts})
    else:
        data.print(", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no jobs")
