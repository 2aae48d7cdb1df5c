"""The emulator of Numba kernels: what each instruction gives."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest

from chainrule.engine.errors import DeviceError
from chainrule.gpu.emulator import schedule
from chainrule.gpu.emulator.numba_language import cuda

pytest.importorskip("greenlet")

SCHEDULES = ["forward", "reverse", "shuffle:7"]
every_schedule = pytest.mark.parametrize("order", SCHEDULES)
FULL = 0xFFFFFFFF
RNG = np.random.default_rng(3)


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


def test_one_launch_at_a_time_has_the_namespace():
    wrong: list[Any] = []

    @cuda.jit
    def number(y: Any, own: Any) -> None:
        i = cuda.grid(1)
        cuda.syncthreads()
        y[i] = own
        if cuda.grid(1) != i:
            wrong.append(i)

    results = [np.zeros(256, np.int64) for _ in range(4)]
    threads = [
        threading.Thread(target=number[4, 64], args=(y, each)) for each, y in enumerate(results)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert [set(y) for y in results] == [{0}, {1}, {2}, {3}]


def test_indices_run_over_grid_and_block_in_three_dimensions():
    @cuda.jit
    def count(y: Any) -> None:
        x, yy, z = cuda.grid(3)
        nx, ny, nz = cuda.gridsize(3)
        assert (nx, ny, nz) == (4, 6, 8) and cuda.gridsize(1) == 4
        assert cuda.warpsize == 32
        y[(z * ny + yy) * nx + x] += 1
        lane = (cuda.threadIdx.z * 3 + cuda.threadIdx.y) * 4 + cuda.threadIdx.x
        assert cuda.laneid == lane % 32

    y = np.zeros(4 * 6 * 8, np.int32)
    count[(1, 2, 2), (4, 3, 4)](y)
    assert np.all(y == 1)


@every_schedule
def test_shuffles_move_values_between_lanes(order: str):
    @cuda.jit
    def shuffle(x: Any, y: Any) -> None:
        i = cuda.threadIdx.x
        y[i] = cuda.shfl_sync(FULL, x[i], 5)
        y[64 + i] = cuda.shfl_up_sync(FULL, x[i], 3)
        y[128 + i] = cuda.shfl_down_sync(FULL, x[i], 3)
        y[192 + i] = cuda.shfl_xor_sync(FULL, x[i], 9)

    x = RNG.normal(size=64).astype(np.float32)
    y = np.empty((4, 2, 32), np.float32)
    shuffle.launch(1, 64, (x, y.reshape(-1)), schedule=order, checked=True, writes=[1])
    lanes, rows = np.arange(32), x.reshape(2, 32)
    below = np.where(lanes >= 3, lanes - 3, lanes)
    above = np.where(lanes + 3 < 32, lanes + 3, lanes)
    for got, source in zip(y, [lanes * 0 + 5, below, above, lanes ^ 9], strict=True):
        np.testing.assert_array_equal(got, rows[:, source])


@every_schedule
def test_shuffles_up_keep_the_first_lanes(order: str):
    @cuda.jit
    def up(x: Any) -> None:
        x[cuda.laneid] = cuda.shfl_up_sync(FULL, cuda.laneid, 2)

    x = np.empty(32, np.int32)
    up.launch(1, 32, (x,), schedule=order)
    assert x.tolist() == [0, 1, *range(30)]


@every_schedule
def test_votes_tell_of_all_lanes_of_the_mask(order: str):
    @cuda.jit
    def vote(x: Any, y: Any, matched: Any) -> None:
        i = cuda.threadIdx.x
        y[0 + i] = cuda.any_sync(FULL, x[i] > 2)
        y[32 + i] = cuda.all_sync(FULL, x[i] > 2)
        y[64 + i] = cuda.ballot_sync(FULL, x[i] > 2)
        y[96 + i] = cuda.eq_sync(FULL, x[i] > 2)
        y[128 + i] = cuda.match_any_sync(FULL, x[i])
        bits, alike = cuda.match_all_sync(FULL, x[i])
        matched[i] = bits if alike else 7
        matched[32 + i] = cuda.popc(cuda.activemask())
        cuda.syncwarp()

    for x in (RNG.integers(0, 5, 32), np.full(32, 3), np.zeros(32, np.int64)):
        y, matched = np.empty((5, 32), np.int64), np.empty((2, 32), np.int64)
        arguments = (x, y.reshape(-1), matched.reshape(-1))
        vote.launch(1, 32, arguments, schedule=order, checked=True, writes=[1, 2])
        above = x > 2
        bits = np.uint32(np.sum(above * 2 ** np.arange(32))).view(np.int32)
        assert np.all(y[0] == above.any()) and np.all(y[1] == above.all())
        assert np.all(y[2] == bits)
        assert np.all(y[3] == (len(set(above)) == 1))
        for lane in range(32):
            same = np.uint32(np.sum((x == x[lane]) * 2 ** np.arange(32))).view(np.int32)
            assert y[4, lane] == same
        assert np.all(matched[0] == (-1 if len(set(x)) == 1 else 7))
        assert np.all(matched[1] == 32)


def test_a_barrier_counts_predicates():
    @cuda.jit
    def barrier(x: Any, y: Any) -> None:
        i = cuda.threadIdx.x
        y[i] = cuda.syncthreads_count(x[i])
        y[64 + i] = cuda.syncthreads_and(x[i])
        y[128 + i] = cuda.syncthreads_or(x[i])

    one = (np.arange(64) == 40).astype(np.int64)
    for x in (RNG.integers(0, 2, 64), np.zeros(64, np.int64), np.ones(64, np.int64), one):
        y = np.empty((3, 64), np.int64)
        barrier.launch(1, 64, (x, y.reshape(-1)), checked=True, writes=[1])
        assert set(y[0]) == {x.sum()} and set(y[1]) == {int(x.all())} and set(y[2]) == {x.max()}

    @cuda.jit
    def boolean(x: Any) -> None:
        cuda.syncthreads_or(x[0] > 0)

    with pytest.raises(TypeError, match="Numba takes an integer"):
        boolean[1, 32](np.zeros(1))


@every_schedule
def test_half_a_warp_may_meet_on_its_own(order: str):
    @cuda.jit
    def halves(x: Any, y: Any) -> None:
        kept = cuda.shared.array(32, np.float64)
        i = cuda.threadIdx.x
        mask = 0xFFFF if i < 16 else 0xFFFF0000
        kept[i] = x[i]
        cuda.syncwarp(mask)
        total = np.float64(0)
        for other in range(i // 16 * 16, i // 16 * 16 + 16):
            total += kept[other]
        y[i] = total + cuda.shfl_xor_sync(mask, np.float64(0), 1)

    x, y = RNG.normal(size=32), np.empty(32)
    halves.launch(1, 32, (x, y), schedule=order, checked=True, writes=[1])
    np.testing.assert_allclose(y.reshape(2, 16), x.reshape(2, 16).sum(1)[:, None].repeat(16, 1))


def test_arrays_of_one_line_are_two_and_those_of_one_place_are_one():
    @cuda.jit(device=True)
    def kept() -> Any:
        return cuda.shared.array(4, np.float32)

    @cuda.jit
    def memory(y: Any) -> None:
        a, b = cuda.shared.array(4, np.float32), cuda.shared.array(4, np.float32)
        own = cuda.local.array((2, 3), np.int32)
        a[0], b[0] = 1, 2
        kept()[1] = 3
        y[0], y[1], y[2] = a[0], b[0], kept()[1]
        own[1, 0], own[0, 1] = 8, 9
        y[3], y[4] = own[1, 0], own[0, 1]

    y = np.empty(5, np.float32)
    memory.launch(1, 1, (y,), checked=True, writes=[0])
    assert y.tolist() == [1, 2, 3, 8, 9]
    memory[1, 1](y)
    assert y.tolist() == [1, 2, 3, 8, 9]


def test_dynamic_shared_memory_is_what_the_launch_gives():
    @cuda.jit
    def dynamic(y: Any) -> None:
        kept = cuda.shared.array(0, np.float32)
        y[0] = len(kept)

    y = np.empty(1)
    dynamic[1, 32, 0, 512](y)
    assert y[0] == 128
    with pytest.raises(ValueError, match="49152 is the limit"):
        dynamic[1, 32, 0, 50_000](y)


@every_schedule
def test_atomic_operations_give_the_value_before(order: str):
    @cuda.jit
    def update(totals: Any, before: Any) -> None:
        i = cuda.grid(1)
        before[i] = cuda.atomic.add(totals, 0, 1)
        cuda.atomic.max(totals, 1, i)
        cuda.atomic.min(totals, 2, i)
        cuda.atomic.cas(totals, 3, 0, i + 1)
        cuda.atomic.exch(totals, 4, 77)
        cuda.atomic.inc(totals, 5, 9)

    totals, before = np.zeros(6, np.int64), np.empty(64, np.int64)
    update.launch(2, 32, (totals, before), schedule=order, checked=True, writes=[1])
    assert sorted(before) == list(range(64))
    assert totals[[0, 1, 2, 4, 5]].tolist() == [64, 63, 0, 77, 4]
    assert 1 <= totals[3] <= 64


@every_schedule
def test_the_last_block_may_read_what_the_others_fenced(order: str):
    @cuda.jit
    def total(x: Any, parts: Any, count: Any, y: Any) -> None:
        kept = cuda.shared.array(1, np.int64)
        if cuda.threadIdx.x == 0:
            parts[cuda.blockIdx.x] = x[cuda.blockIdx.x]
            cuda.threadfence()
            kept[0] = cuda.atomic.add(count, 0, 1)
        cuda.syncthreads()
        if kept[0] == cuda.gridDim.x - 1 and cuda.threadIdx.x == 1:
            for each in range(cuda.gridDim.x):
                y[0] += parts[each]

    x, y = RNG.normal(size=5), np.zeros(1)
    arguments = (x, np.empty(5), np.zeros(1, np.int64), y)
    total.launch(5, 32, arguments, schedule=order, checked=True, writes=[1])
    assert y[0] == pytest.approx(x.sum())


def test_a_launch_that_cuda_would_refuse_is_refused():
    @cuda.jit
    def nothing(x: Any) -> None:
        pass

    with pytest.raises(ValueError, match="at most 1024 threads"):
        nothing[1, 1025](1)
    with pytest.raises(ValueError, match="cannot be launched"):
        nothing[0, 32](1)
    with pytest.raises(TypeError, match="takes 1 arguments, got 2"):
        nothing[1, 32](1, 2)


def test_without_greenlet_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    @cuda.jit
    def waits() -> None:
        cuda.syncthreads()

    @cuda.jit
    def runs(y: Any) -> None:
        y[0] = 1

    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(ImportError, match="pip install greenlet"):
        waits[1, 32]()
    y = np.zeros(1)
    runs[1, 32](y)
    assert y[0] == 1
