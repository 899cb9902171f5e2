"""Progress for people: a bar on a terminal, a plain line every ten seconds in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hubbot.cli.output import talk

LINE_SECONDS = 10.0
Tell = Callable[[int, int, str], None]


@contextmanager
def bar(title: str) -> Iterator[Tell]:
    """Yield a function of (done, total, what) that shows how far `title` is."""
    if not talk.is_terminal:
        yield _lines(title)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[what]}"),
    )
    with Progress(*columns, console=talk, transient=True) as progress:
        task = progress.add_task(title, total=None, what="")

        def tell(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, what=what[-48:])

        yield tell


def _lines(title: str) -> Tell:
    last = time.monotonic()

    def tell(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            talk.print(f"{title}: {100 * done // max(1, total)} %, {what}", soft_wrap=True)

    return tell
