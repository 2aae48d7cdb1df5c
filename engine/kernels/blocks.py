"""Memory for large results, used again once the last array that looks at it has died.

A fresh array of some megabytes costs more than the arithmetic that fills it: the operating system
clears its pages one by one, and takes them back when it dies. So the memory of large results comes
from *blocks*. An array's `base` is a `Lease` of a block; every view keeps that alive, and when it
dies the block waits for the next result of about that size. (Measured on one core of a Zen 5, a
product of 10,000,000 float32: 4.7 ms into fresh memory, 2.9 into a block.)

Hardly more is kept than has been in use at once: before memory is asked for, as much of what waits
is given back, but for a few megabytes. What nobody needed for a while is given back too.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

#: Bytes: smaller arrays are NumPy's own.
LEAST = 262_144
#: Bytes of blocks that wait, at most.
MOST = 536_870_912
#: Bytes that may wait while others are asked for: what a step needs by turns, in several sizes.
SLACK = 33_554_432
#: So many blocks are handed out before those that nobody needed meanwhile are given back.
ROUND = 1_000
#: Where arrays begin: at a multiple of that many bytes, as vectors and lines of the caches do.
ALIGNMENT = 64


class Block:
    """A piece of memory: `address` of its first byte, `size` in bytes."""

    __slots__ = ("address", "memory", "size")

    def __init__(self, size: int) -> None:
        self.memory = np.empty(size + ALIGNMENT, np.uint8)
        start: int = self.memory.ctypes.data
        self.address, self.size = start + -start % ALIGNMENT, size


class _Pool:
    """The blocks that wait: `free`, lists of them by their size in bytes.

    Attributes: `unused`, the fewest of each size that waited in this round; `taken`, how many were
    handed out in it; `most`, bytes that may wait; `returned`, bytes since that was looked at.

    Blocks are taken and given back wherever a result is made or an array dies, in any thread and in
    the midst of anything: by one operation on a list, which needs no lock.
    """

    def __init__(self) -> None:
        self.free: dict[int, list[Block]] = {}
        self.unused: dict[int, int] = {}
        self.taken, self.returned, self.most = 0, 0, MOST

    def take(self, size: int) -> Block:
        """A block of that many bytes."""
        self.taken += 1
        if self.taken >= ROUND:
            self.end_round()
        blocks = self.free.get(size)
        try:
            block = blocks.pop()  # type: ignore[union-attr]
        except (AttributeError, IndexError):
            return self.made(size)
        if len(blocks) < self.unused[size]:  # type: ignore[arg-type]
            self.unused[size] = len(blocks)  # type: ignore[arg-type]
        return block

    def made(self, size: int) -> Block:
        """A new block, for which as much of what waits is given back, if much waits."""
        self.unused[size] = 0
        self.free.setdefault(size, [])
        self.give_up(min(size, self.waiting() - SLACK))
        try:
            return Block(size)
        except MemoryError:
            self.clear()
        return Block(size)

    def give_back(self, block: Block) -> None:
        """Has a block wait for the next result of its size."""
        self.free[block.size].append(block)
        self.returned += block.size
        if self.returned > self.most // 8:
            self.returned = 0
            self.give_up(self.waiting() - self.most)

    def waiting(self) -> int:
        """The bytes of all blocks that wait."""
        return sum(size * len(blocks) for size, blocks in list(self.free.items()))

    def give_up(self, enough: int) -> None:
        """Gives blocks that wait back to the system until that is enough, in bytes; large first."""
        for size, blocks in sorted(self.free.copy().items(), reverse=True):
            while enough > 0 and blocks:
                self.drop(size, 1)
                enough -= size

    def drop(self, size: int, count: int) -> None:
        """Gives some blocks of a size back to the system, the longest unused first."""
        del self.free[size][:count]
        self.unused[size] = max(0, self.unused[size] - count)

    def end_round(self) -> None:
        """Gives back what waited during all of a round."""
        self.taken = 0
        for size in list(self.free):
            self.drop(size, self.unused[size])
            self.unused[size] = len(self.free[size])

    def clear(self) -> None:
        """Gives back all blocks that wait."""
        for blocks in list(self.free.values()):
            blocks.clear()


_pool = _Pool()


class Lease:
    """What arrays hold on a block: when it dies, the block may be used again."""

    __slots__ = ()
    block: Block

    def __del__(self, give_back: Any = _pool.give_back) -> None:  # at exit, globals are gone
        give_back(self.block)


@functools.lru_cache(256)
def _lease(size: int) -> Any:
    """How a lease of a block of that size is made, given its address: a buffer, for NumPy."""
    about = {"__doc__": Lease.__doc__, "__slots__": ("block",)}
    kind: Any = type("Lease", (Lease, ctypes.c_char * size), about)
    return kind.from_address


@functools.lru_cache(256)
def _rounded(size: int) -> int:
    """The size of the block for so many bytes: an eighth more, at most, so that others fit too."""
    unit = max(4096, 1 << max(0, size.bit_length() - 4))
    return -(-size // unit) * unit


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of anything, as `numpy.empty`; in a block, if it is large.

    Raises MemoryError where there is no memory for it.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST:
        return np.empty(shape, dtype)
    block = _pool.take(_rounded(size))
    lease = _lease(block.size)(block.address)
    lease.block = block
    return np.ndarray(shape, dtype, lease)


@contextmanager
def aside() -> Iterator[None]:
    """Has no block used, in any thread, for the length of a `with` block: for counting memory."""
    global LEAST
    before, LEAST = LEAST, 2**62
    try:
        yield
    finally:
        LEAST = before


def whole(array: Any) -> bool:
    """Does an array have memory of its own, or a block, rather than look at another array's?"""
    base = array.base
    return base is None or isinstance(base, Lease)


def joined(sum: Any, contribution: Any, alone: bool) -> Any:
    """`sum + contribution`; in the memory of the contribution, if that is a block.

    `alone`: may nobody else have the contribution?

    >>> import numpy as np
    >>> joined(np.ones(2), np.ones(2), True).tolist()
    [2.0, 2.0]
    """
    if alone and isinstance(contribution.base, Lease) and sum.dtype == contribution.dtype:
        return np.add(sum, contribution, out=contribution)
    return sum + contribution
