"""What would hang on a GPU is an error in the emulator of Numba kernels, and leaves it usable."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

from chainrule.gpu.emulator import EmulatorError, numba_threads
from chainrule.gpu.emulator.numba_language import cuda

from .test_numba_emulator_faults import FULL, every_schedule, faults, line_of

pytest.importorskip("greenlet")


@every_schedule
@pytest.mark.parametrize("check", [False, True])
def test_what_would_hang_is_an_error(order: str, check: bool):
    @cuda.jit
    def barrier_and_shuffle(y: Any) -> None:
        if cuda.threadIdx.x == 3:
            cuda.syncthreads()
        else:
            y[cuda.threadIdx.x] = cuda.shfl_sync(FULL, 1, 0)

    @cuda.jit
    def other_masks() -> None:
        cuda.syncwarp(0b11 if cuda.laneid == 0 else FULL)

    @cuda.jit
    def own_lane_not_named() -> None:
        cuda.syncwarp(0b10)

    @cuda.jit
    def other_barriers() -> None:
        if cuda.threadIdx.x < 16:
            cuda.syncthreads()
        else:
            cuda.syncthreads_or(1)

    for kernel, arguments, kind in (
        (barrier_and_shuffle, (np.empty(32, np.int64),), "shuffle mask"),
        (other_masks, (), "shuffle mask"),
        (own_lane_not_named, (), "shuffle mask"),
        (other_barriers, (), "divergent barrier"),
    ):
        with pytest.raises(EmulatorError) as caught:
            kernel.launch(1, 32, arguments, schedule=order, checked=check)
        assert {each.kind for each in caught.value.reports} == {kind}


def test_a_lock_that_nobody_gives_back_is_a_deadlock(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(numba_threads, "_MOST_STEPS", 1000)

    @cuda.jit
    def lock(held: Any) -> None:
        while cuda.atomic.cas(held, 0, 0, 1) != 0:
            pass

    with pytest.raises(EmulatorError, match="does it spin"):
        lock[1, 2](np.zeros(1, np.int64))

    @cuda.jit
    def waits_for_another(flag: Any) -> None:
        if cuda.threadIdx.x == 0:
            while flag[0] == 0:
                pass
        flag[0] = 1

    (report,) = faults(waits_for_another, 1, 2, np.zeros(1))
    assert report.kind == "deadlock"
    assert report.line == line_of(waits_for_another, "while flag")

    @cuda.jit
    def counts_and_waits(count: Any) -> None:
        for _ in range(3):
            for _ in range(400):
                cuda.atomic.add(count, 0, 1)
            cuda.syncthreads()

    count = np.zeros(1, np.int64)
    counts_and_waits[1, 2](count)
    assert count[0] == 2400


def test_after_a_fault_the_next_launch_runs():
    @cuda.jit
    def fails(x: Any, y: Any) -> None:
        cuda.syncthreads()
        if cuda.threadIdx.x == 1:
            raise ZeroDivisionError("planted")
        cuda.syncthreads()
        y[cuda.threadIdx.x] = x[0]

    with pytest.raises(ZeroDivisionError, match="planted"):
        fails[1, 32](np.ones(1), np.empty(32))

    @cuda.jit
    def runs(y: Any) -> None:
        cuda.syncthreads()
        y[cuda.threadIdx.x] = cuda.threadIdx.x

    y = np.empty(32)
    runs[1, 32](y)
    assert y.tolist() == list(range(32))


@pytest.mark.parametrize("check", [False, True])
def test_ctrl_c_ends_a_launch_and_the_next_one_runs(check: bool):
    @cuda.jit
    def spins(flag: Any) -> None:
        cuda.syncthreads()
        if cuda.threadIdx.x == 1:
            while flag[0] == 0:
                pass
        cuda.syncthreads()
        flag[1 + cuda.threadIdx.x] = 2

    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        spins.launch(1, 4, (np.zeros(5, np.float32),), checked=check)
    timer.join()
    flag = np.ones(5, np.float32)
    spins.launch(1, 4, (flag,), checked=check)
    assert flag.tolist() == [1, 2, 2, 2, 2]


def test_what_a_learner_writes_that_numba_would_refuse():
    @cuda.jit
    def whole(x: Any) -> None:
        x[0] = np.sum(x)

    @cuda.jit
    def goes_over(x: Any) -> None:
        for each in x:
            x[0] = each

    @cuda.jit
    def mistyped(x: Any) -> None:
        x[cuda.gird(1)] = 1

    for kernel in (whole, goes_over):
        with pytest.raises(TypeError, match=r"x: a thread of a kernel reads and writes elements"):
            kernel.launch(1, 1, (np.zeros(3),), checked=True)
    with pytest.raises(AttributeError, match=r"cuda\.gird: there is none"):
        mistyped[1, 1](np.zeros(3))
    for launch in (lambda: mistyped(np.zeros(3)), lambda: mistyped[1](np.zeros(3))):
        with pytest.raises(ValueError, match=r"launch it by mistyped\[grid, block\]\(\.\.\.\)"):
            launch()
    with pytest.raises(TypeError, match=r"mistyped: argument 0: an array of NumPy.*\[1\]"):
        mistyped[1, 1]([1])
