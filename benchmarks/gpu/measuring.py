"""Launches that are noted as they are made, what they move, and how long they take.

A kernel's arrays must each be read or written once: so many bytes it moves at the least, and
twice those of an array that it updates. How fast it moves them is compared with a plain copy on the
same device in the same run, which nothing surpasses by much.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from chainrule.gpu.devices import GpuDevice
from chainrule.gpu.table import INSTANCES, Entry

#: Operations on numbers, of kernels that are bound by them: a product and a sum for each term.
OPERATIONS: dict[str, Callable[[dict[str, int]], int]] = {
    "tiled_matmul": lambda n: 2 * n["rows"] * n["inner"] * n["columns"]
}


@dataclass(frozen=True)
class Launch:
    """A launch that was made, as a backend got it."""

    entry: Entry
    real: str
    grid: tuple[int, int, int]
    shared: int
    arguments: tuple[Any, ...]

    @property
    def numbers(self) -> dict[str, Any]:
        """The scalars by their names."""
        pairs = zip(self.entry.parameters, self.arguments, strict=True)
        return {each.name: value.item() for each, value in pairs if each.access is None}

    def bytes(self, *access: str) -> int:
        """The bytes of the arrays that the kernel "reads", "writes" or "updates"."""
        given = dict(
            zip([each.name for each in self.entry.parameters], self.arguments, strict=True)
        )
        sizes = zip(self.entry.arrays, self.entry.sizes(**self.numbers), strict=True)
        return sum(
            size * each.dtype(self.real).itemsize
            for each, size in sizes
            if each.access in access and given[each.name] is not None
        )

    @property
    def moved(self) -> int:
        """The bytes that the kernel must move."""
        return self.bytes("reads", "updates") + self.bytes("writes", "updates")

    @property
    def operations(self) -> int | None:
        """The operations of a kernel that is bound by them; None for the others."""
        count = OPERATIONS.get(self.entry.name)
        return None if count is None else count(self.numbers)

    def __str__(self) -> str:
        """The kernel's name, and the scalars on which the sizes of its arrays depend."""
        sizes = " ".join(str(each.size) for each in self.entry.arrays)
        told = [
            f"{name} {value:,}"
            for name, value in self.numbers.items()
            if re.search(rf"\b{name}\b", sizes) and value != 1
        ]
        name = f"{self.entry.name}_{INSTANCES[self.real]}"
        return ", ".join([name, *told])


@dataclass
class Noting:
    """A backend that notes what it launches, and passes it on to another one, if there is one.

    Attributes: `largest`, of every entry the launch that moves most.
    """

    backend: Any = None
    largest: dict[str, Launch] = field(default_factory=dict)

    def launch(self, entry: Entry, real: str, grid: Any, shared: int, arguments: Any) -> None:
        """See `chainrule.gpu.backends.Backend`."""
        made = Launch(entry, real, grid, shared, tuple(arguments))
        before = self.largest.get(entry.name)
        if before is None or made.moved > before.moved:
            self.largest[entry.name] = made
        if self.backend is not None:
            self.backend.launch(entry, real, grid, shared, arguments)


class CountedDevice(GpuDevice):
    """A device that runs nothing: what is launched there is only noted.

    Argument: `xp`, its array module.
    """

    __slots__ = ()

    def __init__(self, xp: Any = np) -> None:
        super().__init__("counted", xp, {"raw": Noting()})

    def from_host(self, array: Any) -> Any:
        """The array itself."""
        return array

    def _fetched(self, array: Any) -> Any:
        return array


@contextmanager
def noted(device: GpuDevice, kernel_set: str) -> Iterator[Noting]:
    """Notes what is launched with a kernel set in the `with` block."""
    before = device.backend(kernel_set)
    noting = Noting(None if isinstance(before, Noting) else before)
    device._backends[kernel_set] = noting
    try:
        yield noting
    finally:
        device._backends[kernel_set] = before


class Clock(Protocol):
    """Measures how long a device takes."""

    def times(self, function: Callable[[], object], repeats: int) -> list[float]:
        """The seconds of a call, as often as it is repeated, after a warm-up."""


class EventClock:
    """CUDA's events, which the GPU itself stamps. A time is the mean of `inner` calls in a row."""

    def __init__(self, inner: int = 10) -> None:
        self.inner = inner

    def times(self, function: Callable[[], object], repeats: int) -> list[float]:
        """See `Clock`."""
        import cupy

        function()
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        found = []
        for _ in range(repeats):
            begin.record()
            for _ in range(self.inner):
                function()
            end.record()
            end.synchronize()
            found.append(cupy.cuda.get_elapsed_time(begin, end) / 1000 / self.inner)
        return found


class HostClock:
    """The host's clock, for what runs on the host."""

    def times(self, function: Callable[[], object], repeats: int) -> list[float]:
        """See `Clock`."""
        function()
        found = []
        for _ in range(repeats):
            begin = time.perf_counter()
            function()
            found.append(time.perf_counter() - begin)
        return found


@dataclass(frozen=True)
class Peaks:
    """What a device reaches at its best, a second: bytes in a copy, operations in a GEMM."""

    bytes: float
    operations: float


def peaks(device: Any, clock: Clock, size: int, repeats: int) -> Peaks:
    """Measures a copy of `size` float32 numbers, and a product of square matrices of a quarter."""
    xp = device.xp
    x, side = xp.ones(size, dtype="float32"), max(1, int((size / 4) ** 0.5))
    y, a = xp.empty_like(x), xp.ones((side, side), dtype="float32")
    copied = np.median(clock.times(lambda: xp.copyto(y, x), repeats))
    multiplied = np.median(clock.times(lambda: xp.matmul(a, a), repeats))
    return Peaks(2 * x.nbytes / float(copied), 2 * side**3 / float(multiplied))
