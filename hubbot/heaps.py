"""One heap for all threads: what one thread frees another takes again, instead of every thread keeping its own.

glibc gives each thread an arena whose freed blocks stay resident (mallopt(3), M_ARENA_MAX); slices of megabytes
that one thread makes and another frees then add up. Other allocators share already.
"""

import ctypes
import os

_M_ARENA_MAX = -8


def share_one() -> None:
    """Let threads that begin from now on allocate from one heap: call it before numpy and MLX begin theirs.

    No effect without glibc.
    """
    if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
