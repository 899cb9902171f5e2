"""How many threads numpy's BLAS takes: one for small products, whose threads rather wait for each other than work.

On two busy cores a tiny model was judged in five seconds with two threads and in one with one. It knows OpenBLAS
as numpy's wheels bring it, and changes nothing elsewhere (Accelerate on a Mac decides by itself).
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

# scipy-openblas64, the build in numpy's wheels, says names with 64-bit integers so.
GET, SET = "scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"


@contextmanager
def one_thread(*, wanted: bool) -> Iterator[None]:
    """Let BLAS compute on one thread until the end of the block where that is `wanted` and can be set."""
    library = _openblas() if wanted else None
    if library is None:
        yield
        return
    before = getattr(library, GET)()
    getattr(library, SET)(1)
    try:
        yield
    finally:
        getattr(library, SET)(before)


def thread_count() -> int | None:
    """Return how many threads BLAS takes now, None where it cannot be asked."""
    library = _openblas()
    return None if library is None else int(getattr(library, GET)())


@cache
def _openblas() -> Any:
    """Return the library that numpy has loaded, None where it brings another or none."""
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    for path in sorted(folder.glob("libscipy_openblas64_*.so")):
        library = ctypes.CDLL(str(path))
        if hasattr(library, GET) and hasattr(library, SET):
            return library
    return None
