"""Functions for the tests of the loader: one that is alone, and one that needs numba when it runs."""

from typing import Any

import numpy as np
from numba import carray


def total(numbers: Any, count: int) -> int:
    """Return the sum of int64 [count]."""
    found = 0
    for number in carray(numbers, (count,), np.int64):
        found += number
    return found


def allocated(count: int) -> int:
    """Return `count` by way of an array."""
    return int(np.ones(count, np.int64).sum())
