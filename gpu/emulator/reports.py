"""What the emulators report of a faulty kernel, in the same words for CUDA C and for Numba."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainrule.engine.errors import DeviceError

#: kind of fault -> what it means.
KINDS = {
    "race": "two threads touch one element, one of them writes, and no barrier is between",
    "divergent barrier": "threads of a block, or of a warp, wait at different barriers",
    "out of bounds": "an index outside of the array",
    "uninitialised": "a read of memory that no thread has written",
    "shuffle mask": "a mask that names other threads than those that reach the instruction",
    "misaligned": "an address that is no multiple of what is read or written there",
    "deadlock": "threads that wait for what can no longer happen",
    "arithmetic": "integers that overflow, or are divided by zero",
    "assertion": "a condition that the kernel asserts does not hold",
    "crash": "what the processor itself refuses",
    "interrupted": "Ctrl-C",
}


class Report(NamedTuple):
    """One fault: what, where in the source, by which thread of which block.

    Attributes: `kind`, one of KINDS; `file` and `line` in the kernel's source; `block` and
    `thread`, the indices (x, y, z); `other`, in words: the array and index, the other access.
    """

    kind: str
    file: str
    line: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    other: str = ""

    def __str__(self) -> str:
        """The report on one line, file and line first."""
        where = f"{self.file}:{self.line}: {self.kind}, block {self.block}, thread {self.thread}"
        return f"{where}: {self.other}" if self.other else f"{where}: {KINDS[self.kind]}"


class EmulatorError(DeviceError):
    """A kernel that cannot be compiled or launched, or that did what no GPU promises to do well.

    Attributes: `reports`, the faults of a launch, in the order in which they were found; none if
    it never ran.
    """

    def __init__(self, message: str, reports: Sequence[Report] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


def faulty(kernel: str, reports: Sequence[Report]) -> EmulatorError:
    """The error that lists the faults of one launch.

    >>> print(faulty("add", [Report("race", "add.cu", 7, (0, 0, 0), (1, 0, 0), "total[0]")]))
    add: 1 fault
      add.cu:7: race, block (0, 0, 0), thread (1, 0, 0): total[0]
    """
    count = f"{len(reports)} fault" + ("" if len(reports) == 1 else "s")
    return EmulatorError("\n  ".join([f"{kernel}: {count}", *map(str, reports)]), reports)
