"""Threads that share a kernel between the cores.

The pools of other libraries do not get on: their idle threads spin on cores that another pool has
work for. These are threads of this library alone, as many as there are other cores. They spin for
some microseconds after a kernel, in which the next one mostly comes, then sleep. A kernel is a
number of *chunks*; whoever is free takes the next one, and the thread that called takes part, so a
kernel is never later than its own thread alone would be. What a chunk computes does not depend on
who computes it.

Two Python threads that compute at once do not wait for each other: one has the helpers, the other
computes all of its chunks itself. A process that was forked has helpers of its own. No signal
is delivered to a helper, and none survives the interpreter.

The words that all share, and how they are used:

    GENERATION  counts kernels; helpers sleep until it changes
    OPEN        may chunks be taken?
    NEXT        the chunk to be taken next
    INSIDE      helpers that look at the kernel; it must not end before they leave
    BUSY        has a thread taken the helpers?
    SLEEPING    helpers that must be woken
    STOP        are helpers to end?
    HELPERS     how many there are
    ALONE       until when kernels are computed without helpers, by the clock, in nanoseconds

Where more threads want the cores than there are, helpers cost more than they gain: one that is
taken off its core in the middle of a chunk is waited for, and one that is woken may take the core
of who woke it. So when a kernel was late for such a reason, those of some time afterwards are
computed without helpers: of so much time that what is lost by being late is a small part.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import threading
from typing import Any

import numba
import numpy as np
from numba.core import types

from ...threads import get_num_threads
from .building import build
from .intrinsics import add, address_of, check, field, load, pack, pause, start, store, take

# Positions of words, far enough apart to lie in cache lines of their own.
GENERATION, OPEN, NEXT, INSIDE, BUSY, SLEEPING, STOP = range(0, 7 * 16, 16)
FUNCTION, TASK, CHUNKS, HELPERS, ALONE = range(112, 117)
MUTEX, CONDITION = 128, 144  # of the operating system: at most 64 bytes each
WORDS = 160

#: How often a helper looks for the next kernel before it sleeps: for about 150 µs.
SPINS = 5_000
#: Products of numbers, at 8 ps each, that are worth sharing; worth waking a helper for; and
#: that are worth several chunks for a core, so that one which is late does not make others wait.
SHARED, WAKING, LARGE = 300_000, 4_000_000, 20_000_000
#: How often who waits for a helper looks before it lets others have the core.
PATIENCE = 10_000
#: Nanoseconds from which on a kernel may have been late; and how many times as long as it was late
#: kernels are computed without helpers, up to a limit.
LATE, PENALTY, LONGEST = 300_000, 10, 50_000_000

_lock: Any = types.ExternalFunction("pthread_mutex_lock", types.int32(types.intp))
_unlock: Any = types.ExternalFunction("pthread_mutex_unlock", types.int32(types.intp))
_wait: Any = types.ExternalFunction("pthread_cond_wait", types.int32(types.intp, types.intp))
_wake: Any = types.ExternalFunction("pthread_cond_broadcast", types.int32(types.intp))
_yield: Any = types.ExternalFunction("sched_yield", types.int32())
_clock: Any = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))
_usage: Any = types.ExternalFunction("getrusage", types.int32(types.int32, types.intp))
_MONOTONIC = 6 if sys.platform == "darwin" else 1
_LINUX = sys.platform == "linux"


@numba.njit
def _now() -> Any:
    """Nanoseconds on a clock that only goes forward."""
    place = pack((0, 0))
    _clock(_MONOTONIC, place)
    return field(place, 0) * 1_000_000_000 + field(place, 1)


@numba.njit
def _switches() -> Any:
    """How often the system has taken the thread that asks off its core, wanted by others."""
    if not _LINUX:
        return 0
    words = pack((0,) * 18)
    _usage(1, words)  # of this thread
    return field(words, 17)


@numba.njit
def _take_chunks(pool: Any) -> None:
    function, task, chunks = field(pool, FUNCTION), field(pool, TASK), field(pool, CHUNKS)
    chunk = add(pool, NEXT, 1)
    while chunk < chunks:
        start(function, task, chunk)
        chunk = add(pool, NEXT, 1)


@numba.njit
def parts(pool: Any, work: Any) -> Any:
    """Into how many chunks `work` is best divided: 1, or one or a few for each core.

    Its unit is the product of two numbers in a product of matrices; an operation on one element of
    large arrays is worth some 20. What is computed must not depend on the answer.
    """
    if pool == 0 or work < SHARED or (work < WAKING and load(pool, SLEEPING) > 0):
        return 1
    alone = load(pool, ALONE)
    if alone > 0 and _now() < alone:
        return 1
    threads = field(pool, HELPERS) + 1
    return threads if work < LARGE else 4 * threads


@numba.njit
def fork_join(pool: Any, function: Any, task: Any, chunks: Any) -> None:
    """Runs a function of a task and a chunk for all chunks, on as many cores as are free.

    `pool` is the address that `pool()` gives, or 0; `function` is from `address_of`, `task` from
    `pack`. Raises MemoryError if there was none for a chunk.
    """
    if chunks < 2 or pool == 0 or not take(pool, BUSY):
        for chunk in range(chunks):
            start(function, task, chunk)
        check(task)
        return
    asleep = load(pool, SLEEPING) > 0
    switches = _switches() if asleep else 0
    begin = _now()
    store(pool, FUNCTION, function)
    store(pool, TASK, task)
    store(pool, CHUNKS, chunks)
    store(pool, NEXT, 0)
    store(pool, OPEN, 1)
    add(pool, GENERATION, 1)
    if load(pool, SLEEPING) > 0:
        _lock(pool + 8 * MUTEX)
        _wake(pool + 8 * CONDITION)
        _unlock(pool + 8 * MUTEX)
    _take_chunks(pool)
    store(pool, OPEN, 0)
    done, looks = _now(), 0
    while load(pool, INSIDE) > 0:
        looks += 1
        if looks < PATIENCE:
            pause()
        else:
            _yield()
    end = _now()
    if end - begin > LATE:
        if end - done > max(LATE, done - begin):
            store(pool, ALONE, end + min(LONGEST, PENALTY * (end - done)))
        elif asleep and _switches() != switches:
            store(pool, ALONE, end + min(LONGEST, PENALTY * (end - begin)))
    store(pool, BUSY, 0)
    check(task)


@numba.njit
def _help(kind: Any, pool: Any, unused: Any) -> None:
    """What a helper does all its life."""
    seen = 0
    while True:
        looks = 0
        while load(pool, GENERATION) == seen:
            looks += 1
            if looks < SPINS:
                pause()
            else:
                _lock(pool + 8 * MUTEX)
                add(pool, SLEEPING, 1)
                while load(pool, GENERATION) == seen:
                    _wait(pool + 8 * CONDITION, pool + 8 * MUTEX)
                add(pool, SLEEPING, -1)
                _unlock(pool + 8 * MUTEX)
        seen = load(pool, GENERATION)
        if load(pool, STOP):
            return
        if load(pool, OPEN):
            add(pool, INSIDE, 1)
            if load(pool, OPEN):  # it may have been closed before this helper was counted
                _take_chunks(pool)
            add(pool, INSIDE, -1)


def _life() -> Any:
    """The address of a helper's life."""
    return address_of(_help, 0)


