"""Which devices this machine has, and why each is or is not usable; raises nothing."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass, field
from importlib import metadata

#: Distributions that bring CuPy, with the CUDA major version that each is built for.
CUPY = {"cupy-cuda11x": 11, "cupy-cuda12x": 12, "cupy-cuda13x": 13, "cupy": None}


@dataclass(frozen=True)
class DeviceReport:
    """What was found about a device: is it usable, why (not), and what to do about it."""

    name: str
    usable: bool
    reason: str
    remedy: str = ""
    details: dict[str, str] = field(default_factory=dict)


def installed(name: str) -> str | None:
    """The version of an installed distribution, None if there is none.

    >>> installed("numpy") is not None, installed("no-such-distribution")
    (True, None)
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def driver() -> tuple[int, int] | str:
    """(CUDA version of the driver, number of GPUs); or, as text, why there is none.

    The version is as the driver tells it: 12040 means CUDA 12.4.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(library)
        status = cuda.cuInit(0)
        version, count = ctypes.c_int(), ctypes.c_int()
        cuda.cuDriverGetVersion(ctypes.byref(version))
        if status:
            return f"the NVIDIA driver does not start (cuInit returned {status})"
        cuda.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return f"no NVIDIA driver ({library} cannot be loaded)"
    return (version.value, count.value) if count.value else "the NVIDIA driver finds no GPU"


def probe() -> list[DeviceReport]:
    """Reports on the devices "cpu" and "cuda".

    >>> [report.name for report in probe()]
    ['cpu', 'cuda']
    """
    return [DeviceReport("cpu", True, "NumPy, with Numba kernels for large arrays"), _cuda()]


def _cuda() -> DeviceReport:
    """What there is of a GPU, its driver and the libraries for it."""
    found = driver()
    cupys = {name: version for name in CUPY if (version := installed(name))}
    details = {
        "driver": found if isinstance(found, str) else f"CUDA {_dotted(found[0])}, {found[1]} GPU",
        "CuPy": ", ".join(f"{name} {version}" for name, version in cupys.items()) or "none",
        "numba-cuda": installed("numba-cuda") or "none",
    }
    reason, remedy = "this version of chainrule computes on the CPU only", 'use the device "cpu"'
    if isinstance(found, str):
        reason = f"{found}; besides, {reason}"
    elif len(cupys) > 1:
        reason = f"two CuPys are installed, which break each other; besides, {reason}"
        remedy = f"pip uninstall {' '.join(cupys)}, and install one"
    elif not cupys:
        reason = f"CuPy is not installed; besides, {reason}"
    else:
        name = next(iter(cupys))
        built, driven = CUPY[name], found[0] // 1000
        if built is not None and built > driven:
            reason = f"{name} needs CUDA {built}, the driver has {driven}; besides, {reason}"
            remedy = f"update the driver, or install cupy-cuda{driven}x"
    return DeviceReport("cuda", False, reason, remedy, details)


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
