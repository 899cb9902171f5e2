"""The worker's events for people: one bar for the running stage on a terminal, plain lines in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hubbot.lifecycle import Job

LINE_SECONDS = 10.0
_COLOURS = {"published": "green", "skipped": "yellow", "parked": "yellow", "failed": "red", "waiting": "cyan"}


class Display:
    """Takes the worker's events and the pipeline's progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._tasks: dict[int, object] = {}
        self._last_line = time.monotonic()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show a live bar while the block runs, where the console is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[label]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None

    def emit(self, event: str, **fields: object) -> None:
        """Take one event of the worker."""
        job = fields["job"]
        assert isinstance(job, Job)
        if event == "stage_started":
            self._start(job, str(fields["stage"]))
        elif event == "stage_finished":
            self._finish(job, str(fields["stage"]), str(fields["outcome"]), fields.get("error"))
        elif event == "given_back":
            self._line(f"job {job.id} {escape(job.repo)}: goes on at {job.stage} after an interruption")
        elif event == "lost":
            self._line(f"job {job.id} {escape(job.repo)}: another runner has taken it over")

    def on_progress(self, job: Job, done: int, total: int, label: str) -> None:
        """Take the progress of a stage."""
        if self._progress is not None and job.id in self._tasks:
            self._progress.update(self._tasks[job.id], completed=done, total=total, label=label[-40:])  # type: ignore[arg-type]
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._line(f"job {job.id} {escape(job.repo)}: {job.stage} {100 * done // max(1, total)} %, {label}")

    def _start(self, job: Job, stage: str) -> None:
        if self._progress is not None:
            title = f"{escape(job.repo)} [bold]{stage}[/bold]"
            self._tasks[job.id] = self._progress.add_task(title, total=None, label="")

    def _finish(self, job: Job, stage: str, outcome: str, error: object) -> None:
        task = self._tasks.pop(job.id, None)
        if self._progress is not None and task is not None:
            self._progress.remove_task(task)  # type: ignore[arg-type]
        if outcome == "done":
            if not self._console.is_terminal:
                self._line(f"job {job.id} {escape(job.repo)}: {stage} done")
            return
        colour = _COLOURS.get(outcome, "white")
        reason = f": {escape(str(error))}" if error else ""
        self._line(f"[{colour}]{outcome}[/{colour}] {escape(job.repo)}{reason}")

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)
