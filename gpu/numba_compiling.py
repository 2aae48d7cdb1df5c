"""Compiles the kernels written for Numba without a GPU, and looks at what they have become.

Numba makes PTX, NVIDIA's intermediate assembly, and nvJitLink makes machine code of it, as at run
time; both are libraries that need no driver.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from .backends import numba_kernels
from .inspection.judgement import KernelReport, faults
from .inspection.listings import Usage, ptx_doubles, read_usage
from .inspection.occupancy import LIMITS, occupancy
from .numba_loading import numba_cuda
from .table import Entry

_INSTALL = (
    "pip install 'chainrule[kernelcheck]', which brings numba-cuda with NVVM, NVRTC and nvJitLink; "
    "no GPU or driver is needed"
)
_SHARED = re.compile(r"used \d+ registers.*?(\d+) bytes smem")
_NONE: frozenset[str] = frozenset()


def missing() -> str | None:
    """What compiling lacks here, with the remedy; None if nothing."""
    try:
        import numba.cuda  # noqa: F401 (it comes with numba-cuda)
        from cuda.bindings import nvjitlink, nvrtc, nvvm
    except ImportError as error:
        return f"compiling for Numba needs numba-cuda ({error}): {_INSTALL}"
    libraries = {"NVVM": nvvm.version, "NVRTC": nvrtc.nvrtcVersion, "nvJitLink": nvjitlink.version}
    for name, ask in libraries.items():
        try:
            ask()
        except Exception as error:  # each version of cuda-bindings raises its own
            reason = str(error).partition("\n")[0]
            return f"compiling for Numba needs the library {name} ({reason}): {_INSTALL}"
    return None


def variants(entry: Entry) -> list[frozenset[str]]:
    """Which optional arrays a launch leaves out: none; and all, if the entry has any."""
    optional = frozenset(each.name for each in entry.parameters if each.optional)
    return [_NONE, optional] if optional else [_NONE]


def signature(entry: Entry, real: str, left_out: frozenset[str] = _NONE) -> tuple[Any, ...]:
    """Numba's types of an entry's arguments, as a launch gives them."""
    types: Any = importlib.import_module("numba.cuda.types")
    from numba.cuda.np.numpy_support import from_dtype

    def type_of(parameter: Any) -> Any:
        if parameter.name in left_out:
            return types.none
        kind = from_dtype(parameter.dtype(real))
        return kind if parameter.access is None else types.Array(kind, 1, "C")

    return tuple(map(type_of, entry.parameters))


@functools.cache
def _kernels(family: str, real: str, architecture: int) -> dict[str, Any]:
    """The kernels of a family; others for each architecture, as they keep what was compiled."""
    return numba_kernels(family, numba_cuda(), real)


def ptx(entry: Entry, real: str, architecture: int = 80, left_out: frozenset[str] = _NONE) -> str:
    """The PTX of an entry's kernel for "float32" or "float64" numbers.

    Arguments: `architecture`, 80 for compute capability 8.0; `left_out`, the names of optional
    arrays that are None.

    Raises Numba's errors for what is not in its language.
    """
    kernel = _kernels(entry.family, real, architecture)[entry.name]
    return compiled(kernel, signature(entry, real, left_out), architecture)


def compiled(kernel: Any, arguments: tuple[Any, ...], architecture: int = 80) -> str:
    """The PTX of a kernel that `cuda.jit` made, for arguments of those types of Numba."""
    capability = divmod(architecture, 10)
    with _pretended(capability):
        text, _ = numba_cuda().compile(
            kernel.py_func,
            arguments,
            device=False,
            abi="numba",
            cc=capability,
            lineinfo=True,
            output="ptx",
        )
    found: str = text
    return found


@contextmanager
def _pretended(capability: tuple[int, int]) -> Iterator[None]:
    """Answers for the GPU when numba-cuda asks what a device function is to be compiled for."""
    from numba.cuda import dispatcher

    device = SimpleNamespace(compute_capability=capability)
    with _lock, mock.patch.object(dispatcher, "get_current_device", return_value=device):
        yield


_lock = threading.Lock()


def machine_code(text: str, architecture: int = 80) -> tuple[str, bytes]:
    """What nvJitLink tells of PTX that it makes machine code of, and that code, a cubin.

    Raises nvJitLink's error, with its log, for PTX that it refuses.
    """
    from cuda.bindings import nvjitlink

    code = text.encode()
    handle = nvjitlink.create(3, [f"-arch=sm_{architecture}", "-verbose", "-Xptxas=-v"])
    try:
        try:
            nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "kernel.ptx")
            nvjitlink.complete(handle)
        except nvjitlink.nvJitLinkError as error:
            log = bytearray(nvjitlink.get_error_log_size(handle))
            nvjitlink.get_error_log(handle, log)
            told = log.rstrip(b"\0").decode("utf-8", "replace")
            raise RuntimeError(f"nvJitLink, sm_{architecture}: {told.strip()}") from error
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
    finally:
        nvjitlink.destroy(handle)
    return log.rstrip(b"\0").decode("utf-8", "replace"), bytes(cubin)


def inspect_entry(
    entry: Entry, real: str, architecture: int = 80, left_out: frozenset[str] = _NONE
) -> KernelReport:
    """Reports what an entry's kernel has become; arguments as of `ptx`."""
    text = ptx(entry, real, architecture, left_out)
    return inspect_ptx(text, entry.instance(real), real, architecture, entry.block)


def inspect_ptx(
    text: str, kernel: str, real: str = "float32", architecture: int = 80, block: int = 0
) -> KernelReport:
    """Reports what a kernel in PTX has become, in the words that are used for CUDA C.

    Arguments: `kernel`, its name in the report; `block`, how many threads a block has.

    A float32 kernel should have no arithmetic on doubles: Numba makes doubles of a literal with a
    decimal point, and of float32 with int64.
    """
    from cuda.bindings import nvjitlink

    log, _ = machine_code(text, architecture)
    used = read_usage(log).values()
    shared = _SHARED.search(log)
    usage = Usage(
        registers=max(each.registers for each in used),
        shared=int(shared[1]) if shared else 0,
        stack=max(each.stack for each in used),
        spill_stores=sum(each.spill_stores for each in used),
        spill_loads=sum(each.spill_loads for each in used),
    )
    doubles: list[str] = []
    if real == "float32":
        doubles = [each for told in ptx_doubles(text).values() for each in told]
    held = None
    if block and architecture in LIMITS:
        held = occupancy(architecture, block, usage.registers, usage.shared)
    version = ".".join(map(str, nvjitlink.version()))
    return KernelReport(
        kernel,
        architecture,
        f"Numba, nvJitLink {version}",
        usage,
        block,
        held,
        doubles,
        faults(usage, held, doubles),
    )
