"""The emulator of CUDA C++: threads, barriers, warps, shared memory, schedules, and its errors."""

from __future__ import annotations

import math
import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.gpu import emulator
from chainrule.gpu.emulator.compiling import compile_module, find_compiler

from .cuda_texts import FAULTS, FEATURES, INTRINSICS, SUMS

try:
    find_compiler()
except emulator.EmulatorError as missing:
    pytest.skip(str(missing), allow_module_level=True)

SCHEDULES = ["forward", "reverse", "shuffle:1", "shuffle:2"]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


@pytest.fixture(scope="module")
def features():
    return FEATURES.module()


@pytest.fixture(scope="module")
def faults():
    return FAULTS.module()


@pytest.fixture(scope="module")
def sums():
    return SUMS.module()


# ------------------------------------------------------------------------------ what is computed


@every_schedule
@pytest.mark.parametrize(("name", "dtype"), [("float", np.float32), ("double", np.float64)])
def test_a_sum_over_rows_through_shared_memory_and_shuffles(sums, name, dtype, schedule):
    x = np.random.default_rng(3).normal(size=(7, 300)).astype(dtype)
    y = np.empty(7, dtype)
    sums.launch(f"sums_{name}", 3, 64, [x, y, 7, 300], schedule=schedule)
    bound = 300 * np.finfo(dtype).eps * np.abs(x).sum(1, dtype=np.float64)
    assert np.all(np.abs(y - x.sum(1, dtype=np.float64)) <= bound)


