"""Servers that take a connection and do not answer as they should: silent ones, and those that trickle."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"


@contextmanager
def server(parts: tuple[bytes, ...], *, trickle: bytes = b"", pause: float = 0.1) -> Iterator[str]:
    """Yield the URL of a server that sends `parts`, then `trickle` again and again, and never ends an answer."""
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                for part in parts:
                    connection.sendall(part)
                while not over.wait(pause):
                    connection.sendall(trickle)
            except OSError:
                return

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for thread in (accepting, *threads):
            thread.join(5)
