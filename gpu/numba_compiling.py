"""Compiles the kernels written for Numba without a GPU, and looks at what they have become.

Numba makes PTX, the assembly language of NVIDIA's virtual machine, with two libraries that need no
driver: `pip install 'numba-cuda>=0.20' nvidia-nvvm nvidia-cuda-nvrtc`.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

from .backends import numba_kernels
from .table import Entry

#: Compute capabilities of the GPUs that the kernels are compiled for: Turing, Ampere, Hopper,
#: Blackwell.
CAPABILITIES = ((7, 5), (8, 0), (9, 0), (10, 0))

_PACKAGES = "pip install 'numba-cuda>=0.20' nvidia-nvvm nvidia-cuda-nvrtc"


def missing() -> str | None:
    """What compiling lacks here, with the remedy; None if nothing.

    Looks for the libraries without a driver.
    """
    try:
        import numba.cuda  # noqa: F401
        from cuda.bindings import nvrtc, nvvm
    except ImportError as error:
        return f"compiling for Numba needs numba-cuda ({error}): {_PACKAGES}"
    for name, ask in (("NVVM", nvvm.version), ("NVRTC", nvrtc.nvrtcVersion)):
        try:
            ask()
        except Exception as error:  # each library, and each version, raises its own
            reason = str(error).partition("\n")[0]
            return f"compiling for Numba needs the library {name} ({reason}): {_PACKAGES}"
    return None


def variants(entry: Entry) -> list[frozenset[str]]:
    """Which optional arrays are left out: none of them, then all, if the entry has any."""
    optional = frozenset(each.name for each in entry.parameters if each.optional)
    return [frozenset(), optional] if optional else [frozenset()]


def signature(entry: Entry, real: str, left_out: frozenset[str] = frozenset()) -> tuple[Any, ...]:
    """Numba's types of an entry's arguments, as a launch gives them."""
    from numba.cuda import types
    from numba.cuda.np.numpy_support import from_dtype

    def type_of(parameter: Any) -> Any:
        if parameter.name in left_out:
            return types.none
        kind = from_dtype(parameter.dtype(real))
        return kind if parameter.access is None else types.Array(kind, 1, "C")

    return tuple(map(type_of, entry.parameters))


@functools.cache
def _kernels(family: str, real: str, capability: tuple[int, int]) -> dict[str, Any]:
    """The kernels of a family; for each capability others: they keep what was compiled."""
    from numba import cuda

    return numba_kernels(family, cuda, real)


def ptx(
    entry: Entry,
    real: str,
    capability: tuple[int, int] = (8, 0),
    left_out: frozenset[str] = frozenset(),
) -> str:
    """The PTX of an entry's kernel for "float32" or "float64" numbers.

    Raises Numba's errors for what is not in its language.
    """
    kernel = _kernels(entry.family, real, capability)[entry.name]
    return compiled(kernel, signature(entry, real, left_out), capability)


def compiled(kernel: Any, arguments: tuple[Any, ...], capability: tuple[int, int] = (8, 0)) -> str:
    """The PTX of a kernel that `cuda.jit` made, for arguments of those types of Numba."""
    from numba import cuda

    with _pretended(capability):
        text, _ = cuda.compile(
            kernel.py_func, arguments, device=False, abi="numba", cc=capability, output="ptx"
        )
    found: str = text
    return found


class _Pretended(NamedTuple):
    compute_capability: tuple[int, int]


@contextmanager
def _pretended(capability: tuple[int, int]) -> Iterator[None]:
    """Answers numba-cuda when it asks the GPU for what a device function is to be compiled."""
    from numba.cuda import dispatcher

    with _lock, mock.patch.object(dispatcher, "get_current_device", lambda: _Pretended(capability)):
        yield


_lock = threading.Lock()


def doubles(text: str) -> Iterator[str]:
    r"""The instructions of PTX that work on 64-bit floating numbers.

    >>> list(doubles("add.f32 %f1, %f2, %f3;\ncvt.f64.f32 %fd1, %f1; // wide"))
    ['cvt.f64.f32 %fd1, %f1;']
    """
    for line in _instructions(text):
        if re.search(r"\.f64\b", line.split()[0]):
            yield line


def local_memory(text: str) -> Iterator[str]:
    """The declarations of PTX that put a thread's own data into memory instead of registers."""
    return (line for line in _instructions(text) if line.startswith(".local"))


def shared_bytes(text: str) -> int:
    r"""How many bytes of shared memory the arrays that PTX declares take together.

    >>> shared_bytes(".shared .align 4 .b8 part[128];\n.shared .align 8 .b8 other[64];")
    192
    """
    pattern = r"\.shared\b.*?\.b(\d+)\s+[^\[;]+\[(\d+)\]"
    return sum(int(bits) // 8 * int(count) for bits, count in re.findall(pattern, text))


def _instructions(text: str) -> Iterator[str]:
    for line in text.splitlines():
        code = line.partition("//")[0].strip()
        if code:
            yield code


def fused_multiply_adds(text: str) -> int:
    """How many instructions of PTX multiply and add in one."""
    return sum(line.startswith("fma.") for line in _instructions(text))
