"""The child's side of child.py: `python -m hubbot.jobs.child_main STAGE [--stages MODULE]`.

The request is one JSON line on stdin; the answers are JSON lines on stdout: {"progress": ...} any number of
times, then {"ok": ...} or {"error": ...}. stdin stays open as the parent's lifeline: when it closes, the
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
from hubbot.errors import HubbotError, OutOfRoom, TryLater, WrongUsage
from hubbot.files.atomic_folders import is_disk_full

# stage -> module:function, called as function(request, progress) -> dict
STAGES: Mapping[str, str] = MappingProxyType(
    {
        "plan": "hubbot.jobs.child_stages:plan",
        "stage": "hubbot.jobs.child_stages:stage",
        "convert": "hubbot.jobs.child_stages:convert",
        "open_windows": "hubbot.jobs.window_stages:open_windows",
        "convert_window": "hubbot.jobs.window_stages:convert_window",
        "judge_window": "hubbot.jobs.window_stages:judge_window",
        "finish_windows": "hubbot.jobs.window_stages:finish_windows",
        "verify": "hubbot.jobs.child_stages:verify",
        "verify_folder": "hubbot.jobs.child_stages:verify_folder",
        "smoke": "hubbot.jobs.child_stages:smoke",
    }
)
Progress: TypeAlias = Callable[[Mapping[str, Any]], None]
StageFunction: TypeAlias = Callable[[dict[str, Any], Progress], Mapping[str, Any]]


def main(arguments: list[str]) -> int:
    """Run one stage and answer; returns 0 if an answer was written, be it an error."""
    heaps.share_one()
    lifeline, answers = _take_over_pipes()
    request = json.loads(_first_line(lifeline))
    threading.Thread(target=_watch_parent, args=(lifeline,), daemon=True).start()

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say(_answer(arguments, request, lambda fields: say({"progress": dict(fields)})))
    return 0


def stage_function(arguments: list[str]) -> StageFunction:
    """Return the function of an allowed stage; raises WrongUsage for any other."""
    match arguments:
        case [stage]:
            allowed: Mapping[str, str] = STAGES
        case [stage, "--stages", module]:
            allowed = import_module(module).STAGES
        case _:
            raise WrongUsage("usage: python -m hubbot.jobs.child_main STAGE [--stages MODULE]")
    if stage not in allowed:
        raise WrongUsage(f"no stage {stage!r} may run in a child", hint=f"one of {', '.join(allowed)}")
    module, _, name = allowed[stage].partition(":")
    function: StageFunction = getattr(import_module(module), name)
    return function


def _answer(arguments: list[str], request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    try:
        return {"ok": dict(stage_function(arguments)(request, progress))}
    except HubbotError as error:
        after = error.after_seconds if isinstance(error, TryLater) else None
        return {"error": error.to_json(), "after_seconds": after}
    except MemoryError:
        return {"error": OutOfRoom("memory did not suffice").to_json()}
    except Exception as error:  # noqa: BLE001  the parent must get an answer, whatever went wrong
        traceback.print_exc()
        if is_disk_full(error):
            return {"error": OutOfRoom(f"the disk is full: {error}").to_json()}
        return {"error": HubbotError(f"{type(error).__name__}: {error}").to_json()}


def _take_over_pipes() -> tuple[int, TextIO]:
    """Keep both pipes for this module alone; what libraries print goes to stderr, what they read is empty."""
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
