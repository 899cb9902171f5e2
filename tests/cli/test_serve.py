"""serve: the dashboard of this machine's data folder, and the same beside `run`."""

import signal
import socket
import threading
import time
from pathlib import Path

import httpx

from hubbot.web.token_file import FILE_NAME
from tests.cli.conftest import Shell
from tests.hub.embedded import Site


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_serves_until_it_is_told_to_stop(hubbot: Shell, machine: Path) -> None:
    port = free_port()
    seen: dict[str, object] = {}
    main = threading.main_thread().ident
    assert main is not None

    def look() -> None:
        for _ in range(200):
            try:
                page = httpx.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            seen["page"] = page.text
            token = (machine / FILE_NAME).read_text().strip()
            bearer = {"authorization": f"Bearer {token}"}
            seen["jobs"] = httpx.get(f"http://127.0.0.1:{port}/api/jobs", headers=bearer).json()["total"]
            break
        # To the main thread, which is where a signal of the system arrives.
        signal.pthread_kill(main, signal.SIGTERM)

    looking = threading.Thread(target=look)
    looking.start()
    ended = hubbot("serve", "--port", str(port), "--json")
    looking.join()
    assert ended.code == 0
    assert ended.json == {"url": f"http://127.0.0.1:{port}"}
    assert "Nothing is published yet" in str(seen["page"])
    assert seen["jobs"] == 0
    assert "ask for the token" not in ended.err


def test_run_serves_the_dashboard_beside_the_work(hubbot: Shell, site: Site, machine: Path) -> None:
    hubbot("enqueue", "fables/Hare-dense")
    ended = hubbot("run", "--once", "--serve", "--port", "0")
    assert ended.code == 0
    assert "dashboard at http://127.0.0.1:" in ended.err
    assert ended.out.strip() == "1 skipped"


def test_a_port_that_is_taken_is_wrong_usage(hubbot: Shell, machine: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = hubbot("serve", "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "cannot be served" in ended.err
