"""Threads that allocate and free in turn share one heap, so that their freed blocks do not add up."""

import platform
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from hubbot.engine import heaps
if sys.argv[1] == "shared":
    heaps.share_one()
libc = ctypes.CDLL(None, use_errno=True)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(4)
def allocate():
    block = libc.malloc(1000)
    barrier.wait()
    libc.free(ctypes.c_void_p(block))
threads = [threading.Thread(target=allocate) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators share already")
@pytest.mark.parametrize(("how", "shares"), [("shared", True), ("as it is", False)])
def test_threads_begun_afterwards_have_no_arenas_of_their_own(how: str, shares: bool) -> None:
    done = subprocess.run([sys.executable, "-c", ARENAS, how], capture_output=True, text=True, check=True)
    assert (done.stderr.count("Arena ") == 1) == shares
