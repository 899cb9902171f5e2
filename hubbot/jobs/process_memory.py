"""The memory of a process that is not released before its end.

Pages of mapped files are not counted: the system takes those back by itself, and a conversion maps whole
checkpoints. It only measures; child.py acts.
"""

import ctypes
import sys
from pathlib import Path

# struct rusage_info_v0 (macOS, sys/resource.h): ri_phys_footprint follows a 16-byte uuid and seven u64.
_FOOTPRINT_AT = 16 + 7 * 8
_RUSAGE_INFO_V0 = 0
# The kernel fills the struct of the asked version; v0 is 96 bytes.
_BUFFER_BYTES = 512


def footprint(pid: int) -> int | None:
    """Return the bytes that a process of this user holds, or None where the system does not say."""
    return _darwin(pid) if sys.platform == "darwin" else _linux(pid)


def _linux(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    # proc_pid_status(5): sizes in kB; a zombie has none of them.
    parts = [fields[name].split()[0] for name in ("RssAnon", "RssShmem", "VmSwap") if name in fields]
    return sum(map(int, parts)) * 1024 if parts else None


def _darwin(pid: int) -> int | None:
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    # Metal's buffers are in the footprint, which is what the memory limit of macOS looks at too.
    if ctypes.CDLL(None).proc_pid_rusage(pid, _RUSAGE_INFO_V0, buffer) != 0:
        return None
    return int.from_bytes(buffer.raw[_FOOTPRINT_AT : _FOOTPRINT_AT + 8], sys.byteorder)
