"""Which devices can be used here, and if not, why and what to do.

The driver is asked through ctypes and packages through their metadata: nothing here imports CuPy or
numba-cuda, except `require`, which is called when they are about to be used.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass, field, replace
from importlib import metadata

from chainrule.engine.errors import DeviceError

from .driver import Driver, probe_driver
from .trial import try_cupy, try_cupy_apart

__all__ = ["DeviceReport", "probe", "require", "usable"]

#: The least compute capability that CUDA 13 still compiles for; CUDA 12 goes back to 5.0.
_LEAST_OF_CUDA_13 = (7, 5)


@dataclass(frozen=True)
class DeviceReport:
    """What was found out about one device.

    Attributes:
        name: as in `device="cpu"`.
        usable: can one compute on it here?
        reason: why, or why not.
        remedy: what to do; None where there is nothing to do.
        details: what was looked at and found, in words, by subject.
        lacks: kernel sets that cannot be used on it, each with the reason and what to do.
    """

    name: str
    usable: bool
    reason: str
    remedy: str | None = None
    details: dict[str, str] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)


def probe(thorough: bool = False) -> list[DeviceReport]:
    """What is known of each device: "cpu", "cuda", "emulated".

    With `thorough`, where all that is needed for "cuda" seems to be there, it is tried, in a
    process of its own.

    >>> [report.name for report in probe()]
    ['cpu', 'cuda', 'emulated']
    """
    cuda = probe_cuda()
    if thorough and cuda.usable:
        failure = try_cupy_apart(_install(probe_driver()))
        if failure is not None:
            cuda = replace(cuda, usable=False, reason=failure.reason, remedy=failure.remedy)
    return [probe_cpu(), cuda, probe_emulated()]


def usable(name: str) -> bool:
    """Can one compute on the device of that name here, as far as can be told without trying?

    >>> usable("cpu")
    True
    """
    return _report(name).usable


def require(name: str, kernel_set: str | None = None) -> None:
    """Makes sure that one can compute on a device, with a kernel set if one is named.

    For "cuda" this imports CuPy and runs a first kernel.

    Raises DeviceError, with the reason and what to do.

    >>> require("cpu")
    """
    report = _report(name)
    if report.usable and report.name == "cuda":
        failure = try_cupy(_install(probe_driver()))
        if failure is not None:
            report = replace(report, usable=False, reason=failure.reason, remedy=failure.remedy)
    if not report.usable:
        remedy = f"; {report.remedy}" if report.remedy else ""
        raise DeviceError(
            f"device: {name!r} cannot be used here: {report.reason}{remedy} (chainrule doctor "
            "tells more)"
        )
    if kernel_set in report.lacks:
        raise DeviceError(
            f"device: {name!r} has no kernel set {kernel_set!r} here: {report.lacks[kernel_set]}"
        )


def _report(name: str) -> DeviceReport:
    kind = name.partition(":")[0]
    probes = {"cpu": probe_cpu, "cuda": probe_cuda, "emulated": probe_emulated}
    if kind not in probes:
        raise DeviceError(f"device: {name!r} is unknown; known: {', '.join(map(repr, probes))}")
    return probes[kind]()


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
    cupy, numba_cuda = installed(r"cupy(-cuda\d+x|-rocm-[\d-]+)?"), installed(r"numba-cuda")
    details: dict[str, str] = {}
    if driver.version is not None:
        details["driver"] = f"supports CUDA {driver.version[0]}.{driver.version[1]}"
        details["GPUs"] = "; ".join(map(str, driver.gpus)) or "none"
    if driver.problem is not None:
        details.setdefault("driver", driver.problem)
    details["cupy"], details["numba-cuda"] = _listed(cupy), _listed(numba_cuda)

    faults = []
    if driver.problem is not None:
        faults.append((driver.problem, driver.remedy))
    faults += _faults_of_cupy(driver, cupy)
    lacks = {}
    if not numba_cuda:
        lacks["numba"] = f"numba-cuda is not installed: {_install(driver)}"
    if not faults:
        reason = f"{_listed(cupy)} computes on {', '.join(str(gpu) for gpu in driver.gpus)}"
        return DeviceReport("cuda", True, reason, None, details, lacks)
    reasons = [reason for reason, _ in faults]
    remedies = dict.fromkeys(remedy for _, remedy in faults if remedy is not None)
    if driver.problem is not None:
        remedies['device="emulated" runs the same kernels on the CPU, to learn and to test'] = None
    return DeviceReport("cuda", False, "; ".join(reasons), "; ".join(remedies), details, lacks)


def _faults_of_cupy(driver: Driver, cupy: dict[str, str]) -> list[tuple[str, str | None]]:
    """What is wrong with the CuPy that is installed, and what to do."""
    if len(cupy) > 1:
        remove = f"pip uninstall {' '.join(cupy)}"
        reason = f"{' and '.join(cupy)} are installed, and overwrite each other's files"
        return [(reason, f"{remove}, then {_install(driver)}")]
    if not cupy:
        # Without a driver nothing would be gained by it.
        return [("CuPy is not installed", _install(driver))] if driver.problem is None else []
    (name,) = cupy
    remove = f"pip uninstall {name}, then {_install(driver)}"
    if name.startswith("cupy-rocm"):
        return [(f"{name} is CuPy for AMD's GPUs", remove)]
    needed = re.fullmatch(r"cupy-cuda(\d+)x", name)
    if needed is None or driver.version is None:
        return []
    if int(needed[1]) > driver.version[0]:
        major, minor = driver.version
        reason = f"{name} needs a driver for CUDA {needed[1]}, this one supports {major}.{minor}"
        return [(reason, f"update the NVIDIA driver, or {remove}")]
    old = [gpu for gpu in driver.gpus if gpu.capability and gpu.capability < _LEAST_OF_CUDA_13]
    if int(needed[1]) >= 13 and old and len(old) == len(driver.gpus):
        reason = f"CUDA 13 does not compile for {old[0]}"
        return [(reason, f"pip uninstall {name}, then pip install 'chainrule[cuda12]'")]
    return []


def _install(driver: Driver) -> str:
    """How to install what suits the driver; an older CUDA than the driver's runs on it too."""
    major = 13 if driver.version is None else min(driver.version[0], 13)
    if major < 12:
        return "update the NVIDIA driver to one for CUDA 12 or newer"
    known = [gpu.capability for gpu in driver.gpus if gpu.capability is not None]
    if known and max(known) < _LEAST_OF_CUDA_13:
        major = 12
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


