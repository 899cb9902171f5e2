"""Memory as the operating system counts it: of the machine, and the peak of this process. It only asks."""

import os
import resource
import sys
from pathlib import Path


def physical_bytes() -> int | None:
    """Return the machine's memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


_STATUS = Path("/proc/self/status")


def peak_resident_bytes() -> int:
    """Return the peak resident memory of this process in bytes.

    Linux's ru_maxrss survives exec, so a child would report what its parent had when it forked; VmHWM does not.
    """
    if _STATUS.is_file():
        line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Let the peak begin anew where the system can: on Linux (proc_pid_clear_refs(5), value 5)."""
    try:
        (_STATUS.parent / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
