"""Asks the NVIDIA driver what it supports and which GPUs it sees, through ctypes alone.

Nothing here imports CuPy or numba-cuda, or raises: the answer can be had on a machine where
something else of the chain is missing or broken.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from dataclasses import dataclass

_DRIVER_LIBRARIES = {"win32": ("nvcuda.dll",), "linux": ("libcuda.so.1", "libcuda.so")}

# From the CUDA driver API: what cuInit answers, and what to do about it.
_NO_DEVICE = 100
_INIT_ERRORS = {
    3: (
        "the driver is not initialised",
        "in a forked process, start it with multiprocessing's method 'spawn' instead; else load "
        "the kernel module (modprobe nvidia), or reboot",
    ),
    34: ("the library found is a stub, not the driver", "take CUDA's stubs folder off the path"),
    _NO_DEVICE: (
        "the driver sees no NVIDIA GPU",
        "check nvidia-smi; in a container, pass the GPUs through",
    ),
    803: ("kernel module and driver library differ in version", "reboot after the driver's update"),
    804: ("this GPU does not allow a newer CUDA than its driver", "update the NVIDIA driver"),
}
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number, and what the driver tells of it.

    Attributes: `name`; `capability`, the compute capability, (9, 0) for 9.0; `memory` in bytes;
    each None where the driver does not tell.
    """

    index: int
    name: str | None = None
    capability: tuple[int, int] | None = None
    memory: int | None = None

    def __str__(self) -> str:
        words = [] if self.name is None else [self.name]
        if self.capability is not None:
            words.append(f"compute capability {self.capability[0]}.{self.capability[1]}")
        if self.memory is not None:
            words.append(f"{self.memory / 2**30:.1f} GiB")
        return f"cuda:{self.index} {', '.join(words)}".rstrip()


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: its CUDA version and GPUs, or what is wrong with it."""

    version: tuple[int, int] | None = None
    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None
    remedy: str | None = None


def load_driver() -> ctypes.CDLL | None:
    """The CUDA driver's library, or None where it is not found."""
    for name in _DRIVER_LIBRARIES.get(sys.platform, ()):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def probe_driver() -> Driver:
    """Asks the NVIDIA driver for its version and GPUs."""
    if sys.platform not in _DRIVER_LIBRARIES:
        return Driver(problem=f"there is no NVIDIA driver for {platform.system()}")
    library = load_driver()
    if library is None:
        names = " or ".join(_DRIVER_LIBRARIES[sys.platform])
        return Driver(
            problem=f"no NVIDIA driver was found ({names})",
            remedy="on a machine with an NVIDIA GPU, install NVIDIA's driver",
        )
    try:
        return _ask(library)
    except (AttributeError, OSError, ValueError) as error:
        return Driver(
            problem=f"the NVIDIA driver does not answer as expected ({error})",
            remedy="reinstall NVIDIA's driver",
        )


def _ask(library: ctypes.CDLL) -> Driver:
    number = ctypes.c_int(0)
    version = None
    if library.cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value > 0:
        version = (number.value // 1000, number.value % 1000 // 10)
    error = library.cuInit(0)
    if error:
        problem, remedy = _INIT_ERRORS.get(error, ("cuInit failed", "check nvidia-smi"))
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if error == _NO_DEVICE and visible is not None:
            remedy = f"CUDA_VISIBLE_DEVICES={visible!r} may hide it: unset the variable"
        return Driver(version, problem=f"{problem} (CUDA error {error})", remedy=remedy)
    count = ctypes.c_int(0)
    error = library.cuDeviceGetCount(ctypes.byref(count))
    if error or count.value < 1:
        problem, remedy = _INIT_ERRORS[_NO_DEVICE]
        return Driver(version, problem=f"{problem} (CUDA error {error})", remedy=remedy)
    return Driver(version, tuple(_describe(library, index) for index in range(count.value)))


def _describe(library: ctypes.CDLL, index: int) -> Gpu:
    """A GPU's name, compute capability and memory; where the driver refuses one, without it."""
    device = ctypes.c_int(0)
    if library.cuDeviceGet(ctypes.byref(device), index):
        return Gpu(index)
    buffer = ctypes.create_string_buffer(256)
    failed = library.cuDeviceGetName(buffer, len(buffer), device)
    name = None if failed else buffer.value.decode("utf-8", "replace")
    capability = []
    for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR):
        value = ctypes.c_int(0)
        if library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) == 0:
            capability.append(value.value)
    size = ctypes.c_size_t(0)
    failed = library.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    whole = (capability[0], capability[1]) if len(capability) == 2 else None
    return Gpu(index, name, whole, None if failed else size.value)
