"""The checked mode of the emulator of Numba kernels finds the faults that are planted here."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from chainrule.gpu.emulator import EmulatorError, checked
from chainrule.gpu.emulator.numba_language import cuda

pytest.importorskip("greenlet")

SCHEDULES = ["forward", "reverse", "shuffle:7"]
every_schedule = pytest.mark.parametrize("order", SCHEDULES)
FULL = 0xFFFFFFFF


def line_of(kernel: Any, text: str) -> int:
    """The line of the kernel's source that holds a text."""
    lines, start = inspect.getsourcelines(kernel.function)
    (found,) = [number for number, line in enumerate(lines) if text in line]
    return start + found


def faults(kernel: Any, grid: int, block: int, *arguments: Any, **how: Any) -> list[Any]:
    """What the checked mode reports of a launch."""
    with pytest.raises(EmulatorError) as caught:
        kernel.launch(grid, block, arguments, checked=True, **how)
    return list(caught.value.reports)


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

    @cuda.jit
    def after_some_have_ended(y: Any) -> None:
        if cuda.threadIdx.x < 16:
            y[cuda.threadIdx.x] = cuda.shfl_xor_sync(FULL, cuda.laneid, 1)

    y = np.empty(16, np.int64)
    after_some_have_ended[1, 32](y)  # GPUs let it pass
    assert y.tolist() == [lane ^ 1 for lane in range(16)]
    (report,) = faults(after_some_have_ended, 1, 32, y)
    assert report.kind == "shuffle mask"
    assert "which has ended" in report.other

    @cuda.jit
    def from_outside(y: Any) -> None:
        if cuda.threadIdx.x < 16:
            y[cuda.threadIdx.x] = cuda.shfl_down_sync(0xFFFF, y[cuda.threadIdx.x], 1)

    y = np.arange(16.0)
    (report,) = faults(from_outside, 1, 32, y.copy())
    assert report.thread == (15, 0, 0)
    assert "lane 16, from which it reads, is not there" in report.other
    from_outside[1, 32](y)
    assert y[:15].tolist() == list(range(1, 16)) and np.isnan(y[15])


@every_schedule
def test_a_race_between_blocks_is_one(order: str):
    @cuda.jit
    def same(y: Any) -> None:
        y[0] = cuda.blockIdx.x

    (report,) = faults(same, 2, 1, np.empty(1), schedule=order)
    assert report.kind == "race"
    assert "y[0] in global memory is written here, and written by thread" in report.other


def test_counting_without_a_fence_orders_nothing():
    @cuda.jit
    def total(parts: Any, count: Any, y: Any) -> None:
        parts[cuda.blockIdx.x] = 1
        if cuda.atomic.add(count, 0, 1) == 1:
            y[0] = parts[0] + parts[1]

    (report,) = faults(total, 2, 1, np.empty(2), np.zeros(1, np.int64), np.empty(1))
    assert report.kind == "race"
    assert report.line == line_of(total, "parts[0]")


def test_every_reader_counts_not_only_the_last():
    @cuda.jit
    def swap(x: Any, y: Any) -> None:
        value = x[0]
        if cuda.threadIdx.x == 0:
            x[0] = value + 1
        y[cuda.threadIdx.x] = value

    for order in SCHEDULES:
        found = faults(swap, 1, 3, np.ones(1), np.empty(3), schedule=order)
        assert {report.kind for report in found} == {"race"}


def test_memory_that_is_used_again_needs_a_barrier_before():
    @cuda.jit(device=True)
    def block_sum(value: Any) -> Any:
        kept = cuda.shared.array(64, np.float32)
        kept[cuda.threadIdx.x] = value
        cuda.syncthreads()
        total = np.float32(0)
        for i in range(64):
            total += kept[i]
        return total

    @cuda.jit
    def twice(x: Any, y: Any) -> None:
        value = x[cuda.threadIdx.x]
        first = block_sum(value)
        y[cuda.threadIdx.x] = first + block_sum(value * value)

    x = np.arange(64, dtype=np.float32)
    found = faults(twice, 1, 64, x, np.empty(64, np.float32))
    assert {report.kind for report in found} == {"race"}


def test_a_shuffle_does_not_order_memory():
    @cuda.jit
    def pass_on(y: Any) -> None:
        kept = cuda.shared.array(32, np.int64)
        i = cuda.laneid
        kept[i] = i
        lane = cuda.shfl_sync(FULL, i, 0)
        y[i] = kept[31 - i] + lane

    assert {each.kind for each in faults(pass_on, 1, 32, np.empty(32, np.int64))} >= {"race"}


