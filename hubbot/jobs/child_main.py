"""The child's side of child.py: `python -m hubbot.jobs.child_main STAGE`, or `serve` for one stage after another.

The request is one JSON line on stdin; the answers are JSON lines on stdout: {"progress": [done, total, label]} any
number of times, then {"ok": ...} or {"error": ...}. stdin stays open as the parent's lifeline: when it closes, the
parent is gone, and the child ends with all it has started. Only stages of the allow-list can be run.
"""

import gc
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import Any, TextIO, TypeAlias

from hubbot.engine import heaps, memory
from hubbot.errors import HubbotError, OutOfMemory, OutOfRoom, TryLater, WrongUsage
from hubbot.files.atomic_folders import is_disk_full
from hubbot.progress import Progress

# stage -> module:function; a module is imported when its stage runs
STAGES: Mapping[str, str] = MappingProxyType(
    {
        "plan": "hubbot.conversion.child_stages:plan",
        "stage": "hubbot.conversion.child_stages:stage",
        "convert": "hubbot.conversion.child_stages:convert",
        "open_windows": "hubbot.conversion.window_stages:open_windows",
        "convert_window": "hubbot.conversion.window_stages:convert_window",
        "judge_window": "hubbot.conversion.window_stages:judge_window",
        "finish_windows": "hubbot.conversion.window_stages:finish_windows",
        "verify": "hubbot.conversion.child_stages:verify",
        "verify_folder": "hubbot.conversion.child_stages:verify_folder",
        "stock_form": "hubbot.conversion.child_stages:stock_form",
        "smoke": "hubbot.conversion.child_stages:smoke",
        "draw": "hubbot.plots.drawing:draw",
        "upload": "hubbot.hub.uploads:upload",
    }
)
StageFunction: TypeAlias = Callable[[dict[str, Any], Progress], Mapping[str, Any]]
# In place of a stage: requests {"stage": ..., "request": ...} until the pipe closes.
SERVE = "serve"
# A serving child that hears nothing for so long gives its memory back, and ends with this code between two stages.
IDLE_SECONDS = 60.0
IDLE_CODE = 75


def main(arguments: list[str], stages: Mapping[str, str] = STAGES, *, idle_seconds: float = IDLE_SECONDS) -> int:
    """Run one of `stages` and answer, or serve; returns 0 if an answer was written, be it an error.

    Returns IDLE_CODE where it serves and is asked nothing for `idle_seconds`.
    """
    heaps.share_one()
    lifeline, answers = _take_over_pipes()

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def report(done: int, total: int, label: str) -> None:
        say({"progress": [done, total, label]})

    if arguments == [SERVE]:
        return _serve(lifeline, stages, say, report, idle_seconds)
    request = json.loads(_first_line(lifeline))
    threading.Thread(target=_watch_parent, args=(lifeline, lambda _: None), daemon=True).start()
    say(_answer(arguments, stages, request, report))
    return 0


def _serve(
    lifeline: int,
    stages: Mapping[str, str],
    say: Callable[[Mapping[str, Any]], None],
    report: Progress,
    idle_seconds: float,
) -> int:
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_watch_parent, args=(lifeline, asked.put), daemon=True).start()
    # What the first stage needs, most of the others need too; a fault in it is answered when a stage is asked for.
    # Nothing that is loaded here is ever garbage: collecting meanwhile takes a tenth of the time.
    gc.disable()
    with suppress(Exception):
        stage_function(next(iter(stages)), stages)
    gc.freeze()
    gc.enable()
    while True:
        try:
            message = json.loads(asked.get(timeout=idle_seconds))
        except queue.Empty:
            return IDLE_CODE
        memory.forget_peak()
        say(_answer([message["stage"]], stages, message["request"], report))


def stage_function(stage: str, stages: Mapping[str, str] = STAGES) -> StageFunction:
    """Return the function of an allowed stage; raises WrongUsage for any other."""
    if stage not in stages:
        raise WrongUsage(f"no stage {stage!r} may run in a child", hint=f"one of {', '.join(stages)}")
    module, _, name = stages[stage].partition(":")
    function: StageFunction = getattr(import_module(module), name)
    return function


def _answer(
    arguments: list[str], stages: Mapping[str, str], request: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    try:
        return {"ok": dict(stage_function(_only(arguments), stages)(request, progress))}
    except HubbotError as error:
        after = error.after_seconds if isinstance(error, TryLater) else None
        return {"error": error.to_json(), "after_seconds": after}
    except MemoryError:
        return {"error": OutOfMemory("memory did not suffice").to_json()}
    except Exception as error:  # noqa: BLE001  the parent must get an answer, whatever went wrong
        traceback.print_exc()
        if is_disk_full(error):
            return {"error": OutOfRoom(f"the disk is full: {error}").to_json()}
        return {"error": HubbotError(f"{type(error).__name__}: {error}").to_json()}


def _only(arguments: list[str]) -> str:
    if len(arguments) != 1:
        raise WrongUsage("usage: python -m hubbot.jobs.child_main STAGE")
    return arguments[0]


def _take_over_pipes() -> tuple[int, TextIO]:
    """Keep both pipes for this module alone: libraries print to stderr and read an empty stdin."""
    lifeline, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return lifeline, os.fdopen(answers, "w", encoding="utf-8")


def _first_line(pipe: int) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(pipe, 1 << 16)
        if not part:
            break
        line += part
    return bytes(line)


def _watch_parent(pipe: int, heard: Callable[[bytes], None]) -> None:
    unread = b""
    while part := os.read(pipe, 1 << 16):
        *lines, unread = (unread + part).split(b"\n")
        for line in lines:
            heard(line)
    # Only as the leader of a group of its own: started by hand, the group is the shell's.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # The answer is given; the teardown of a GPU library could only spoil it.
    os._exit(code)
