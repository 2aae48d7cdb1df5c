"""Looks for devices without using them: nothing here imports CuPy or numba-cuda, or ever raises.

The driver is asked through ctypes, packages through their metadata, so that the answer can be had
on a machine where something of the chain driver, CUDA libraries, CuPy is missing or broken.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from dataclasses import dataclass, field
from importlib import metadata

__all__ = ["DeviceReport", "probe"]

NOT_YET = "this version computes on the CPU only: its CUDA kernels are not there yet"

_DRIVER_LIBRARIES = {"win32": ("nvcuda.dll",), "linux": ("libcuda.so.1", "libcuda.so")}

# From the CUDA driver API: what cuInit answers, and what to do about it.
_NO_DEVICE = 100
_INIT_ERRORS = {
    3: ("the driver is not initialised", "load the kernel module (modprobe nvidia), or reboot"),
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
class DeviceReport:
    """What was found out about one device.

    Attributes:
        name: as in `device="cpu"`.
        usable: can this version compute on it here?
        reason: why, or why not.
        remedy: what to do; None where there is nothing to do.
        details: what was looked at and found, in words, by subject.
    """

    name: str
    usable: bool
    reason: str
    remedy: str | None = None
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: its CUDA version and GPUs, or what is wrong with it."""

    version: tuple[int, int] | None = None
    gpus: tuple[str, ...] = ()
    problem: str | None = None
    remedy: str | None = None


def probe() -> list[DeviceReport]:
    """What is known of each device: "cpu", then "cuda".

    >>> [(report.name, report.usable) for report in probe()]
    [('cpu', True), ('cuda', False)]
    """
    return [probe_cpu(), probe_cuda()]


def probe_cpu() -> DeviceReport:
    """The CPU, which is always usable."""
    return DeviceReport(
        "cpu",
        True,
        "NumPy and Numba compute here",
        details={"processor": f"{platform.machine()}, {os.cpu_count() or 'unknown'} logical cores"},
    )


def probe_cuda() -> DeviceReport:
    """The NVIDIA GPUs: driver, CuPy and numba-cuda, and whether they fit each other."""
    driver = probe_driver()
    details: dict[str, str] = {}
    problems: list[str] = []
    remedies = ['use device="cpu"']
    if driver.version is not None:
        details["driver"] = f"supports CUDA {driver.version[0]}.{driver.version[1]}"
        details["GPUs"] = "; ".join(driver.gpus) or "none"
    if driver.problem is not None:
        details.setdefault("driver", driver.problem)
        problems.append(driver.problem)
    if driver.remedy is not None:
        remedies.append(driver.remedy)

    cupy = installed(r"cupy(-cuda\d+x|-rocm-[\d-]+)?")
    details["cupy"] = _listed(cupy)
    numba_cuda = installed(r"numba-cuda")
    details["numba-cuda"] = _listed(numba_cuda)
    if len(cupy) > 1:
        problems.append(f"{' and '.join(cupy)} are installed, and overwrite each other's files")
        remedies.append(f"pip uninstall {' '.join(cupy)}, then install one extra again")
    elif cupy and driver.version is not None:
        (name,) = cupy
        needed = re.fullmatch(r"cupy-cuda(\d+)x", name)
        if name.startswith("cupy-rocm"):
            problems.append(f"{name} is CuPy for AMD's GPUs")
            remedies.append(f"pip uninstall {name}, then {_install(driver)}")
        elif needed and int(needed[1]) > driver.version[0]:
            problems.append(
                f"{name} needs a driver for CUDA {needed[1]}, this one supports CUDA "
                f"{driver.version[0]}.{driver.version[1]}"
            )
            remedies.append(
                f"update the NVIDIA driver, or pip uninstall {name}, then {_install(driver)}"
            )
    if driver.gpus and not (cupy and numba_cuda):
        missing = [
            name for name, found in (("CuPy", cupy), ("numba-cuda", numba_cuda)) if not found
        ]
        problems.append(f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not installed")
        remedies.append(f"for a later version: {_install(driver)}")
    return DeviceReport(
        "cuda", False, "; besides, ".join([NOT_YET, *problems]), "; ".join(remedies), details
    )


def _install(driver: Driver) -> str:
    """How to install what suits the driver; an older CUDA than the driver's runs on it too."""
    major = 13 if driver.version is None else min(driver.version[0], 13)
    if major < 12:
        return "update the NVIDIA driver to one for CUDA 12 or newer"
    return f"pip install 'chainrule[cuda{major}]'"


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items()) or "not installed"


def installed(pattern: str) -> dict[str, str]:
    """Versions of the installed distributions whose normalised name matches `pattern` wholly.

    >>> list(installed("numpy"))
    ['numpy']
    """
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]  # None if the metadata file is damaged
        normal = re.sub(r"[-_.]+", "-", name or "").lower()
        if re.fullmatch(pattern, normal):
            found.setdefault(normal, distribution.version)
    return dict(sorted(found.items()))


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


def _describe(library: ctypes.CDLL, index: int) -> str:
    """A GPU's name, compute capability and memory; where the driver refuses one, without it."""
    device = ctypes.c_int(0)
    if library.cuDeviceGet(ctypes.byref(device), index):
        return f"cuda:{index}"
    words = []
    name = ctypes.create_string_buffer(256)
    if library.cuDeviceGetName(name, len(name), device) == 0:
        words.append(name.value.decode("utf-8", "replace"))
    capability = []
    for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR):
        value = ctypes.c_int(0)
        if library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) == 0:
            capability.append(str(value.value))
    if len(capability) == 2:
        words.append(f"compute capability {'.'.join(capability)}")
    size = ctypes.c_size_t(0)
    if library.cuDeviceTotalMem_v2(ctypes.byref(size), device) == 0:
        words.append(f"{size.value / 2**30:.1f} GiB")
    return f"cuda:{index} {', '.join(words)}".rstrip()
