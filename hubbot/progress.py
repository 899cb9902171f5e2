"""How long work tells how far it is: a function of (done, total, what it is at)."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]
