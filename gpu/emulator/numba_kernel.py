"""A kernel written for Numba that can be launched on the CPU."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.engine.errors import describe

from . import conduct
from .numba_blocks import dim3, indices
from .numba_numbers import number
from .numba_threads import Run

_MOST_THREADS = 1024
#: The instructions at which a thread waits for others.
WAITING = {
    *("syncthreads", "syncthreads_count", "syncthreads_and", "syncthreads_or", "syncwarp"),
    *("shfl_sync", "shfl_up_sync", "shfl_down_sync", "shfl_xor_sync"),
    *("all_sync", "any_sync", "eq_sync", "ballot_sync", "match_any_sync", "match_all_sync"),
}


class Kernel:
    """A kernel that can be launched, `kernel[grid, block](*arguments)`, or by `launch`."""

    def __init__(self, language: Any, function: types.FunctionType) -> None:
        self.language, self.function = language, function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._waits: bool | None = None

    def __getitem__(self, configuration: tuple[Any, ...]) -> Callable[..., None]:
        """The kernel on a grid, with a block size, and perhaps a stream and shared bytes."""
        if not isinstance(configuration, tuple) or not 2 <= len(configuration) <= 4:
            raise ValueError(f"{self.__name__}: launch it by {self.__name__}[grid, block](...)")
        grid, block, *rest = configuration
        shared = rest[1] if len(rest) > 1 else 0

        def launch(*arguments: Any) -> None:
            self.launch(grid, block, arguments, shared=shared)

        return launch

    def __call__(self, *arguments: Any) -> None:
        """Refused: a kernel is launched on a grid."""
        raise ValueError(f"{self.__name__}: launch it by {self.__name__}[grid, block](...)")

    def _number(self, position: int, value: Any) -> Any:
        if not isinstance(value, (bool, int, float, np.generic, type(None))):
            raise TypeError(
                f"{self.__name__}: argument {position}: an array of NumPy, a number or None, got "
                f"{describe(value)}"
            )
        return number(value)

    @property
    def waits(self) -> bool:
        """Does a thread of this kernel ever wait for another one?"""
        if self._waits is None:  # what it calls may have been defined after it
            self._waits = _waits(self.function, set())
        return self._waits

    def launch(
        self,
        grid: Any,
        block: Any,
        arguments: Sequence[Any],
        *,
        shared: int = 0,
        schedule: str | None = None,
        checked: bool | None = None,
        blocks: Iterable[int] | None = None,
        writes: Iterable[int] = (),
    ) -> None:
        """Runs the kernel's blocks, one after the other.

        Args:
            grid: how many blocks; an integer, or up to three in a tuple.
            block: how many threads in a block, likewise; at most 1024.
            arguments: NumPy arrays, contiguous; scalars; None.
            shared: bytes of dynamic shared memory.
            schedule: the order of threads; that of `conduct.schedule` if it is None.
            checked: look for races and their like? As `conduct.checked` says if it is None.
            blocks: the numbers of the blocks to run, x counting fastest; all if it is None.
            writes: positions of the arrays of which every element is written, and none read
                before: checked, too.

        Raises ValueError for sizes that CUDA does not launch, EmulatorError for faults of the
        kernel, ImportError if it needs greenlet and there is none.
        """
        name = self.__name__
        sizes, block = dim3(grid), dim3(block)
        if min(*sizes, *block) < 1 or math.prod(block) > _MOST_THREADS:
            raise ValueError(
                f"{name}: a grid of {tuple(sizes)} blocks of {tuple(block)} threads cannot be "
                f"launched: at least 1 of each, at most {_MOST_THREADS} threads in a block"
            )
        current = conduct.current()
        schedule = current.schedule if schedule is None else schedule
        checked = current.checked if checked is None else checked
        chosen = indices(sizes)
        if blocks is not None:
            chosen = [chosen[each] for each in blocks]
        run = Run(name, self.language, schedule, checked, shared)
        names = self.function.__code__.co_varnames
        outputs = frozenset(writes)
        seen = [
            run.show(value, each, position not in outputs)
            if isinstance(value, np.ndarray)
            else self._number(position, value)
            for position, (value, each) in enumerate(zip(arguments, names, strict=False))
        ]
        if len(seen) != len(arguments) or len(seen) != self.function.__code__.co_argcount:
            raise TypeError(
                f"{name}: takes {self.function.__code__.co_argcount} arguments, got "
                f"{len(arguments)}"
            )
        with self.language.running(run, sizes, block):
            run.launch(self.function, chosen, block, seen, self.waits)
        if blocks is None:
            run.look_for_gaps(self.function)


def _waits(function: types.FunctionType, visited: set[Any]) -> bool:
    """Does a function, or one it calls, name an instruction at which threads wait?"""
    if function in visited:
        return False
    visited.add(function)
    names: set[str] = set()
    codes = [function.__code__]
    for code in codes:
        names.update(code.co_names)
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    if names.intersection(WAITING):
        return True
    called = [function.__globals__.get(name) for name in names]
    for cell in function.__closure__ or ():
        try:
            called.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return any(
        _waits(each, visited) for each in called if isinstance(each, types.FunctionType)
    ) or any(getattr(each, "__name__", None) in WAITING for each in called)
