"""Stages for the tests of child and child_main: they end in every way a real one can.

python -m tests.jobs.harmless STAGE runs one of them as child_main runs the product's.
"""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hubbot.errors import RateLimited, ValueMismatch
from hubbot.jobs.child_main import IDLE_CODE, main
from hubbot.progress import Progress

STAGES = {
    name: f"tests.jobs.harmless:{name}"
    for name in (
        "echo", "refuse", "wait_for_hub", "crash", "disk_full", "no_memory", "shot", "exit_early", "sleep", "hog",
        "environment", "chatter", "read_stdin", "family", "stubborn", "give_up_soon",
    )
}  # fmt: skip
Request = dict[str, Any]


def echo(request: Request, progress: Progress) -> Request:
    for number in range(request.get("steps", 0)):
        progress(number, request["steps"], "step")
    return {"heard": request}


def refuse(request: Request, progress: Progress) -> Request:
    raise ValueMismatch("off by one", where="layers.0", hint="look again")


def wait_for_hub(request: Request, progress: Progress) -> Request:
    raise RateLimited("slow down", after_seconds=17.5)


def crash(request: Request, progress: Progress) -> Request:
    return {"never": request["missing"]}


def disk_full(request: Request, progress: Progress) -> Request:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_memory(request: Request, progress: Progress) -> Request:
    raise MemoryError


def shot(request: Request, progress: Progress) -> Request:
    sys.stderr.write("x" * 20_000 + "\nlast words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.Signals[request["signal"]])
    return {}


def exit_early(request: Request, progress: Progress) -> Request:
    os._exit(3)


def sleep(request: Request, progress: Progress) -> Request:
    progress(os.getpid(), 0, "pid")
    if "pid_file" in request:
        Path(request["pid_file"]).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(60)
    return {}


def stubborn(request: Request, progress: Progress) -> Request:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return sleep(request, progress)


def hog(request: Request, progress: Progress) -> Request:
    held = bytearray(os.urandom(1)) * request["bytes"]
    time.sleep(60)
    return {"held": len(held)}


def environment(request: Request, progress: Progress) -> Request:
    return {"environ": dict(os.environ), "path": sys.path, "group": os.getpgrp() == os.getpid()}


def chatter(request: Request, progress: Progress) -> Request:
    sys.stdout.write('{"ok": "a library printed this"}\n')
    os.write(1, b'{"error": "and this"}\n')
    return {"quiet": True}


def read_stdin(request: Request, progress: Progress) -> Request:
    return {"read": sys.stdin.read()}


def family(request: Request, progress: Progress) -> Request:
    with subprocess.Popen(["sleep", "60"]) as grandchild:
        progress(grandchild.pid, 0, "pid")
        time.sleep(60)
    return {}


def give_up_soon(request: Request, progress: Progress) -> Request:
    """Answer, and end as an idle child does, a moment after it may have been asked for more."""
    threading.Timer(0.3, os._exit, (IDLE_CODE,)).start()
    return {}


if __name__ == "__main__":
    os._exit(main(sys.argv[1:], STAGES))
