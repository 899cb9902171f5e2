"""The two consoles: data on stdout, talk and errors on stderr. The one door for text to a terminal.

Whatever is printed is text: no markup is read in it, and no control character leaves. `styled` asks for a style.
"""

import json
import re
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hubbot.errors import HubbotError
from hubbot.printable import printable

# What JSON may hold as it is, and a terminal would obey.
_C1 = re.compile("[\x7f-\x9f\ud800-\udfff]")


class Out:
    """One console."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def print(self, *parts: RenderableType, lines: bool = False, soft_wrap: bool | None = None) -> None:
        """Print the parts with a space between them; with `lines`, newlines in a text are its own."""
        plain = [Text(printable(part, lines=lines)) if isinstance(part, str) else part for part in parts]
        self.console.print(*plain, soft_wrap=soft_wrap)


class Rows:
    """A table in the making; every cell is text."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def add_row(self, *cells: str | Text) -> None:
        """Add a row."""
        self._table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells))

    def __rich__(self) -> Table:
        return self._table


talk = Out(Console(stderr=True, highlight=False))
data = Out(Console(highlight=False, soft_wrap=True))


def styled(style: str, text: str) -> Text:
    """Return a text in a style of rich's ("bold", "red")."""
    return Text(printable(text), style=style)


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write(_C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def print_error(error: HubbotError, *, as_json: bool) -> None:
    """Write the error, where it happened and its hint: on stderr, and as JSON on stdout if asked."""
    if as_json:
        print_json({"error": error.to_json()})
    where = styled("dim", f" ({error.where})" if error.where else "")
    line = Text.assemble(styled("red", type(error).__name__), ": ", printable(error.message), where)
    talk.print(line, soft_wrap=True)
    if error.hint:
        talk.print(styled("cyan", "  ->"), error.hint, soft_wrap=True)


def table(title: str, *columns: str) -> Rows:
    """Return an empty table with these columns, in the style of all commands."""
    heading = Text(printable(title))
    new = Table(title=heading, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for column in columns:
        new.add_column(Text(column), overflow="fold")
    return Rows(new)
