"""The emulator of Numba kernels: what each instruction gives, and that planted faults are found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule.engine.errors import DeviceError
from chainrule.gpu.emulator import EmulatorError, checked, schedule
from chainrule.gpu.emulator.numba_language import cuda

pytest.importorskip("greenlet")

SCHEDULES = ["forward", "reverse", "shuffle:7"]
every_schedule = pytest.mark.parametrize("order", SCHEDULES)
FULL = 0xFFFFFFFF
RNG = np.random.default_rng(3)


def line_of(kernel: Any, text: str) -> int:
    """The line of the kernel's source that holds a text."""
    import inspect

    lines, start = inspect.getsourcelines(kernel.function)
    (found,) = [number for number, line in enumerate(lines) if text in line]
    return start + found


def faults(kernel: Any, grid: int, block: int, *arguments: Any, **how: Any) -> list[Any]:
    """What the checked mode reports of a launch."""
    with pytest.raises(EmulatorError) as caught:
        kernel.launch(grid, block, arguments, checked=True, **how)
    return list(caught.value.reports)


# ------------------------------------------------------------------ what instructions give


@cuda.jit(device=True)
def warp_sum(value: Any) -> Any:
    distance = 16
    while distance > 0:
        value += cuda.shfl_xor_sync(FULL, value, distance)
        distance //= 2
    return value


@cuda.jit
def sum_rows(x: Any, y: Any, columns: Any) -> None:
    parts = cuda.shared.array(32, np.float32)
    total = np.float32(0)
    for column in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
        total += x[cuda.blockIdx.x * columns + column]
    total = warp_sum(total)
    if cuda.laneid == 0:
        parts[cuda.threadIdx.x // 32] = total
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        for warp in range(1, cuda.blockDim.x // 32):
            total += parts[warp]
        y[cuda.blockIdx.x] = total


@every_schedule
@pytest.mark.parametrize("check", [False, True])
def test_a_reduction_gives_the_sums_in_every_schedule_and_no_report(order: str, check: bool):
    x = RNG.normal(size=(3, 150)).astype(np.float32)
    y = np.full(3, np.nan, np.float32)
    sum_rows.launch(3, 64, (x.ravel(), y, np.int32(150)), schedule=order, checked=check, writes=[1])
    bound = 150 * np.finfo(np.float32).eps * np.abs(x).sum(-1)
    assert np.all(np.abs(y - x.sum(-1, dtype=np.float64)) <= bound)


def test_conduct_reaches_the_launch():
    seen = []

    @cuda.jit
    def note() -> None:
        seen.append(cuda.threadIdx.x)

    with schedule("reverse"):
        note[1, 4]()
    note[1, 4]()
    assert seen == [3, 2, 1, 0, 0, 1, 2, 3]
    with pytest.raises(DeviceError, match="'sideways' is unknown"), schedule("sideways"):
        pass


def test_shuffled_orders_differ_and_come_again():
    def order(name: str) -> list[int]:
        seen: list[int] = []

        @cuda.jit
        def note() -> None:
            seen.append(cuda.threadIdx.x)

        note.launch(1, 64, (), schedule=name)
        assert sorted(seen) == list(range(64))
        return seen

    assert order("shuffle:1") == order("shuffle:1") != order("shuffle:2")


# ------------------------------------------------------------------ planted faults


@every_schedule
def test_a_missing_barrier_is_a_race(order: str):
    @cuda.jit
    def reverse(x: Any, y: Any) -> None:
        kept = cuda.shared.array(64, np.float32)
        i = cuda.threadIdx.x
        kept[i] = x[i]
        y[i] = kept[63 - i]

    x = np.arange(64, dtype=np.float32)
    y = np.empty(64, np.float32)
    races = [r for r in faults(reverse, 1, 64, x, y, schedule=order) if r.kind == "race"]
    lines = {line_of(reverse, "kept[63 - i]"), line_of(reverse, "kept[i] = x")}
    assert {race.file for race in races} == {__file__}
    assert {race.line for race in races} == lines


def test_a_barrier_that_some_pass_by_is_divergent():
    @cuda.jit
    def half(y: Any) -> None:
        if cuda.threadIdx.x < 16:
            cuda.syncthreads()
        y[cuda.threadIdx.x] = 1

    (report,) = faults(half, 1, 32, np.empty(32))
    assert report.kind == "divergent barrier"
    assert report.line == line_of(half, "syncthreads")


@pytest.mark.parametrize("index", [-1, 8])
def test_an_index_outside_is_reported_with_its_thread(index: int):
    @cuda.jit
    def outside(x: Any, y: Any) -> None:
        if cuda.threadIdx.x == 5:
            y[0] = x[index]

    (report,) = faults(outside, 2, 8, np.arange(8.0), np.empty(1), blocks=[1])
    assert report.kind == "out of bounds"
    assert report.block == (1, 0, 0) and report.thread == (5, 0, 0)
    assert report.line == line_of(outside, "x[index]")
    with pytest.raises(EmulatorError, match="out of bounds") if index > 0 else checked(False):
        outside[2, 8](np.arange(8.0), np.empty(1))


def test_reading_what_was_never_written_is_reported():
    @cuda.jit
    def unwritten(y: Any) -> None:
        kept = cuda.shared.array(32, np.float32)
        if cuda.threadIdx.x < 31:
            kept[cuda.threadIdx.x] = np.float32(1)
        cuda.syncthreads()
        y[cuda.threadIdx.x] = kept[cuda.threadIdx.x]

    y = np.empty(32, np.float32)
    (report,) = faults(unwritten, 1, 32, y)
    assert report.kind == "uninitialised"
    assert report.thread == (31, 0, 0)
    unwritten[1, 32](y)
    assert np.isnan(y[31]) and np.all(y[:31] == 1)


def test_a_mask_that_names_others_than_those_that_come_is_reported():
    @cuda.jit
    def masked(y: Any) -> None:
        if cuda.threadIdx.x < 16:
            y[cuda.threadIdx.x] = cuda.shfl_down_sync(FULL, y[cuda.threadIdx.x], 1)
        cuda.syncthreads()

    (report,) = faults(masked, 1, 32, np.ones(32))
    assert report.kind == "shuffle mask"
    assert report.line == line_of(masked, "shfl_down_sync")


def test_mathematics_is_that_of_cuda():
    @cuda.jit
    def compute(y: Any) -> None:
        y[0] = math.exp(np.float32(1000))
        y[1] = max(np.float32(np.nan), np.float32(2))
        y[2] = np.float32(1) / np.float32(0)
        y[3] = math.log(np.float32(0))
        y[4] = np.uint32(np.uint32(0xFFFFFFFF) + np.uint32(2))

    y = np.empty(5, np.float32)
    compute[1, 1](y)
    assert y.tolist() == [math.inf, 2, math.inf, -math.inf, 1]
