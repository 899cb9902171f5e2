"""Progress for people: a bar on a terminal, a plain line every ten seconds in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as LiveBar

from hubbot.cli.output import talk
from hubbot.printable import printable
from hubbot.progress import Progress

LINE_SECONDS = 10.0


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """Yield the progress callback of the work called `title`."""
    if not talk.console.is_terminal:
        yield _lines(title)
        return
    columns = (
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[label]}", style="dim", markup=False),
    )
    with LiveBar(*columns, console=talk.console, transient=True) as live:
        task = live.add_task(printable(title), total=None, label="")

        def progress(done: int, total: int, label: str) -> None:
            live.update(task, completed=done, total=total, label=printable(label)[-48:])

        yield progress


def _lines(title: str) -> Progress:
    last = time.monotonic()

    def progress(done: int, total: int, label: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            talk.print(f"{title}: {100 * done // max(1, total)} %, {label}", soft_wrap=True)

    return progress