def test_syncwarp_orders_one_warp_only():
    @cuda.jit
    def neighbours(y: Any, shift: Any) -> None:
        kept = cuda.shared.array(64, np.int64)
        i = cuda.threadIdx.x
        kept[i] = i
        cuda.syncwarp()
        y[i] = kept[i ^ shift]

    y = np.empty(64, np.int64)
    neighbours.launch(1, 64, (y, 1), checked=True)
    assert y.tolist() == [i ^ 1 for i in range(64)]
    assert "race" in {each.kind for each in faults(neighbours, 1, 64, y, 32)}


def test_an_index_of_the_wrong_axis_is_outside():
    @cuda.jit
    def turned(y: Any) -> None:
        kept = cuda.shared.array((4, 8), np.float32)
        kept[cuda.threadIdx.x, 0] = 1
        y[cuda.threadIdx.x] = 0

    (report,) = faults(turned, 1, 8, np.empty(8))
    assert report.kind == "out of bounds"
    assert report.thread == (4, 0, 0)
    assert "shared array[(4, 0)], whose shape is (4, 8)" in report.other


@pytest.mark.parametrize("where", ["read", "write"])
def test_one_too_far_is_found_on_both_sides(where: str):
    @cuda.jit
    def copy(x: Any, y: Any, n: Any, shift: Any) -> None:
        i = cuda.grid(1)
        if i <= n - 1 + shift:
            if where == "read":
                y[i % n] = x[i]
            else:
                y[i] = x[i % n]

    x, y = np.arange(40.0), np.empty(40)
    copy.launch(2, 32, (x, y, 40, 0), checked=True, writes=[1])
    assert np.all(x == y)
    found = faults(copy, 2, 32, x, y, 40, 1)
    assert "out of bounds" in {each.kind for each in found}
    (report,) = [each for each in found if each.kind == "out of bounds"]
    assert (report.block, report.thread) == ((1, 0, 0), (8, 0, 0))


def test_a_grid_that_is_too_small_leaves_elements_unwritten():
    @cuda.jit
    def fill(y: Any, n: Any) -> None:
        i = cuda.grid(1)
        if i < n:
            y[i] = 1

    fill.launch(3, 32, (np.empty(96), 96), checked=True, writes=[0])
    (report,) = faults(fill, 2, 32, np.empty(96), 96, writes=[0])
    assert report.kind == "uninitialised"
    assert "32 elements, as y[64], are never written" in report.other


def test_barriers_at_two_places_are_divergent():
    @cuda.jit
    def two(y: Any) -> None:
        if cuda.threadIdx.x < 16:
            cuda.syncthreads()
        else:
            cuda.syncthreads()
        y[cuda.threadIdx.x] = 1

    two[1, 32](np.empty(32))
    (report,) = faults(two, 1, 32, np.empty(32))
    assert report.kind == "divergent barrier"

    @cuda.jit(device=True)
    def meet() -> None:
        cuda.syncthreads()

    @cuda.jit
    def through_a_function(y: Any) -> None:
        if cuda.threadIdx.x < 16:
            meet()
        else:
            meet()
        y[cuda.threadIdx.x] = 1

    (report,) = faults(through_a_function, 1, 32, np.empty(32))
    assert report.kind == "divergent barrier"


def test_the_same_array_under_two_names_is_one():
    @cuda.jit
    def shift(x: Any, y: Any) -> None:
        y[cuda.threadIdx.x] = x[(cuda.threadIdx.x + 1) % 32]

    x = np.arange(32.0)
    shift.launch(1, 32, (x, np.empty(32)), checked=True)
    assert {each.kind for each in faults(shift, 1, 32, x, x)} == {"race"}


def test_a_report_tells_file_line_block_and_thread():
    @cuda.jit
    def outside(x: Any) -> None:
        x[cuda.grid(1)] = 0

    with pytest.raises(EmulatorError) as caught:
        outside.launch(2, 4, (np.empty(7),), checked=True)
    line = line_of(outside, "x[cuda.grid(1)]")
    assert str(caught.value) == (
        f"outside: 1 fault\n  {__file__}:{line}: out of bounds, block (1, 0, 0), thread "
        "(3, 0, 0): x[7], whose shape is (7,)"
    )
