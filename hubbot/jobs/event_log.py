"""The log for programs: one event, one JSON line, in files of bounded size and number, without secrets.

It holds what the worker emits and what is logged; the log for people stays as it is.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, cast

from hubbot.errors import HubbotError
from hubbot.files.atomic_folders import explain
from hubbot.lifecycle import Job
from hubbot.printable import printable
from hubbot.redaction import redacted

LARGEST_BYTES = 10_000_000
OLDER_FILES = 5
LOGGER = "hubbot.events"


class EventLog:
    """Takes the worker's events, and writes them beside the log's records."""

    def __init__(self, runner: str) -> None:
        self._runner = runner
        self._begun: dict[int, float] = {}

    def emit(self, event: str, **fields: object) -> None:
        """Write one event of the worker: its job, stage, outcome, error, and the seconds that a stage took."""
        job, error = fields.pop("job", None), fields.pop("error", None)
        told: dict[str, object] = {"event": event, "runner": self._runner, **fields}
        if isinstance(job, Job):
            told |= {
                "job": job.id, "repo": job.repo, "revision": job.revision, "state": job.state, "at": job.stage,
                "attempts": job.attempts,
            }  # fmt: skip
            if event == "stage_started":
                self._begun[job.id] = time.monotonic()
            elif event == "stage_finished" and job.id in self._begun:
                told["seconds"] = round(time.monotonic() - self._begun.pop(job.id), 3)
        if isinstance(error, HubbotError):
            told["error"] = error.to_json()
        logging.getLogger(LOGGER).info("%s", event, extra={"fields": told})


@contextmanager
def written(folder: Path, *, secrets: Sequence[str]) -> Iterator[Path]:
    """Write events and records to `folder`/hubbot.jsonl while the block runs; yields the file."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise explain(error, folder) from error
    file = folder / "hubbot.jsonl"
    handler = RotatingFileHandler(
        file, maxBytes=LARGEST_BYTES, backupCount=OLDER_FILES, encoding="utf-8", delay=True
    )
    # By default it prints the record as it is, secrets included, to stderr, at every event of a full disk.
    vars(handler)["handleError"] = say = _SaidOnce(file)
    vars(handler)["doRollover"] = _Rotation(handler, say)
    # It has what a handler asks of a formatter.
    handler.setFormatter(cast("logging.Formatter", JsonLine(secrets)))
    events, root = logging.getLogger(LOGGER), logging.getLogger()
    events.setLevel(logging.INFO)
    events.propagate = False
    events.addHandler(handler)
    root.addHandler(handler)
    try:
        yield file
    finally:
        root.removeHandler(handler)
        events.removeHandler(handler)
        # What could not be written cannot be flushed either.
        with suppress(OSError):
            handler.close()


class _Rotation:
    """Begins a new file, or the same one anew where the older ones cannot be moved: the newest lines count."""

    def __init__(self, handler: RotatingFileHandler, say: "_SaidOnce") -> None:
        self._handler, self._say = handler, say
        self._rotate = handler.doRollover

    def __call__(self) -> None:
        try:
            self._rotate()
        except OSError as error:
            self._say.once(f"cannot be rotated ({type(error).__name__}) and begins anew")
            Path(self._handler.baseFilename).write_bytes(b"")


class _SaidOnce:
    """Says once on stderr what is wrong with the log; the work goes on without it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._said: set[str] = set()

    def __call__(self, _record: logging.LogRecord) -> None:
        self.once(f"cannot be written ({type(sys.exc_info()[1]).__name__})")

    def once(self, what: str) -> None:
        kind = what.partition("(")[0]
        if kind not in self._said:
            self._said.add(kind)
            sys.stderr.write(f"the log {self._file} {what}; work goes on\n")


class JsonLine:
    """Writes a record of `logging` as one line of JSON."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's time, level, logger and message, or the fields of an event."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": when, "level": record.levelname.lower()}
        fields = getattr(record, "fields", None)
        line |= fields if fields is not None else {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        return json.dumps(self._clean(line), ensure_ascii=False, default=str)

    def _clean(self, value: Any) -> Any:
        """Return the value without secrets and control characters, which JSON would pass on."""
        if isinstance(value, str):
            return printable(redacted(value, self._secrets), lines=True)
        if isinstance(value, dict):
            return {key: self._clean(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(each) for each in value]
        return value
