"""The child's side of child.py: `python -m hubbot.jobs.child_main STAGE`.

The request is one JSON line on stdin; the answers are JSON lines on stdout: {"progress": [done, total, label]} any
number of times, then {"ok": ...} or {"error": ...}. stdin stays open as the parent's lifeline: when it closes, the
parent is gone, and the child ends with all it has started. Only stages of the allow-list can be run.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, TextIO, TypeAlias

from hubbot.engine import heaps
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
        "smoke": "hubbot.conversion.child_stages:smoke",
        "draw": "hubbot.plots.drawing:draw",
        "upload": "hubbot.hub.uploads:upload",
    }
)
StageFunction: TypeAlias = Callable[[dict[str, Any], Progress], Mapping[str, Any]]


def main(arguments: list[str], stages: Mapping[str, str] = STAGES) -> int:
    """Run one of `stages` and answer; returns 0 if an answer was written, be it an error."""
    heaps.share_one()
    lifeline, answers = _take_over_pipes()
    request = json.loads(_first_line(lifeline))
    threading.Thread(target=_watch_parent, args=(lifeline,), daemon=True).start()

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def report(done: int, total: int, label: str) -> None:
        say({"progress": [done, total, label]})

    say(_answer(arguments, stages, request, report))
    return 0


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


def _watch_parent(pipe: int) -> None:
    while os.read(pipe, 1 << 10):
        pass
    # Only as the leader of a group of its own: started by hand, the group is the shell's.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # The answer is given; the teardown of a GPU library could only spoil it.
    os._exit(code)
