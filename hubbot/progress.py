"""Progress callback: (done, total, label); `done` of `total` units of the work, `label` names the last piece."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]
