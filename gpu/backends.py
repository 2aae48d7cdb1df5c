"""What runs a checked launch: CUDA C or Numba's kernels, on the GPU or in the emulator.

Modules are compiled at their first launch and kept: those of CUDA C also on disk.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from chainrule.engine.errors import DeviceError

from .numba_loading import numba_cuda
from .sources import source
from .table import INSTANCES, Entry, entries


class Backend(Protocol):
    """A way to run kernels on one device."""

    def launch(
        self,
        entry: Entry,
        real: str,
        grid: tuple[int, int, int],
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """Runs the instance of an entry for `real` numbers; all has been checked and cast."""


def names(family: str) -> list[str]:
    """The entry points of a family's module."""
    return [each.instance(real) for each in entries(family) for real in INSTANCES]


def written(entry: Entry) -> list[int]:
    """The positions of the arrays of which an entry writes every element, and reads none."""
    return [i for i, each in enumerate(entry.parameters) if each.access == "writes"]


class RawCuda:
    """CUDA C on the GPU, compiled by NVRTC for the GPU at hand, and launched by CuPy."""

    def __init__(self) -> None:
        self._kernels: dict[str, Any] = {}

    def launch(
        self,
        entry: Entry,
        real: str,
        grid: tuple[int, int, int],
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """See `Backend`."""
        name = entry.instance(real)
        kernel = self._kernels.get(name)
        if kernel is None:
            kernel = self._kernels[name] = self._module(entry.family).get_function(name)
        # CuPy takes None for a null pointer only as a number of a pointer's size.
        given = tuple([np.uintp(0) if each is None else each for each in arguments])
        kernel(grid, (entry.block, 1, 1), given, shared_mem=shared)

    @functools.cache  # noqa: B019 (there is one backend for a process)
    def _module(self, family: str) -> Any:
        from .cuda_modules import load

        return load(family)


class RawEmulated:
    """The same CUDA C, compiled by the host's C++ compiler and run on the CPU."""

    def launch(
        self,
        entry: Entry,
        real: str,
        grid: tuple[int, int, int],
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """See `Backend`."""
        from .emulator.conduct import current

        schedule, checked = current()
        module = self._module(entry.family, checked)
        module.launch(
            entry.instance(real),
            grid,
            entry.block,
            arguments,
            shared=shared,
            schedule=schedule,
            writes=written(entry),
        )

    @functools.cache  # noqa: B019 (there is one backend for a process)
    def _module(self, family: str, checked: bool) -> Any:
        from .emulator import Module

        return Module(source(family), names(family), checked=checked)


class NumbaEmulated:
    """Numba's kernels as plain Python functions, run by the emulator."""

    def launch(
        self,
        entry: Entry,
        real: str,
        grid: tuple[int, int, int],
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """See `Backend`."""
        from .emulator.conduct import current

        schedule, checked = current()
        flat = [each.reshape(-1) if isinstance(each, np.ndarray) else each for each in arguments]
        kernel = self._kernels(entry.family, real)[entry.name]
        kernel.launch(
            grid,
            entry.block,
            flat,
            shared=shared,
            schedule=schedule,
            checked=checked,
            writes=written(entry),
        )

    @functools.cache  # noqa: B019 (there is one backend for a process)
    def _kernels(self, family: str, real: str) -> dict[str, Any]:
        from .emulator.numba_language import cuda

        return numba_kernels(family, cuda, real)


class NullPointers:
    """Tells Numba how to pass None, for an optional array: by itself it compiles, and refuses."""

    def prepare_args(self, kind: Any, value: Any, **others: Any) -> tuple[Any, Any]:
        """Type and value of an argument as they are passed to the GPU."""
        from numba import types

        return (types.uint64, 0) if value is None else (kind, value)


class NumbaCuda:
    """Numba's kernels on the GPU, compiled by Numba."""

    def __init__(self) -> None:
        self._compiled: set[tuple[str, str]] = set()

    def launch(
        self,
        entry: Entry,
        real: str,
        grid: tuple[int, int, int],
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """See `Backend`.

        Raises DeviceError where Numba's packages do not fit one another, or the GPU.
        """
        if (entry.name, real) in self._compiled:
            self._launch(entry, real, grid, shared, arguments)
            return
        try:
            self._launch(entry, real, grid, shared, arguments)
        except MemoryError:
            raise
        except Exception as error:  # Numba's own, and whatever a package that does not fit raises
            raise _unusable(entry, error) from error
        self._compiled.add((entry.name, real))

    def _launch(self, entry: Entry, real: str, grid: Any, shared: int, arguments: Any) -> None:
        import cupy

        cuda, stream = numba_cuda(), cupy.cuda.get_current_stream().ptr
        configured = self._configured(entry, real, grid, stream, shared)
        flat = [
            cuda.as_cuda_array(each.reshape(-1), sync=False)
            if isinstance(each, cupy.ndarray)
            else each
            for each in arguments
        ]
        configured(*flat)

    @functools.lru_cache(maxsize=1024)  # noqa: B019 (there is one backend for a process)
    def _configured(
        self, entry: Entry, real: str, grid: tuple[int, int, int], stream: int, shared: int
    ) -> Any:
        """A kernel with a grid: kept, as programs launch the same ones again and again."""
        kernel = self._kernels(entry.family, real)[entry.name]
        # The default stream is 0 for both.
        of_numba = numba_cuda().external_stream(stream) if stream else 0
        with warnings.catch_warnings():  # a small array has few blocks; Numba may tell it in bold
            warnings.filterwarnings("ignore", ".*Grid size .* will likely result in GPU under-util")
            return kernel[grid, entry.block, of_numba, shared]

    @functools.cache  # noqa: B019 (there is one backend for a process)
    def _kernels(self, family: str, real: str) -> dict[str, Any]:
        made = numba_kernels(family, numba_cuda(), real)
        for kernel in made.values():
            kernel.extensions.append(NullPointers())
        return made


def _unusable(entry: Entry, error: Exception) -> DeviceError:
    """The error where Numba cannot compile or launch a kernel."""
    from .probing import installed

    found = [f"{name} {version}" for name, version in installed("numba|numba-cuda|numpy").items()]
    first = (str(error).strip().splitlines() or [""])[0]
    return DeviceError(
        f"kernels('numba'): Numba cannot run {entry.name!r} here: {type(error).__name__}: {first}; "
        f"there are {', '.join(found)}, which may not fit one another: pip install --upgrade numba "
        "numba-cuda, or take an older NumPy; cr.kernels('raw') does without Numba"
    )


def numba_kernels(family: str, cuda: Any, real: str) -> dict[str, Any]:
    """The kernels of a family in Numba's language, for "float32" or "float64" numbers."""
    import importlib

    module = importlib.import_module(f"{__package__}.numba_kernels.{family}")
    found: dict[str, Any] = module.kernels(cuda, np.dtype(real).type)
    return found
