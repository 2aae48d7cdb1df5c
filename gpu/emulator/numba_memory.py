"""Arrays as emulated Numba kernels see them, and what the checked mode remembers of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .numba_numbers import INTEGERS

if TYPE_CHECKING:
    from .numba_blocks import Thread
    from .numba_threads import Run

_POISON = 0x5BD1E995D1E9955B  # what fresh integers hold: far from any index


def fresh(shape: Any, dtype: Any) -> np.ndarray:
    """Memory as a kernel finds it: of NaN, or of an integer that is no index of anything.

    >>> fresh(2, np.float32)
    array([nan, nan], dtype=float32)
    """
    dtype = np.dtype(getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype)
    value: Any = np.nan
    if dtype.kind == "b":
        value = True
    elif dtype.kind != "f":
        value = INTEGERS[dtype.name].wrap(_POISON)
    return np.full(shape, value, dtype)


class Integers:
    """An array of integers whose elements are read as Numba's integers."""

    __slots__ = ("array", "dtype", "ndim", "shape", "size", "type")

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.dtype, self.ndim, self.shape, self.size = (
            array.dtype,
            array.ndim,
            array.shape,
            array.size,
        )
        self.type = INTEGERS[array.dtype.name]

    def __getitem__(self, index: Any) -> int:
        value = self.array.item(index)
        return value if self.type.signed else self.type.unsigned(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[index] = int(self.type(value))

    def __len__(self) -> int:
        return self.shape[0]


class Access(NamedTuple):
    """One access to an element: by whom, when, where in the source."""

    thread: Thread
    epoch: int
    clock: int
    line: int
    atomic: bool


class Shadow:
    """What is known of the elements of one piece of memory: written? by whom? read by whom?"""

    __slots__ = ("name", "reads", "where", "writes", "written")

    def __init__(self, name: str, where: str, size: int, written: bool) -> None:
        self.name, self.where = name, where
        self.written = np.full(size, written)
        self.writes: dict[int, Access] = {}
        self.reads: dict[int, dict[Thread, Access]] = {}


class CheckedArray:
    """An array that reports each access that no GPU promises to do well."""

    __slots__ = ("array", "dtype", "flat", "ndim", "run", "shadow", "shape", "size", "strides")

    def __init__(self, array: np.ndarray, shadow: Shadow, run: Run) -> None:
        self.array, self.shadow, self.run = array, shadow, run
        self.dtype, self.ndim, self.shape, self.size = (
            array.dtype,
            array.ndim,
            array.shape,
            array.size,
        )
        flat = array.reshape(-1)
        if array.size and not np.shares_memory(flat, array):
            raise ValueError(f"{shadow.name}: kernels take contiguous arrays")
        self.flat: Any = Integers(flat) if array.dtype.kind in "iu" else flat

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        """Refused: by IndexError, which here is a report, Python would find the end."""
        raise self.whole()

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refused: no kernel computes with whole arrays."""
        raise self.whole()

    def whole(self) -> TypeError:
        """The error for what only a whole array can do."""
        return TypeError(
            f"{self.shadow.name}: a thread of a kernel reads and writes elements, as in "
            f"{self.shadow.name}[i]; it cannot go over an array, nor hand it to NumPy"
        )

    def offset(self, index: Any) -> int | None:
        """The position of an element in memory; None, and a report, if there is no such."""
        indices = index if isinstance(index, tuple) else (index,)
        if len(indices) != self.ndim or any(isinstance(each, slice) for each in indices):
            raise TypeError(
                f"{self.shadow.name}: index each of its {self.ndim} axes by an integer; got {index}"
            )
        offset = 0
        for each, length in zip(indices, self.shape, strict=True):
            each = each.__index__()
            if not 0 <= each < length:
                shown = index if self.ndim > 1 else each
                self.run.report(
                    "out of bounds", f"{self.shadow.name}[{shown}], whose shape is {self.shape}"
                )
                return None
            offset = offset * length + each
        return offset

    def __getitem__(self, index: Any) -> Any:
        offset = self.offset(index)
        if offset is None:
            return fresh(1, self.dtype)[0] if self.dtype.kind == "f" else 0
        self.read(offset)
        return self.flat[offset]

    def __setitem__(self, index: Any, value: Any) -> None:
        offset = self.offset(index)
        if offset is not None:
            self.write(offset)
            self.flat[offset] = value

    def read(self, offset: int) -> None:
        """Notes a read; reports it if it reads what was not written, or races with a write."""
        shadow, run = self.shadow, self.run
        run.step()
        if not shadow.written[offset]:
            run.report("uninitialised", f"{shadow.name}[{offset}] in {shadow.where} memory")
            shadow.written[offset] = True
        access = run.access()
        last = shadow.writes.get(offset)
        if last is not None and not run.ordered(last):
            self.race(offset, "read", last, "written")
        readers = shadow.reads.setdefault(offset, {})
        readers[access.thread] = access

    def write(self, offset: int, atomic: bool = False) -> None:
        """Notes a write; reports it if it races with another access."""
        shadow, run = self.shadow, self.run
        if atomic and not shadow.written[offset]:
            run.report("uninitialised", f"{shadow.name}[{offset}] in {shadow.where} memory")
        shadow.written[offset] = True
        last = shadow.writes.get(offset)
        if last is not None and not (atomic and last.atomic) and not run.ordered(last):
            self.race(offset, "written", last, "written")
        for reader in shadow.reads.pop(offset, {}).values():
            if not run.ordered(reader):
                self.race(offset, "written", reader, "read")
        shadow.writes[offset] = run.access(atomic)

    def race(self, offset: int, done: str, other: Access, did: str) -> None:
        """Reports a race of the running thread with an earlier access."""
        thread = other.thread
        self.run.report(
            "race",
            f"{self.shadow.name}[{offset}] in {self.shadow.where} memory is {done} here, and {did} "
            f"by thread {tuple(thread.index)} of block {tuple(thread.block.index)} at line "
            f"{other.line}",
        )


def shown(array: np.ndarray) -> Any:
    """The array as a kernel that is not checked sees it."""
    return Integers(array) if array.dtype.kind in "iu" else array
