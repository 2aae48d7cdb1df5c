"""Runs one launch of an emulated Numba kernel: blocks one after the other, threads as fibers.

A thread runs until it waits: at a barrier of its block, or at an instruction of its warp (a
shuffle, a vote, `syncwarp`), which gives its results when all lanes that the mask names are there.
The schedule says in which order threads that can go on do so. In checked mode each access to an
array is compared with the earlier ones: two of different threads, one of them a write, must have a
barrier between them (or `syncwarp`, within a warp; or, between blocks, `threadfence` and atomic
operations on one element).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .conduct import Orders
from .numba_blocks import WARP, Block, Dim3, Thread, indices
from .numba_fibers import Abandoned, give_back, hub, take
from .numba_memory import Access, CheckedArray, Shadow, fresh, shown
from .numba_waiting import go_on
from .reports import Report, faulty

FULL = 0xFFFFFFFF
SHARED_LIMIT = 48 * 1024
_MOST_REPORTS = 16
_MOST_STEPS = 2_000_000  # by one thread without waiting: it spins for what cannot happen
_OURS = str(Path(__file__).with_name("numba_"))


class Run:
    """One launch of a kernel.

    Attributes: `block` and `thread`, those that are running; `language`, the namespace `cuda`.
    """

    block: Block
    thread: Thread

    def __init__(
        self, name: str, language: Any, schedule: str, checked: bool, dynamic: int = 0
    ) -> None:
        self.name, self.language, self.checked = name, language, checked
        self.orders = Orders(schedule)
        self.dynamic = dynamic
        self.hub: Any = None
        self.error: BaseException | None = None
        self.reports: dict[tuple[str, str, int], Report] = {}
        self.released: dict[tuple[int, int], set[Block]] = {}
        self.shadows: dict[tuple[int, int], Shadow] = {}

    # ------------------------------------------------------------------ blocks and threads

    def launch(
        self,
        function: Callable[..., Any],
        blocks: Sequence[Dim3],
        block: Dim3,
        arguments: Sequence[Any],
        fibers: bool,
    ) -> None:
        """Runs the blocks of those indices; raises EmulatorError for what they do wrong."""
        places = indices(block)
        for number in self.orders.next(len(blocks)):
            self.block = Block(blocks[number], self.dynamic)
            self.block.threads = [
                Thread(self.block, each, index) for each, index in enumerate(places)
            ]
            if self.checked:
                for warp in self.block.warps():
                    for thread in warp:
                        thread.clock = [0] * len(warp)
            self.language.blockIdx = self.block.index
            (self.run_fibers if fibers else self.run_plainly)(function, arguments)
        if self.reports:
            raise faulty(self.name, list(self.reports.values()))

    def look_for_gaps(self, function: Callable[..., Any]) -> None:
        """Raises EmulatorError if a whole launch left an element of an output unwritten."""
        for shadow in self.shadows.values():
            (gaps,) = np.nonzero(~shadow.written)
            if len(gaps):
                place = (function.__code__.co_filename, function.__code__.co_firstlineno)
                text = f"{len(gaps)} elements, as {shadow.name}[{gaps[0]}], are never written"
                report = Report("uninitialised", *place, (0, 0, 0), (0, 0, 0), text)
                raise faulty(self.name, [report])

    def enter(self, thread: Thread) -> None:
        """Makes a thread the one that runs."""
        self.thread = thread
        language = self.language
        language.threadIdx, language.laneid = thread.index, thread.lane

    def run_plainly(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """Runs the threads of the block one after the other: none of them waits."""
        with np.errstate(all="ignore"):
            for number in self.orders.next(len(self.block.threads)):
                self.enter(self.block.threads[number])
                try:
                    function(*arguments)
                except IndexError as error:
                    raise self.outside(error) from error

    def run_fibers(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """Runs the threads of the block until each is done."""
        self.hub, language = hub(), self.language
        threads = self.block.threads
        fibers = take(len(threads), self.hub)
        for thread, fiber in zip(threads, fibers, strict=True):
            thread.fiber = fiber
        started: list[Thread] = []
        try:
            for number in self.orders.next(len(threads)):
                thread = threads[number]
                self.enter(thread)
                started.append(thread)
                thread.fiber.switch(self, function, arguments)
                if self.error is not None:
                    raise self.error
            ready = go_on(self)
            while ready:
                for number in self.orders.next(len(ready)):
                    self.thread = thread = ready[number]
                    language.threadIdx, language.laneid = thread.index, thread.lane
                    thread.fiber.switch(thread.answer)
                    if self.error is not None:
                        raise self.error
                ready = go_on(self)
        except IndexError as error:
            raise self.outside(error) from error
        finally:
            for thread in started:
                if not thread.done and thread.fiber:  # Ctrl-C may have ended it, or come before it
                    self.thread = thread
                    with suppress(Abandoned):
                        thread.fiber.throw(Abandoned)
            give_back(fibers)

    def end(self, error: BaseException | None) -> None:
        """Notes that the running thread has ended, and how."""
        self.thread.done = True
        if error is not None and self.error is None:
            self.error = error

    def wait(self, kind: str, mask: int, value: Any, source: int, frame: FrameType) -> Any:
        """Lets the running thread wait at an instruction; gives the instruction's result."""
        if self.hub is None:
            raise RuntimeError(
                f"{self.name}: the emulator saw no call of cuda.{kind} in the kernel; write it "
                "out where it is called, cuda." + kind + "(...)"
            )
        thread = self.thread
        thread.kind, thread.mask, thread.value, thread.source = kind, mask, value, source
        thread.frame, thread.steps = frame, 0
        if self.checked:
            thread.place = _place(frame)
        return self.hub.switch()

    # ------------------------------------------------------------------ reports

    def told(self, kind: str, file: str, line: int, other: str, at: Thread | None = None) -> Report:
        """A report of the running thread, or of the one that is given."""
        thread = at or self.thread
        return Report(kind, file, line, (*self.block.index,), (*thread.index,), other)

    def keep(self, report: Report, fatal: bool = False) -> None:
        """Keeps a report, the first of its kind on its line; ends the launch if it is fatal."""
        self.reports.setdefault((report.kind, report.file, report.line), report)
        if fatal or len(self.reports) >= _MOST_REPORTS:
            raise faulty(self.name, list(self.reports.values()))

    def fault(self, kind: str, thread: Thread, other: str, fatal: bool = False) -> None:
        """Reports what a waiting thread does wrong."""
        file = thread.frame.f_code.co_filename
        self.keep(self.told(kind, file, thread.line, other, thread), fatal)

    def outside(self, error: IndexError) -> Exception:
        """Retells an IndexError that the kernel's own line raised."""
        trace = error.__traceback__
        place = ("", 0)
        while trace is not None:
            if not _is_ours(trace.tb_frame):
                place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
        report = self.told("out of bounds", *place, str(error))
        return faulty(self.name, [*self.reports.values(), report])

    def report(self, kind: str, other: str, fatal: bool = False) -> None:
        """Reports what the running thread does wrong, at its line of the kernel."""
        frame = self.frame()
        self.keep(self.told(kind, frame.f_code.co_filename, frame.f_lineno, other), fatal)

    def frame(self) -> FrameType:
        """The frame of the kernel, or of its device function, that runs."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and _is_ours(frame):
            frame = frame.f_back
        assert frame is not None
        return frame

    # ------------------------------------------------------------------ memory

    def show(self, value: Any, name: str, written: bool) -> Any:
        """An argument as the kernel sees it."""
        if not isinstance(value, np.ndarray):
            return value
        if not self.checked:
            return shown(value)
        start = value.__array_interface__["data"][0]
        shadow = self.shadows.get((start, value.nbytes))
        if shadow is None:
            shadow = self.shadows[start, value.nbytes] = Shadow(name, "global", value.size, written)
        return CheckedArray(value, shadow, self)

    def shared_array(self, shape: Any, dtype: Any, frame: FrameType) -> Any:
        """The shared array of a place in the source: one for the whole block."""
        key = (id(frame.f_code), frame.f_lasti, shape, str(dtype))
        found = self.block.shared.get(key)
        if found is not None:
            return found
        array = fresh(shape, dtype)
        if shape in (0, (0,)):
            whole = len(self.block.dynamic) // array.itemsize * array.itemsize
            array = self.block.dynamic[:whole].view(array.dtype)
        else:
            self.block.bytes += array.nbytes
        if self.block.bytes > SHARED_LIMIT:
            raise ValueError(
                f"{self.name}: a block's shared arrays take {self.block.bytes} bytes together; "
                f"{SHARED_LIMIT} is the limit"
            )
        return self.block.shared.setdefault(key, self.own(array, "shared"))

    def own(self, array: np.ndarray, where: str) -> Any:
        """Fresh memory of the kernel's own as the kernel sees it."""
        if not self.checked:
            return shown(array)
        return CheckedArray(array, Shadow(f"{where} array", where, array.size, False), self)

    # ------------------------------------------------------------------ the order of accesses

    def access(self, atomic: bool = False) -> Access:
        """The running thread's access, now."""
        thread = self.thread
        return Access(
            thread, self.block.epoch, thread.clock[thread.lane], self.frame().f_lineno, atomic
        )

    def ordered(self, earlier: Access) -> bool:
        """Has the running thread made sure that an earlier access is over?"""
        thread, other = self.thread, earlier.thread
        if other is thread:
            return True
        if other.block is not thread.block:
            return other.block in thread.block.seen
        if earlier.epoch < self.block.epoch:
            return True
        same_warp = other.number // WARP == thread.number // WARP
        return same_warp and thread.clock[other.lane] > earlier.clock

    def step(self) -> None:
        """Counts what a thread that spins does again and again; there is an end to it."""
        self.thread.steps += 1
        if self.thread.steps > _MOST_STEPS:
            text = f"{_MOST_STEPS} reads or atomic operations without waiting: does it spin?"
            self.report("deadlock", text, fatal=True)

    def touch_atomically(self, array: Any, index: Any) -> Any:
        """The flat array and the position at which an atomic operation works."""
        self.step()
        if not isinstance(array, CheckedArray):
            return array, index
        offset = array.offset(index)
        if offset is None:
            return fresh(1, array.dtype), 0
        array.write(offset, atomic=True)
        block, key = self.block, (id(array.shadow), offset)
        released = self.released.setdefault(key, set())
        block.seen |= released
        if block.fenced:
            released |= block.seen | {block}
        return array.flat, offset


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def _place(frame: FrameType | None) -> tuple[Any, ...]:
    """Where the kernel stands, and where each of its functions was called."""
    place: list[Any] = []
    while frame is not None and not _is_ours(frame):
        place += (frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return tuple(place)
