"""The two consoles: data on stdout, talk and errors on stderr."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hubbot.errors import HubbotError

talk = Console(stderr=True, highlight=False)
data = Console(highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_error(error: HubbotError, *, as_json: bool) -> None:
    """Write the error, where it happened and its hint: on stderr, and as JSON on stdout if asked."""
    if as_json:
        print_json({"error": error.to_json()})
    where = f" [dim]({escape(error.where)})[/dim]" if error.where else ""
    talk.print(f"[red]{type(error).__name__}[/red]: {escape(error.message)}{where}", soft_wrap=True)
    if error.hint:
        talk.print(f"  [cyan]->[/cyan] {escape(error.hint)}", soft_wrap=True)


def table(title: str, *columns: str) -> Table:
    """Return an empty table with these columns, in the style of all commands."""
    new = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for column in columns:
        new.add_column(column, overflow="fold")
    return new
