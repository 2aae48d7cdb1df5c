"""The blocks and threads of an emulated launch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

WARP = 32


class Dim3(NamedTuple):
    """An index, or a size, in three dimensions."""

    x: int = 1
    y: int = 1
    z: int = 1


def dim3(size: Any) -> Dim3:
    """The size of a grid or of a block: an integer, or up to three.

    >>> dim3(7), dim3((7, 2))
    (Dim3(x=7, y=1, z=1), Dim3(x=7, y=2, z=1))
    """
    return Dim3(*size) if isinstance(size, tuple) else Dim3(size)


def indices(size: Dim3) -> list[Dim3]:
    """All indices below a size, x running fastest."""
    return [Dim3(x, y, z) for z in range(size.z) for y in range(size.y) for x in range(size.x)]


class Thread:
    """One thread of a block.

    Attributes: `block`, `number` and `index` in it, `lane` in its warp; `fiber` that runs it;
    `done`, has it ended? `steps`, how many atomic operations (in checked mode, and reads) since it
    last waited; `clock`, of the lanes of its warp, as this thread knows them.

    While it waits: `kind` of instruction, empty if it runs; `mask`, `value` and `source`, a lane,
    its operands; `frame` of the kernel, and `place`, where in the code each function was called,
    known in checked mode. `answer` is what the instruction will give.
    """

    __slots__ = (
        "answer",
        "block",
        "clock",
        "done",
        "fiber",
        "frame",
        "index",
        "kind",
        "lane",
        "mask",
        "number",
        "place",
        "source",
        "steps",
        "value",
    )

    def __init__(self, block: Block, number: int, index: Dim3) -> None:
        self.block, self.number, self.index = block, number, index
        self.lane = number % WARP
        self.fiber: Any = None
        self.done, self.steps = False, 0
        self.clock: list[int] = []
        self.kind, self.mask, self.source = "", 0, 0
        self.value: Any = None
        self.answer: Any = None
        self.frame: Any = None
        self.place: tuple[Any, ...] = ()

    @property
    def line(self) -> int:
        """The line at which it waits."""
        line: int = self.frame.f_lineno
        return line


class Block:
    """One block: its threads, and the memory that they share."""

    def __init__(self, index: Dim3, dynamic: int) -> None:
        self.index = index
        self.epoch = 0
        self.shared: dict[Any, Any] = {}
        self.bytes = dynamic
        self.dynamic = np.full(dynamic, 0xFF, np.uint8)  # NaN, as float32 and as float64
        self.fenced = False
        self.seen: set[Block] = set()
        self.threads: list[Thread] = []

    def warps(self) -> Iterator[list[Thread]]:
        """The threads, warp by warp."""
        for start in range(0, len(self.threads), WARP):
            yield self.threads[start : start + WARP]
