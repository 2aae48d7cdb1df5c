"""Launches kernels of a compiled module: arguments cast to the kernel's own C++ types, then run."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .casting import cast
from .checking import Arena, Given, Variable, named, resolve, shared_of, variables, watched_list
from .compiling import compile_module, expand
from .conduct import current, seed_of
from .reports import EmulatorError, Report, faulty

#: Limits of every device since compute capability 3.
MOST_THREADS, MOST_BLOCK, MOST_SHARED = 1024, (1024, 1024, 64), 48 * 1024
MOST_GRID = (2**31 - 1, 65535, 65535)

#: The names of the orders, in the runtime's numbering.
_ORDERS = ("forward", "reverse", "shuffle")


class _Parameter(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_char),
        ("pointee", ctypes.c_char),
        ("constant", ctypes.c_ubyte),
        ("vector", ctypes.c_ubyte),
        ("size", ctypes.c_int32),
    ]


class _Kernel(ctypes.Structure):
    _fields_ = [
        ("call", ctypes.c_void_p),
        ("function", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(_Parameter)),
        ("count", ctypes.c_int32),
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("shared", ctypes.c_uint32),
        ("order", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("blocks", ctypes.c_void_p),
        ("block_count", ctypes.c_int64),
        ("interruptible", ctypes.c_int32),
    ]


#: For loading libraries, and for launches: while one runs, the process's signals are its own.
_lock = threading.Lock()


def _unlock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a child has no thread that would give the lock back
    os.register_at_fork(after_in_child=_unlock)


class Module:
    """Kernels compiled from one text of CUDA C++, to be launched on the CPU.

    Arguments: `source`, the text; `kernels`, the names of its `__global__` functions (no templates,
    no overloads); `checked`, whether every launch is checked. It is compiled at once, or taken from
    the cache; an EmulatorError holds what the compiler said. Launches from several threads wait for
    each other.
    """

    def __init__(self, source: str, kernels: Sequence[str], checked: bool = False) -> None:
        self.source = source
        self.kernels = tuple(kernels)
        self.checked = checked
        self._libraries: dict[bool, ctypes.CDLL] = {}
        self._variables: list[Variable] = []
        self._described: dict[tuple[str, bool], tuple[Any, list[Any]]] = {}
        self._library(checked or current().checked)

    def _library(self, checked: bool) -> ctypes.CDLL:
        if checked not in self._libraries:
            path = compile_module(self.source, self.kernels, checked=checked)
            with _lock:
                library = ctypes.CDLL(str(path))
                library.chainrule_reports.restype = ctypes.c_char_p
                if checked:
                    self._variables = variables(path)
                self._libraries[checked] = library
        return self._libraries[checked]

    def _kernel(self, name: str, checked: bool) -> tuple[Any, list[Any]]:
        if (name, checked) not in self._described:
            if name not in self.kernels:
                raise EmulatorError(f"{name}: the module has {', '.join(self.kernels)}")
            kernel = _Kernel.in_dll(self._library(checked), f"chainrule_kernel_{name}")
            parameters = [kernel.parameters[i] for i in range(kernel.count)]
            self._described[name, checked] = kernel, parameters
        return self._described[name, checked]

    def launch(
        self,
        name: str,
        grid: int | Sequence[int],
        block: int | Sequence[int],
        args: Sequence[Any],
        shared: int = 0,
        schedule: str | None = None,
        blocks: Iterable[int] | None = None,
        checked: bool | None = None,
        writes: Iterable[int] = (),
    ) -> None:
        """Run one kernel.

        Arguments: `grid`, `block`, up to three integers; `args`, for each parameter an array (C
        contiguous, of the pointer's dtype), None (a null pointer) or a number, cast to the
        parameter's type; `shared`, bytes of dynamic shared memory; `schedule` and `checked`, as
        the functions of these names set them; `blocks`, the linear numbers of the blocks to run,
        where not all of the grid is wanted; `writes`, positions of the arrays of which every
        element is to be written, and none read before: checked, too.

        Raises EmulatorError for arguments that do not fit, and for what goes wrong in the run.
        """
        checked = self.checked or current().checked if checked is None else checked
        library = self._library(checked)
        kernel, parameters = self._kernel(name, checked)
        grid, block = _dimensions(name, "grid", grid), _dimensions(name, "block", block)
        _check_limits(name, grid, block, shared)
        if len(args) != len(parameters):
            raise EmulatorError(f"{name}: takes {len(parameters)} arguments, got {len(args)}")
        values = [cast(name, i, p, args[i]) for i, p in enumerate(parameters)]
        static = shared_of(self._variables, name) if checked else 0
        if static + shared > MOST_SHARED:
            raise EmulatorError(
                f"{name}: {static} bytes of __shared__ variables and {shared} of dynamic shared "
                f"memory, where a block has {MOST_SHARED} together"
            )
        if 0 in grid:
            raise EmulatorError(f"{name}: the grid {grid} has no blocks")
        arena = _arena(parameters, args, values, frozenset(writes)) if checked else None
        pointers = (ctypes.c_void_p * (len(values) + 1))(*map(ctypes.addressof, values))
        schedule = current().schedule if schedule is None else schedule
        seed, order = seed_of(schedule) or 0, _ORDERS.index(schedule.partition(":")[0])
        launch = _Launch(grid, block, shared, order, seed, None, 0, _interruptible())
        if blocks is not None:
            chosen = _chosen(name, grid, blocks)
            launch.blocks, launch.block_count = chosen.ctypes.data, chosen.size
        with _lock:
            if arena is not None:
                watched = watched_list(arena, self._variables)
                if not library.chainrule_watch(watched, len(watched), shared):
                    raise EmulatorError(f"{name}: no memory to check arrays of this size")
            try:
                pointer = ctypes.byref(kernel), pointers, ctypes.byref(launch)
                faults = library.chainrule_launch(*pointer)
                text = library.chainrule_reports().decode() if faults else ""
            except KeyboardInterrupt:  # it is raised when the launch has returned
                faults, text = -1, library.chainrule_reports().decode()
        if faults < 0:
            places = resolve(_parsed(text), Path(library._name))
            where = [str(each) for each in places if each.kind == "interrupted" and each.line]
            raise KeyboardInterrupt(", ".join([name, *where]))
        if arena is not None:
            arena.copy_back()
        if faults:
            raise faulty(name, resolve(_parsed(text), Path(library._name)))


def _interruptible() -> bool:
    """May Ctrl-C end a launch: is it left to Python, which then raises KeyboardInterrupt?"""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _arena(
    parameters: Sequence[Any], args: Sequence[Any], values: Sequence[Any], writes: frozenset[int]
) -> Arena:
    """Copies of the arrays, to which the pointers among `values` are turned."""
    arrays = [
        Given(named(i, args[i]), args[i], not parameter.constant, i in writes)
        for i, parameter in enumerate(parameters)
        if parameter.kind == b"p" and values[i].value is not None
    ]
    arena = Arena(arrays)
    for parameter, value in zip(parameters, values, strict=True):
        if parameter.kind == b"p" and value.value is not None:
            value.value = arena.address(value.value)
    return arena


def _parsed(text: str) -> list[Report]:
    """The reports that the runtime wrote, one a line, fields separated by tabs."""
    reports = []
    for each in text.splitlines():
        kind, file, line, block, thread, what = each.split("\t", 5)
        b, t = ([int(i) for i in place.split(",")] for place in (block, thread))
        reports.append(Report(kind, file, int(line), (b[0], b[1], b[2]), (t[0], t[1], t[2]), what))
    return reports


def run(
    source: str | Path,
    kernel: str,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    args: Sequence[Any],
    schedule: str | None = None,
    checked: bool | None = None,
    shared: int = 0,
    blocks: Iterable[int] | None = None,
) -> None:
    """Compile one kernel of CUDA C++ and run it on the CPU.

    Arguments: `source`, the text, or the path of a `.cu` file; the others as in `Module.launch`.

    >>> import numpy as np
    >>> x = np.arange(5, dtype=np.float32)
    >>> run('''
    ...     __global__ void twice(float* x, int n) {
    ...         int i = blockIdx.x * blockDim.x + threadIdx.x;
    ...         if (i < n) x[i] = 2 * x[i];
    ...     }
    ... ''', "twice", grid=2, block=4, args=[x, x.size])  # doctest: +SKIP
    >>> x  # doctest: +SKIP
    array([0., 2., 4., 6., 8.], dtype=float32)
    """
    path = Path(source) if isinstance(source, Path) or str(source).endswith(".cu") else None
    text = str(source) if path is None else path.read_text(encoding="utf-8")
    name = "kernel.cu" if path is None else path.name
    text = expand(text, name, None if path is None else path.parent)
    text = text if path is None else f'#line 1 "{name}"\n{text}'
    checked = current().checked if checked is None else checked
    module = _module(text, kernel, checked)
    module.launch(kernel, grid, block, args, shared, schedule, blocks, checked)


_modules: dict[tuple[str, str, bool], Module] = {}


def _module(text: str, kernel: str, checked: bool) -> Module:
    key = text, kernel, checked
    if key not in _modules:
        _modules[key] = Module(text, [kernel], checked)
    return _modules[key]


def _dimensions(name: str, what: str, given: int | Sequence[int]) -> tuple[int, int, int]:
    sizes = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise EmulatorError(f"{name}: {what} is one to three integers, got {given!r}")
    x, y, z = (*(int(n) for n in sizes), 1, 1)[:3]
    return x, y, z


def _check_limits(name: str, grid: Sequence[int], block: Sequence[int], shared: int) -> None:
    if any(not 0 <= n <= most for n, most in zip(grid, MOST_GRID, strict=True)):
        raise EmulatorError(f"{name}: grid {grid}, where a device takes at most {MOST_GRID}")
    if any(not 1 <= n <= most for n, most in zip(block, MOST_BLOCK, strict=True)):
        raise EmulatorError(f"{name}: block {block}, where a device takes at most {MOST_BLOCK}")
    if np.prod(block) > MOST_THREADS:
        raise EmulatorError(f"{name}: block {block} has more than {MOST_THREADS} threads")
    if not 0 <= shared <= MOST_SHARED:
        raise EmulatorError(f"{name}: {shared} bytes of shared memory, of at most {MOST_SHARED}")


def _chosen(name: str, grid: Sequence[int], blocks: Iterable[int]) -> np.ndarray:
    chosen = np.array(list(blocks), np.int64)
    count = grid[0] * grid[1] * grid[2]
    wrong = chosen[(chosen < 0) | (chosen >= count)]
    if wrong.size:
        raise EmulatorError(f"{name}: block {wrong[0]} is not one of the {count} of grid {grid}")
    return chosen
