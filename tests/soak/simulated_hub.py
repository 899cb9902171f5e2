"""A Hub of one page for the simulated soak: a process that is killed, stopped, and answers wrongly when told to.

python -m tests.soak.simulated_hub FOLDER PORT

It reads world.json of the folder at each request, and keeps what is published in hub/.
"""

import json
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any

PAYLOAD_BYTES = 4096


def payload(repo: str, revision: str) -> bytes:
    """Return the bytes of a source."""
    return (f"{repo}@{revision}\n".encode() * PAYLOAD_BYTES)[:PAYLOAD_BYTES]


def answer(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request: whoami, get or commit."""
    world = json.loads((folder / "world.json").read_text(encoding="ascii"))
    for word in ("hub", "limit", "token"):
        if world.get(word):
            return {"error": word}
    if asked["do"] == "get":
        data = payload(asked["repo"], asked["revision"])
        if world.get("corrupt"):
            data = data[:100] + b"?" + data[101:]
        return {"data": (data[: len(data) // 2] if world.get("truncated") else data).decode()}
    if asked["do"] == "commit":
        return _commit(folder, asked)
    return {}


def _commit(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    place = folder / "hub" / asked["repo"].replace("/", "--")
    place.mkdir(parents=True, exist_ok=True)
    revisions = [int(file.name) for file in place.iterdir() if file.suffix != ".new"]
    if max(revisions, default=-1) > int(asked["revision"]):
        return {"error": "older"}
    # The same commit twice is none.
    new = place / f"{asked['revision']}.new"
    new.write_text(asked["data"], encoding="utf-8")
    new.replace(place / asked["revision"])
    # Here a kill leaves a commit whose author never hears of it.
    time.sleep(0.002)
    return {}


def main(folder: str, port: str) -> None:
    """Answer until killed."""
    one_at_a_time = threading.Lock()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            if line.endswith(b"\n"):
                with one_at_a_time:
                    told = answer(Path(folder), json.loads(line))
                self.wfile.write(json.dumps(told).encode() + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: who asked was killed."""

    with Server(("127.0.0.1", int(port)), Handler) as server:
        print("up", flush=True)  # noqa: T201  the test waits for it
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