def _end(pool: Any) -> None:
    """Tells the helpers to end, once the kernel that they work on has; they stay taken."""
    while not take(pool, BUSY):
        _yield()
    store(pool, STOP, 1)
    add(pool, GENERATION, 1)
    _lock(pool + 8 * MUTEX)
    _wake(pool + 8 * CONDITION)
    _unlock(pool + 8 * MUTEX)


class Pool:
    """The helpers of this process: `address` of the words they share, 0 if there are none."""

    def __init__(self, helpers: int) -> None:
        self.address = 0
        self._threads: list[ctypes.c_void_p] = []
        if helpers > 0 and sys.platform != "win32":
            self._start(helpers)

    @property
    def helpers(self) -> int:
        """How many there are."""
        return len(self._threads) if self.address else 0

    def _start(self, helpers: int) -> None:
        memory = np.zeros(WORDS + 8, np.int64)
        _kept.append(memory)  # for good: who asks for its address may keep it
        start = memory.ctypes.data
        start += -start % 64
        system = ctypes.CDLL(None)
        system.pthread_mutex_init(ctypes.c_void_p(start + 8 * MUTEX), None)
        system.pthread_cond_init(ctypes.c_void_p(start + 8 * CONDITION), None)
        life = ctypes.c_void_p(build(_life, ())())
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for _ in range(helpers):
                thread = ctypes.c_void_p()
                place = ctypes.c_void_p(start)
                if system.pthread_create(ctypes.byref(thread), None, life, place):
                    break  # the system allows no more: fewer do
                self._threads.append(thread)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        memory[(start - memory.ctypes.data) // 8 + HELPERS] = len(self._threads)
        self.address = start if self._threads else 0

    def stop(self) -> None:
        """Ends the helpers; from then on who calls a kernel computes all of it."""
        start, self.address = self.address, 0
        if start:
            build(_end, (types.intp,))(start)
            for thread in self._threads:
                ctypes.CDLL(None).pthread_join(thread, None)


#: The memory of all pools of this process, and of those it was forked from.
_kept: list[Any] = []
_making = threading.RLock()
_pool: Pool | None = None


def pool() -> int:
    """The address of the words that this process's helpers share, for kernels; 0 without helpers.

    The helpers are made when it is first called.
    """
    found = _pool
    return found.address if found is not None else _made(get_num_threads() - 1).address


def _made(helpers: int) -> Pool:
    global _pool
    with _making:
        if _pool is None:
            _pool = Pool(helpers)
        return _pool


def limit(threads: int) -> None:
    """Has kernels computed by so many threads, that which calls included."""
    global _pool
    with _making:
        if _pool is not None:
            if _pool.helpers == threads - 1:
                return
            _pool.stop()
            _pool = None
        _made(threads - 1)


def _stop() -> None:
    if _pool is not None:
        _pool.stop()


def _forget() -> None:
    """In a forked process there are no threads but one, and locks may be held for good."""
    global _pool, _making
    _pool, _making = None, threading.RLock()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
