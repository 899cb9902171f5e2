"""One runner name, one process: a lock file in the data folder.

The lock is the kernel's, so it ends with the process however that ends; the file itself stays.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubbot.errors import WrongUsage


@contextmanager
def runner_lock(path: Path) -> Iterator[None]:
    """Hold the runner's lock; raises WrongUsage if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongUsage(
                f"the runner {path.stem!r} is at work already",
                where=str(path),
                hint="stop the other one, or give this one a name of its own",
            ) from None
        yield
