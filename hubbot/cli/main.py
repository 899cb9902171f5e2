"""The command line: the list of commands, and the one place that turns errors into exit codes.

Each command has a file of its name; bodies import what they need, so that --help stays quick.
"""

import os
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from hubbot import __version__
from hubbot.cli import (
    audit,
    cancel,
    catalog,
    convert,
    demo,
    devhub,
    doctor,
    enqueue,
    init,
    inspect,
    jobs,
    layouts,
    pause,
    published,
    relayout,
    resume,
    retry,
    run,
    serve,
    show,
    smoke,
    status,
    verify,
    watch,
)
from hubbot.cli.output import data, print_error, print_json, talk
from hubbot.engine import heaps
from hubbot.errors import HubbotError, OutOfRoom, WrongUsage
from hubbot.files.atomic_folders import is_disk_full

INTERRUPTED = 130

app = typer.Typer(
    name="hubbot",
    help="Watch the Hub for Mixture-of-Experts checkpoints, convert them to MLX, prove the result, publish it.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        data.print(f"hubbot {__version__}")
        raise typer.Exit


# The order is that of --help.
for command in (
    *(inspect, convert, verify, smoke, relayout, layouts),
    *(enqueue, jobs, show, retry, cancel),
    *(watch, run, status, pause, resume, serve),
    *(published, catalog, audit),
    *(init, doctor, demo, devhub),
):
    command.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code that errors.py gives the error, or 0."""
    heaps.share_one()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=given, standalone_mode=False) or 0
    except HubbotError as error:
        print_error(error, as_json="--json" in given)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the parser has a tree of its own
        code = _usage_error(error, as_json="--json" in given)
    if code == INTERRUPTED:
        talk.print("stopped; nothing is lost: what was finished is kept")
    # Called with arguments, it runs in somebody else's process.
    _leave(code, own_process=arguments is None)


def _usage_error(error: Exception, *, as_json: bool) -> int:
    """Show the parser's own error, or that a disk is full, and return its exit code; anything else is raised."""
    if is_disk_full(error):
        # Perhaps the one that the output goes to: only standard error is left to say it.
        talk.print("OutOfRoom: the disk is full; free some space, then the same command goes on")
        return OutOfRoom.exit_code
    show = getattr(error, "show", None)
    if show is None:
        raise error
    if as_json:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print_json({"error": WrongUsage(message, hint="--help shows how it is written").to_json()})
    show()
    return int(getattr(error, "exit_code", WrongUsage.exit_code))


def _leave(code: int, *, own_process: bool) -> NoReturn:
    """End the process, at once where a thread still waits for the Hub: Python would wait for it, too."""
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    if code != INTERRUPTED and not (own_process and others):
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
