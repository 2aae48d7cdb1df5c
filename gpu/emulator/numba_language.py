"""The namespace `cuda` for kernels written for Numba, run as the plain Python functions they are.

A family's `kernels(cuda, real)` is called with it instead of `numba.cuda`; each kernel is then
launched as Numba's are, on NumPy's arrays:

>>> import numpy as np
>>> @cuda.jit
... def double(x, y):
...     i = cuda.grid(1)
...     if i < x.size:
...         y[i] = x[i] + x[i]
>>> x, y = np.arange(3.0), np.zeros(3)
>>> double[1, 32](x, y)
>>> y
array([0., 2., 4.])

Shared arrays belong to the place where they are made, as in compiled kernels: a device function
that is called twice finds the same memory. They hold NaN at first.
"""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

import numpy as np

from .numba_atomic import Atomic
from .numba_blocks import WARP, Dim3
from .numba_kernel import Kernel
from .numba_memory import fresh, shown
from .numba_numbers import INTEGERS, compiled
from .numba_threads import FULL, Run

#: The types of values that shuffles move.
_SHUFFLED = frozenset((int, np.float32, np.float64))


class _Shared:
    def __init__(self, language: Language) -> None:
        self._language = language

    def array(self, shape: Any, dtype: Any) -> Any:
        """The block's shared array of this place in the source; dynamic if `shape` is 0."""
        return self._language.run.shared_array(shape, dtype, sys._getframe(1))


class _Local:
    def __init__(self, language: Language) -> None:
        self._language = language

    def array(self, shape: Any, dtype: Any) -> Any:
        """Fresh memory of the thread."""
        return self._language.run.own(fresh(shape, dtype), "local")


class _Constant:
    def array_like(self, array: Any) -> Any:
        """The array, as constant memory."""
        return shown(np.ascontiguousarray(array))


class _Running:
    """Lends the namespace to one launch at a time: it tells the running thread's indices."""

    def __init__(self, language: Language, run: Run, grid: Dim3, block: Dim3) -> None:
        self._language, self._state = language, (run, grid, block)

    def __enter__(self) -> None:
        language = self._language
        language._lock.acquire()
        language.run, language.gridDim, language.blockDim = self._state

    def __exit__(self, *error: object) -> None:
        del self._language.run
        self._language._lock.release()