@given(
    block=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3)),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)),
    schedule=st.sampled_from(SCHEDULES),
)
@settings(max_examples=10)
def test_each_thread_of_each_block_runs_once_and_knows_where_it_is(features, block, grid, schedule):
    threads, blocks = math.prod(block), math.prod(grid)
    seen = np.zeros((blocks, threads, 6), np.int32)
    features.launch("places", grid, block, [seen], schedule=schedule)
    b, t = np.divmod(np.arange(blocks * threads), threads)
    expected = [t % block[0], t // block[0] % block[1], t // block[0] // block[1]]
    expected += [b % grid[0], b // grid[0] % grid[1], b // grid[0] // grid[1]]
    np.testing.assert_array_equal(seen.reshape(-1, 6), np.stack(expected, 1))


@given(
    width=st.sampled_from([1, 2, 4, 8, 16, 32]),
    by=st.integers(0, 31),
    schedule=st.sampled_from(SCHEDULES),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_shuffles_read_the_lane_that_cuda_says(features, width, by, schedule, seed):
    x = np.random.default_rng(seed).integers(-(2**62), 2**62, 64)
    y = np.zeros((4, 64), np.int64)
    features.launch("shuffles", 1, 64, [x, y, by, width], schedule=schedule)
    lane = np.arange(32)
    first, last = lane // width * width, lane // width * width + width - 1
    sources = [
        first + by % width,
        np.where(lane - by < first, lane, lane - by),
        np.where(lane + by > last, lane, lane + by),
        np.where(lane ^ by > last, lane, lane ^ by),
    ]
    for given_, source in zip(y, sources, strict=True):
        np.testing.assert_array_equal(given_, x.reshape(2, 32)[:, source].ravel())


@every_schedule
def test_votes_of_the_lanes_of_a_mask(features, schedule):
    # Odd and even lanes vote apart from each other; the last warp has 8 lanes.
    x = np.random.default_rng(5).integers(0, 3, 40).astype(np.int32)
    y = np.zeros((5, 40), np.uint32)
    features.launch("votes", 1, 40, [x, y], schedule=schedule)
    for i in range(40):
        group = [j for j in range(40) if j // 32 == i // 32 and j % 2 == i % 2]
        bits = sum(1 << j % 32 for j in group if x[j])
        same = sum(1 << j % 32 for j in group if x[j] == x[i])
        active = 2**32 - 1 if i < 32 else 255
        expected = [bits, bits != 0, all(x[j] for j in group), same, active]
        np.testing.assert_array_equal(y[:, i], expected)


@every_schedule
@pytest.mark.parametrize("by", [3, 5])
def test_the_active_lanes_are_those_of_the_same_branch(features, by, schedule):
    y = np.zeros(65, np.int32)
    features.launch("active", 1, 64, [y, by], schedule=schedule)
    lanes = np.arange(64)
    for warp in range(2):
        for branch in (1, 2):
            inside = lanes[(lanes // 32 == warp) & (lanes % by == branch)]
            mask = np.uint32(sum(1 << int(lane % 32) for lane in inside))
            np.testing.assert_array_equal(y[inside].view(np.uint32), mask)
    assert y[64] == np.count_nonzero(lanes % by == 1)


@every_schedule
def test_barriers_count_and_threads_that_have_returned_do_not_hold_them_up(features, schedule):
    x = np.array([0, 3, 0, 1, 1, 0, 0, 2], np.int32)
    y = np.zeros((3, 8), np.int32)
    features.launch("counts", 1, 8, [x, y, 6], schedule=schedule)
    np.testing.assert_array_equal(y, [[3] * 6 + [0, 0], [0] * 8, [1] * 6 + [0, 0]])


def test_dynamic_shared_memory_is_nan_until_written_and_differs_from_static(features):
    y = np.zeros(8, np.float32)
    features.launch("dynamic", 1, 4, [y], shared=16)
    np.testing.assert_array_equal(y, [0, 1, 2, 3] + [np.nan] * 4)


@pytest.mark.parametrize(("barrier", "same"), [(1, True), (0, False)])
def test_a_missing_barrier_shows_in_the_result_under_some_schedule(features, barrier, same):
    results = []
    for number, schedule in enumerate(SCHEDULES):  # shared memory still holds what was there before
        y = np.zeros(64, np.float32)
        first = 100 * number + 50 * barrier
        features.launch("turn_round", 1, 64, [y, barrier, first], schedule=schedule)
        results.append(np.array_equal(y, first + np.arange(63, -1, -1)))
    assert all(results) == same


@every_schedule
def test_atomics_lose_nothing(features, schedule):
    x = np.random.default_rng(1).integers(-50, 50, 300).astype(np.int32)
    y = np.array([0, -100, 100, 0, -1], np.int32)
    total = np.zeros(1)
    features.launch("atomics", 3, 100, [x, y, total], schedule=schedule)
    assert list(y[:4]) == [x.sum(), x.max(), x.min(), 300] and y[4] in x
    assert total == x.sum() / 2


def test_vectors_are_loaded_whole(features):
    x = np.arange(16, dtype=np.float32)
    y = np.zeros(8)
    features.launch("vectors", 1, 4, [x, y])
    np.testing.assert_array_equal(y, np.stack([x[::4] + x[3::4], x[1::4] * x[2::4]], 1).ravel())


def test_intrinsics_give_what_cuda_documents():
    checks = INTRINSICS.checks
    holds = np.zeros(len(checks), np.uint8)
    INTRINSICS.module().launch("intrinsics", 1, 1, [holds])
    assert [check for check, held in zip(checks, holds, strict=True) if not held] == []


def test_only_the_chosen_blocks_run_in_a_grid_beyond_what_could_be_run_whole(features):
    seen = np.full(4, -1, np.int64)
    last = 2**31 - 2
    features.launch("which", (2**31 - 1, 2), 1, [seen], blocks=[5, last, last + 1])
    assert list(seen) == [3, 5, last, last + 1]


# ------------------------------------------------------------------------------ modules


def test_modules_with_the_same_names_are_apart():
    text = """
    template <typename T> __device__ T* spare() { __shared__ T room[%d]; return room; }
    extern "C" __global__ void size(long long* y, int i) {
        spare<float>()[threadIdx.x] = %d;
        __syncthreads();
        y[threadIdx.x] = (long long)spare<float>()[threadIdx.x];
    }
    """
    first, second = (emulator.Module(text % (n, n), ["size"]) for n in (64, 128))
    y, z = np.zeros(64, np.int64), np.zeros(128, np.int64)
    first.launch("size", 1, 64, [y, 0])
    second.launch("size", 1, 128, [z, 0])
    assert set(y) == {64} and set(z) == {128}


def test_threads_of_python_may_launch_at_once(sums):
    x = np.random.default_rng(0).normal(size=(40, 500))
    results = [np.zeros(40) for _ in range(8)]

    def work(y):
        sums.launch("sums_double", 5, 64, [x, y, 40, 500])

    threads = [threading.Thread(target=work, args=(y,)) for y in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y in results:
        np.testing.assert_array_equal(y, results[0])


def test_the_same_may_be_compiled_twice_at_once_and_the_cache_serves_the_next(
    tmp_path, monkeypatch
):
    text = "__global__ void set(int* x) { *x = 7; }"
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(compile_module(text, ["set"])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    files = {each: each.stat().st_mtime_ns for each in made[0].parent.iterdir()}
    assert sorted(each.suffix for each in files) == [".o", ".so"]
    x = np.zeros(1, np.int32)
    emulator.Module(text, ["set"]).launch("set", 1, 1, [x])
    assert x[0] == 7
    assert files == {each: each.stat().st_mtime_ns for each in made[0].parent.iterdir()}


def test_two_modules_that_fail_at_once_leave_each_other_alone():
    text = """__global__ void k(volatile int* x, int n) {
        for (int i = 0; i < n; ++i) x[1] ^= i;
        x[0] = %d / x[2];
    }"""
    faults = []

    def launch(module):
        for _ in range(10):
            try:
                module.launch("k", 1, 1, [np.zeros(3, np.int32), 2_000_000])
            except emulator.EmulatorError as error:
                faults.append(str(error))

    threads = [
        threading.Thread(target=launch, args=[emulator.Module(text % i, ["k"])]) for i in (7, 8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) == 20 and all("divides an integer by zero" in each for each in faults)


@pytest.mark.skipif(sys.platform != "linux", reason="files are marked on Linux only")
def test_a_file_of_the_cache_that_was_cut_off_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    compile_module("__global__ void k(int* x) { *x = 7; }", ["k"])
    (folder,) = tmp_path.iterdir()
    whole = {file: file.read_bytes() for file in folder.iterdir()}
    assert len(whole) == 2
    for file, content in whole.items():
        file.write_bytes(content[: len(content) // 3])
    x = np.zeros(1, np.int32)
    emulator.Module("__global__ void k(int* x) { *x = 7; }", ["k"]).launch("k", 1, 1, [x])
    assert x[0] == 7
    assert all(len(file.read_bytes()) == len(content) for file, content in whole.items())


def test_the_cache_forgets_what_has_not_been_used_for_long(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    old, used = (compile_module(f"__global__ void k() {{ /* {i} */ }}", ["k"]) for i in range(2))
    for each in (old, used):
        os.utime(each, (0, 0))
    assert compile_module("__global__ void k() { /* 1 */ }", ["k"]) == used
    compile_module("__global__ void k() { /* 2 */ }", ["k"])
    assert used.exists() and not old.exists()


def test_a_file_with_includes_is_run_and_its_faults_name_the_included_file(tmp_path):
    (tmp_path / "inner.cuh").write_text(
        "#pragma once\n__device__ int half(int n) { return n /\n2; }"
    )
    (tmp_path / "outer.cuh").write_text('#pragma once\n#include "inner.cuh"\n')
    (tmp_path / "main.cu").write_text(
        '#include "inner.cuh"\n#include "outer.cuh"\n'
        "__global__ void halve(int* x, int n) {\n    assert(n % 2 == 0);\n    *x = half(n);\n}\n"
    )
    x = np.zeros(1, np.int32)
    emulator.run(tmp_path / "main.cu", "halve", 1, 1, [x, 8])
    assert x[0] == 4
    with pytest.raises(emulator.EmulatorError, match=r"main\.cu:4: assertion.*n % 2 == 0"):
        emulator.run(str(tmp_path / "main.cu"), "halve", 1, 1, [x, 7])
    (tmp_path / "inner.cuh").write_text("#pragma once\n__device__ int half(int n) { return\n m; }")
    with pytest.raises(emulator.EmulatorError, match=r"inner\.cuh:3:.*'m'"):
        emulator.run(tmp_path / "main.cu", "halve", 1, 1, [x, 8])


def test_a_compile_error_shows_the_users_line():
    with pytest.raises(emulator.EmulatorError, match=r"kernel\.cu:2:[\s\S]*undeclared_name"):
        emulator.Module("__global__ void k(int* x) {\n*x = undeclared_name;\n}", ["k"])


def test_without_a_compiler_the_error_says_how_to_get_one(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(emulator.EmulatorError, match=r"no-such-compiler.*install g\+\+"):
        emulator.run("__global__ void k() {}", "k", 1, 1, [])


# ------------------------------------------------------------------------------ arguments


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([X, 6], "takes 3 arguments, got 2"),
        ([X.astype(np.float64), 6, 1.0], "argument 0: an array of float32, got shape.*float64"),
        ([X.astype(">f4"), 6, 1.0], "argument 0: an array of float32"),
        ([[1.0], 6, 1.0], "argument 0: an array of float32, or None"),
        ([X.T, 6, 1.0], r"argument 0: the array \(shape \(3, 2\), float32\) is not contiguous"),
        ([np.frombuffer(bytes(24), np.float32), 6, 1.0], "argument 0: the array is read-only"),
        ([X, 6.0, 1.0], "argument 1: an integer for a parameter of type int32, got 6.0"),
        ([X, 2**31, 1.0], "argument 1: 2147483648 does not fit int32"),
        ([X, "6", 1.0], "argument 1: a number for a parameter of type int32, got '6'"),
        ([X, 6, None], "argument 2: a number for a parameter of type float32, got None"),
    ],
)
def test_arguments_that_do_not_fit_the_parameters(features, arguments, told):
    with pytest.raises(emulator.EmulatorError, match=f"scaled: {told}"):
        features.launch("scaled", 1, 8, arguments)


@pytest.mark.parametrize(
    ("launch", "told"),
    [
        ({"grid": 0}, "has no blocks"),
        ({"grid": (1, 65536)}, "at most"),
        ({"block": 1025}, "at most"),
        ({"block": (32, 33)}, "more than 1024 threads"),
        ({"block": (1, 2, 3, 4)}, "one to three integers"),
        ({"block": 8.0}, "one to three integers"),
        ({"shared": 49153}, "49153 bytes of shared memory"),
        ({"blocks": [0, 1]}, "block 1 is not one of the 1"),
        ({"schedule": "backward"}, "'shuffle:SEED'"),
    ],
)
def test_launches_that_no_device_takes(features, launch, told):
    with pytest.raises(emulator.EmulatorError.__mro__[1], match=told):
        features.launch(**{"name": "scaled", "grid": 1, "block": 8, "args": [X, 6, 1.0], **launch})


def test_numbers_are_cast_to_the_parameters_types(features):
    x = np.ones(8, np.float32)
    features.launch("scaled", 1, 8, [x, np.int64(8), 0.1])
    np.testing.assert_array_equal(x, np.float32(0.1))
    features.launch("scaled", np.int32(1), (np.int64(8),), [x, True, np.array(3)])
    np.testing.assert_array_equal(x, [np.float32(0.1) * 3] + [np.float32(0.1)] * 7)
    features.launch("scaled", 1, 8, [None, 0, 1])


# ------------------------------------------------------------------------------ faults


@every_schedule
@pytest.mark.parametrize(
    ("name", "kinds", "told"),
    [
        ("two_barriers", {"divergent barrier"}, ["3 of 4 threads", "1 of 4 threads"]),
        ("barrier_and_shuffle", {"deadlock"}, ["for lane 3", "wait in __syncthreads"]),
        ("other_masks", {"deadlock"}, ["with mask 0x00000007 for lane 0", "2 of 4 threads"]),
        ("foreign_mask", {"shuffle mask"}, ["in which it is not"]),
        ("failing", {"assertion"}, ["assertion failed: threadIdx.x < 2"]),
        ("spinning", {"deadlock"}, ["the thread spins"]),
        ("null", {"crash"}, ["through a null pointer"]),
        ("far", {"crash"}, ["memory that is not there"]),
        ("divided", {"crash"}, ["divides an integer by zero"]),
        ("deep", {"crash"}, ["no room on its stack"]),
    ],
)
def test_faults_name_their_line_block_and_thread(faults, name, kinds, told, schedule):
    with pytest.raises(emulator.EmulatorError) as caught:
        faults.launch(name, 2, 4, [np.zeros(8, np.int32)], schedule=schedule)
    reports = caught.value.reports
    assert {each.kind for each in reports} == kinds
    for text in told:
        assert any(text in each.other for each in reports)
    first = 1 if schedule == "reverse" else 0
    for each in reports:
        assert each.file == "kernel.cu" and each.line in FAULTS.lines(name)
        assert schedule.startswith("shuffle") or each.block == (first, 0, 0)
        assert str(each) in str(caught.value)


def test_a_fault_leaves_the_module_in_order(faults):
    y = np.zeros(8, np.int32)
    for name in ("barrier_and_shuffle", "failing", "null", "deep"):
        with pytest.raises(emulator.EmulatorError):
            faults.launch(name, 2, 4, [np.zeros(8, np.int32)])
        faults.launch("fine", 2, 4, [y])
        np.testing.assert_array_equal(y, np.arange(8))
        y[:] = 0
