"""One command, measured from outside: wall and CPU seconds, peak resident memory, bytes read and written."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run cost; bytes are those that went through read and write calls.

    `stages` are the seconds of its stages where the command prints JSON that tells them.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    bytes_read: int
    bytes_written: int
    stages: Mapping[str, float]


def measure(
    command: Sequence[str], *, env: Mapping[str, str], before: Callable[[], None] = lambda: None
) -> Measured:
    """Run `command` after `before` and return what it cost; RuntimeError with its last words if it fails."""
    before()
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as words:
        started = time.perf_counter()
        with subprocess.Popen(list(command), env=dict(env), stdout=told, stderr=words) as process:
            watch = _Watch(process.pid)
            watch.start()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            watch.join()
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed: {words.read().decode(errors='replace')[-2000:]}")
        told.seek(0)
        stages = _stages(told.read())
    return Measured(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_bytes=watch.peak,
        bytes_read=watch.read,
        bytes_written=watch.written,
        stages=stages,
    )


def _stages(told: bytes) -> dict[str, float]:
    try:
        return dict(json.loads(told)["stage_seconds"])
    except (ValueError, KeyError, TypeError):
        return {}


def uncache(folder: Path) -> None:
    """Put the files of `folder` out of the system's file cache, which real checkpoints do not fit into."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill_cache(folder: Path) -> None:
    """Read the files of `folder` into the system's file cache."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


class _Watch(threading.Thread):
    """Reads /proc while the process lives; peak memory and byte counts only ever grow."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._folder = Path(f"/proc/{pid}")
        self.peak = self.read = self.written = 0

    def run(self) -> None:
        while True:
            try:
                status = (self._folder / "status").read_text(encoding="ascii")
                counts = (self._folder / "io").read_text(encoding="ascii")
            except OSError:
                return
            if "VmHWM" not in status:
                return
            self.peak = int(_field(status, "VmHWM:")) * 1024
            self.read, self.written = int(_field(counts, "rchar:")), int(_field(counts, "wchar:"))
            time.sleep(POLL_SECONDS)


def _field(text: str, name: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith(name))