def probe_emulated() -> DeviceReport:
    """The emulator, which runs the GPU's kernels on the CPU."""
    from .emulator.compiling import find_compiler
    from .emulator.reports import EmulatorError

    lacks = {}
    if importlib.util.find_spec("greenlet") is None:
        lacks["numba"] = "greenlet is not installed: pip install greenlet"
    details = {"C++ compiler": "not found", "greenlet": _listed(installed("greenlet"))}
    try:
        details["C++ compiler"] = " ".join(find_compiler())
    except EmulatorError:
        chosen = os.environ.get("CXX", "").strip()
        reason = f"CXX={chosen!r} is not found" if chosen else "neither g++ nor clang++ is found"
        reason += "; kernels in CUDA C are compiled with the host's C++ compiler"
        remedy = "set CXX to a C++ compiler, or not at all" if chosen else _install_compiler()
        return DeviceReport("emulated", False, reason, remedy, details, lacks)
    reason = "the GPU's kernels run here on the CPU, to learn and to test: slowly"
    return DeviceReport("emulated", True, reason, None, details, lacks)


def _install_compiler() -> str:
    """How to get a C++ compiler on this system."""
    if sys.platform == "darwin":
        return "xcode-select --install"
    if sys.platform == "win32":
        return "use the Windows Subsystem for Linux, and there: sudo apt install g++"
    for manager, package in (("apt", "g++"), ("dnf", "gcc-c++"), ("pacman", "gcc"), ("apk", "g++")):
        if shutil.which(manager) is not None:
            install = {"pacman": "-S", "apk": "add"}.get(manager, "install")
            return f"sudo {manager} {install} {package}"
    return "install g++ (conda: conda install -c conda-forge cxx-compiler)"
