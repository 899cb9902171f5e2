"""One heap for all threads: what one thread frees another takes again, instead of every thread keeping its own.

And what was just freed stays for whoever asks next: given back to the system at once, every slice would be paid
for in page faults, which make threads wait for each other.

glibc gives each thread an arena whose freed blocks stay resident (mallopt(3), M_ARENA_MAX); slices of megabytes
that one thread makes and another frees then add up. Other allocators share already.
"""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The largest that glibc allows, and what may lie free at the heap's end.
OWN_MAPPING_BYTES = 32 << 20
FREE_BYTES = 64 << 20


def share_one() -> None:
    """Let threads that begin from now on allocate from one heap: call it before numpy and MLX begin theirs.

    No effect without glibc.
    """
    if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, FREE_BYTES)
