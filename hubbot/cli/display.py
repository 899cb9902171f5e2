"""The worker's events for people: one bar for the running stage on a terminal, plain lines in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hubbot.cli.output import Out, styled
from hubbot.lifecycle import Job
from hubbot.printable import printable

LINE_SECONDS = 10.0
_COLOURS = {"published": "green", "skipped": "yellow", "parked": "yellow", "failed": "red", "waiting": "cyan"}


class Display:
    """Takes the worker's events and the pipeline's progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._out = Out(console)
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
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[stage]}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[label]}", style="dim", markup=False),
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
            self._line(f"job {job.id} {job.repo}: goes on at {job.stage} after an interruption")
        elif event == "lost":
            self._line(f"job {job.id} {job.repo}: another runner has taken it over")

    def on_progress(self, job: Job, done: int, total: int, label: str) -> None:
        """Take the progress of a stage."""
        if self._progress is not None and job.id in self._tasks:
            self._progress.update(self._tasks[job.id], completed=done, total=total, label=printable(label)[-40:])  # type: ignore[arg-type]
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._line(f"job {job.id} {job.repo}: {job.stage} {100 * done // max(1, total)} %, {label}")

    def _start(self, job: Job, stage: str) -> None:
        if self._progress is not None:
            title = printable(job.repo)
            self._tasks[job.id] = self._progress.add_task(title, total=None, stage=stage, label="")

    def _finish(self, job: Job, stage: str, outcome: str, error: object) -> None:
        task = self._tasks.pop(job.id, None)
        if self._progress is not None and task is not None:
            self._progress.remove_task(task)  # type: ignore[arg-type]
        if outcome == "done":
            if not self._console.is_terminal:
                self._line(f"job {job.id} {job.repo}: {stage} done")
            return
        colour = _COLOURS.get(outcome, "white")
        reason = f": {error}" if error else ""
        self._out.print(styled(colour, outcome), f"{job.repo}{reason}", soft_wrap=True)

    def _line(self, text: str) -> None:
        self._out.print(text, soft_wrap=True)