class Language:
    """What kernels find under the name `cuda`; names and results are those of `numba.cuda`.

    Attributes: `threadIdx`, `blockIdx`, `blockDim`, `gridDim`, each with `x`, `y`, `z`; `laneid`;
    `warpsize`; `run`, the launch that is running.
    """

    run: Run
    threadIdx: Dim3  # noqa: N815
    blockIdx: Dim3  # noqa: N815
    blockDim: Dim3  # noqa: N815
    gridDim: Dim3  # noqa: N815
    laneid: int
    warpsize = WARP

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.shared, self.local, self.const = _Shared(self), _Local(self), _Constant()
        self.atomic = Atomic(self)

    def __getattr__(self, name: str) -> Any:
        """For a name that is not there: an error that says so."""
        raise AttributeError(f"cuda.{name}: there is none, or it is not emulated")

    def running(self, run: Run, grid: Dim3, block: Dim3) -> _Running:
        """Holds the namespace for one launch."""
        return _Running(self, run, grid, block)

    def jit(self, function: Any = None, *, device: bool = False, **options: Any) -> Any:
        """A kernel, or a device function, of a Python function; a decorator with or without ()."""
        if not isinstance(function, types.FunctionType):  # options, or a signature
            return lambda function: self.jit(function, device=device)
        return compiled(function) if device else Kernel(self, compiled(function))

    # ------------------------------------------------------------------ indices

    def _along(self, count: int, values: list[int]) -> Any:
        if count not in (1, 2, 3):
            raise ValueError(f"cuda.grid and cuda.gridsize have 1, 2 or 3 dimensions, not {count}")
        return values[0] if count == 1 else tuple(values[:count])

    def grid(self, count: int) -> Any:
        """The index of the thread in the grid."""
        sides = zip(self.blockIdx, self.blockDim, self.threadIdx, strict=True)
        return self._along(count, [block * size + thread for block, size, thread in sides])

    def gridsize(self, count: int) -> Any:
        """How many threads the grid has along each of its dimensions."""
        sides = zip(self.gridDim, self.blockDim, strict=True)
        return self._along(count, [blocks * size for blocks, size in sides])

    # ------------------------------------------------------------------ barriers

    def syncthreads(self) -> None:
        """Waits for all threads of the block."""
        self.run.wait("syncthreads", FULL, None, 0, sys._getframe(1))

    def _predicate(self, kind: str, predicate: Any) -> Any:
        if not isinstance(predicate, int) or isinstance(predicate, bool):
            raise TypeError(
                f"cuda.{kind}: Numba takes an integer, got {predicate!r}; write np.int32(...)"
            )
        return self.run.wait(kind, FULL, predicate, 0, sys._getframe(2))

    def syncthreads_count(self, predicate: int) -> int:
        """Waits for all threads of the block; gives how many predicates are not zero."""
        return self._predicate("syncthreads_count", predicate)

    def syncthreads_and(self, predicate: int) -> int:
        """Waits for all threads of the block; 1 if no predicate is zero."""
        return self._predicate("syncthreads_and", predicate)

    def syncthreads_or(self, predicate: int) -> int:
        """Waits for all threads of the block; 1 if a predicate is not zero."""
        return self._predicate("syncthreads_or", predicate)

    def syncwarp(self, mask: int = FULL) -> None:
        """Waits for the lanes of the mask."""
        self.run.wait("syncwarp", mask & FULL, None, 0, sys._getframe(1))

    # ------------------------------------------------------------------ shuffles and votes

    def _shuffle(self, kind: str, mask: int, value: Any, lane: int) -> Any:
        if type(value) not in _SHUFFLED:
            raise TypeError(
                f"cuda.{kind}: Numba shuffles int32, int64, float32 and float64, got {value!r}"
            )
        return self.run.wait(kind, mask & FULL, value, lane, sys._getframe(2))

    def shfl_sync(self, mask: int, value: Any, src_lane: int) -> Any:
        """The value of that lane."""
        return self._shuffle("shfl_sync", mask, value, src_lane % WARP)

    def shfl_up_sync(self, mask: int, value: Any, delta: int) -> Any:
        """The value of the lane `delta` below; of the own, if there is none."""
        lane = self.laneid - delta
        return self._shuffle("shfl_up_sync", mask, value, lane if lane >= 0 else self.laneid)

    def shfl_down_sync(self, mask: int, value: Any, delta: int) -> Any:
        """The value of the lane `delta` above; of the own, if there is none."""
        lane = self.laneid + delta
        return self._shuffle("shfl_down_sync", mask, value, lane if lane < WARP else self.laneid)

    def shfl_xor_sync(self, mask: int, value: Any, lane_mask: int) -> Any:
        """The value of the lane whose number differs in the bits of `lane_mask`."""
        return self._shuffle("shfl_xor_sync", mask, value, (self.laneid ^ lane_mask) % WARP)

    def _vote(self, kind: str, mask: int, value: Any) -> Any:
        return self.run.wait(kind, mask & FULL, value, 0, sys._getframe(2))

    def all_sync(self, mask: int, predicate: Any) -> bool:
        """Is the predicate true in all lanes of the mask?"""
        return self._vote("all_sync", mask, predicate)

    def any_sync(self, mask: int, predicate: Any) -> bool:
        """Is the predicate true in a lane of the mask?"""
        return self._vote("any_sync", mask, predicate)

    def eq_sync(self, mask: int, predicate: Any) -> bool:
        """Is the predicate the same in all lanes of the mask?"""
        return self._vote("eq_sync", mask, predicate)

    def ballot_sync(self, mask: int, predicate: Any) -> int:
        """The lanes whose predicate is true, as bits of an int32."""
        return self._vote("ballot_sync", mask, predicate)

    def match_any_sync(self, mask: int, value: Any) -> int:
        """The lanes that have the same value, as bits of an int32."""
        return self._vote("match_any_sync", mask, value)

    def match_all_sync(self, mask: int, value: Any) -> tuple[int, bool]:
        """The lanes, as bits of an int32, and True, if all have the same value; else 0, False."""
        return self._vote("match_all_sync", mask, value)

    def activemask(self) -> int:
        """The lanes of the warp that have not ended."""
        thread = self.run.thread
        start = thread.number - thread.lane
        warp = thread.block.threads[start : start + WARP]
        return INTEGERS["uint32"](sum(1 << each.lane for each in warp if not each.done))

    def lanemask_lt(self) -> int:
        """The lanes below the own, as bits."""
        return INTEGERS["uint32"]((1 << self.laneid) - 1)

    # ------------------------------------------------------------------ fences

    def threadfence(self) -> None:
        """Makes what the thread has written visible to other blocks, before what it does next."""
        self.run.block.fenced = True

    threadfence_system = threadfence

    def threadfence_block(self) -> None:
        """Makes what the thread has written visible to its block: nothing to do here."""

    def nanosleep(self, nanoseconds: int) -> None:
        """Sleeps: nothing to do here."""

    # ------------------------------------------------------------------ arithmetic

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Computes a * b + c, rounded once (float32) or twice (float64)."""
        if isinstance(a, np.float32):
            return np.float32(np.float64(a) * np.float64(b) + np.float64(c))
        return a * b + c

    def cbrt(self, a: Any) -> Any:
        """The cube root."""
        return np.cbrt(a)

    def selp(self, condition: Any, a: Any, b: Any) -> Any:
        """Chooses `a` if the condition holds, else `b`."""
        return a if condition else b

    def popc(self, value: int) -> int:
        """How many bits of an int32 (or of more) are set."""
        return _bits(value).bit_count()

    def clz(self, value: int) -> int:
        """How many leading bits of an int32 are zero; of 64, of a greater integer."""
        bits = _bits(value)
        return (32 if bits < 1 << 32 else 64) - bits.bit_length()

    def ffs(self, value: int) -> int:
        """The position of the lowest bit that is set, from 1; 0 if there is none."""
        bits = _bits(value)
        return (bits & -bits).bit_length()

    def brev(self, value: int) -> int:
        """The bits of a uint32 in reverse order."""
        return INTEGERS["uint32"](int(f"{_bits(value):032b}"[::-1], 2))


def _bits(value: int) -> int:
    value = int(value)
    return value % (1 << (32 if -(1 << 31) <= value < 1 << 32 else 64))


#: The namespace that the kernels' factories are given.
cuda = Language()
