"""The progress callback of long work, called with (done, total, label): bytes or steps, and what is worked on."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]
