"""Resident memory of this process, and its peak, as Linux counts them."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


def _status(name: str) -> int:
    """A line of /proc/self/status in bytes; OSError where there is no such file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no line {name}")


def resident_bytes() -> int:
    """Bytes in memory now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """Bytes in memory at most, since the process began or the peak was forgotten."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Lets the peak begin anew at what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


def trim() -> None:
    """Gives back what was freed, as far as the C library can."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return  # not glibc: what it keeps counts as before
