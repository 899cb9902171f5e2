"""One model over several hosts: mlx.launch starts a process on each, and each loads and computes its part.

It knows the ring backend alone. Nothing is copied: the artifact, hubbot and its Python stand at the same paths on
every host, and ssh reaches them without a password. It never takes a host's name for an option.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from hubbot.errors import SmokeFailed, TookTooLong
from hubbot.redaction import redacted

RING = "ring"
LAST_BYTES = 2000
WATCH_SECONDS = 0.5
END_SECONDS = 3.0
# How mlx.launch, which itself ends well, tells of a process that did not.
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[^\S\n]*[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FAILED = (b"was killed", b"exited with code")


def join() -> Any:
    """Return the group of processes that mlx.launch has started; raises SmokeFailed where there is none."""
    try:
        return mx.distributed.init(strict=True, backend=RING)
    except RuntimeError as error:
        raise SmokeFailed(f"the hosts do not reach each other: {error}") from error


def part(model: Any, group: Any) -> None:
    """Leave of a lazily loaded model what the process of `group` computes.

    Raises SmokeFailed where mlx-lm's class can be divided neither within its layers nor between them.
    """
    if hasattr(model, "shard"):
        model.shard(group)
    elif hasattr(getattr(model, "model", None), "pipeline"):
        model.model.pipeline(group)
    else:
        raise SmokeFailed(
            f"mlx-lm's {type(model).__module__.rpartition('.')[2]} class cannot be divided over hosts",
            hint="smoke it on a machine whose memory holds it",
        )


def launched(script: Path, arguments: Sequence[str], hosts: Sequence[str], seconds: float) -> None:
    """Run `script` on every host of `hosts` (addresses, this machine's first) until all have ended well.

    Raises TookTooLong after `seconds`, SmokeFailed where a process fails: with the last words of what it said.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as hostfile:
        json.dump(ways(hosts), hostfile)
        hostfile.flush()
        _launch(script, arguments, hosts, Path(hostfile.name), seconds)


def ways(hosts: Sequence[str]) -> list[dict[str, object]]:
    """Return mlx.launch's hostfile: how to start a process on each host, and where the others reach it.

    The first is started here without ssh, for which mlx.launch wants 127.0.0.1; others reach it by its address.
    """
    return [{"ssh": address if number else "127.0.0.1", "ips": [address]} for number, address in enumerate(hosts)]


def _launch(script: Path, arguments: Sequence[str], hosts: Sequence[str], hostfile: Path, seconds: float) -> None:
    launch, port = Path(sys.executable).parent / "mlx.launch", _free_port(len(hosts))
    command = [
        *(str(launch), "--backend", RING, "--hostfile", str(hostfile), "--starting-port", str(port)),
        # The script's own folder holds modules that are called like Python's.
        *("--env", "PYTHONSAFEPATH=1", "--python", sys.executable, "--", str(script), *arguments),
    ]
    # In this process's own group: whoever ends that ends these, too.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    names = ", ".join(hosts)
    # mlx.launch reads its input all the time: an open pipe, which `communicate` would close, keeps it quiet.
    stdin, process.stdin = process.stdin, None
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise TookTooLong(f"the hosts {names} did not end within {seconds:.0f} s") from error
    finally:
        _end(process)
        for pipe in (stdin, process.stderr):
            if pipe is not None:
                pipe.close()
    if process.returncode != 0 or any(word in told for word in _FAILED):
        words = _CONTROL.sub("", told[-LAST_BYTES:].decode("utf-8", "replace"))
        said = " ".join(redacted(words).split())
        raise SmokeFailed(f"a process on one of the hosts {names} failed: {said or 'it said nothing'}")


def end_with(folder: Path) -> None:
    """Let this process end as soon as `folder` is gone, where it is on this host: whoever waited has given up."""
    if folder.is_dir():
        threading.Thread(target=_watch, args=(folder,), daemon=True).start()


def _watch(folder: Path) -> None:
    while folder.is_dir():
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)


def _free_port(count: int) -> int:
    """Return a port from which on `count` are likely to be free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return min(int(server.getsockname()[1]), 65_535 - count)
