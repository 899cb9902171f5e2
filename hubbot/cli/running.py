"""Commands that act on their own: watch and run."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.options import DryRun, Json
from hubbot.cli.output import data, print_json, table, talk

if TYPE_CHECKING:
    from hubbot.jobs.watch_rounds import Decision

Once = Annotated[bool, typer.Option("--once", help="Do it once and end, instead of going on for ever.")]
PATIENCE_SECONDS = 0.0


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    panel = "Running"
    app.command("watch", rich_help_panel=panel)(watch_command)
    app.command("run", rich_help_panel=panel)(run_command)


def watch_command(once: Once = False, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Look at the Hub under the settings' rules and enqueue what is new and wanted.

    Example: hubbot watch --once --dry-run
    """
    from hubbot import settings
    from hubbot.hub.client import default_hub
    from hubbot.jobs.bot import open_records, utc_now
    from hubbot.jobs.watch_rounds import Watching

    chosen = settings.load()
    if not chosen.watch:
        talk.print("no watch rules are set, so nothing is watched; `hubbot doctor` shows where to set them")
        if as_json:
            print_json({"rules": 0, "decisions": []})
        return
    with open_records(chosen) as records, stopping() as stop:
        watching = Watching(
            settings=chosen, hub=default_hub(), queue=records.queue, results=records.results, clock=utc_now
        )
        while True:
            _print_decisions(watching.look(dry_run=dry_run), len(chosen.watch), as_json=as_json)
            if once or dry_run or stop.wait(chosen.watch_minutes * 60):
                return


def run_command(once: Once = False, as_json: Json = False) -> None:
    """Watch by the clock and work on the queue until Ctrl-C; with --once until nothing is left to do.

    Example: hubbot run
    """
    from hubbot import settings
    from hubbot.cli.display import Display
    from hubbot.hub.client import default_hub
    from hubbot.jobs.bot import open_bot

    chosen = settings.load()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    for library in ("apscheduler", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    display = Display(talk)
    if not chosen.watch:
        talk.print("no watch rules are set, so nothing is watched; only the queue is worked on")
    with (
        open_bot(chosen, hub=default_hub(), emit=display.emit, on_progress=display.on_progress) as bot,
        stopping() as stop,
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


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, so that work is given back instead of torn."""
    stop = threading.Event()

    def set_stop(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        talk.print("stopping; the job at hand goes back to the queue (again to stop at once)")
        stop.set()

    before = {number: signal.signal(number, set_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_decisions(decisions: "list[Decision]", rules: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"rules": rules, "decisions": [asdict(decision) for decision in decisions]})
        return
    if not decisions:
        data.print("nothing new")
        return
    made = table(f"{len(decisions)} new", "repo", "revision", "rule", "verdict", "job")
    for decision in decisions:
        job = str(decision.job_id) if decision.job_id else ""
        made.add_row(decision.repo, decision.revision[:12], decision.rule, decision.verdict, job)
    data.print(made)
