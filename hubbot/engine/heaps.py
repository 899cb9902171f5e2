"""Make glibc allocate from one heap for all threads, and keep what was just freed for the next slice.

By default glibc gives each thread an arena whose freed blocks stay resident (mallopt(3), M_ARENA_MAX), so slices
that one thread makes and another frees add up; and large blocks go back to the system at once, so that every
slice is paid for in page faults. Other allocators share already.
"""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The largest threshold that glibc allows, and how much may stay free at the end of the heap.
OWN_MAPPING_BYTES = 32 << 20
FREE_BYTES = 64 << 20


def share_one() -> None:
    """Make threads that begin later allocate from one heap; to be called before numpy and MLX start threads.

    Without glibc it does nothing.
    """
    if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, FREE_BYTES)
