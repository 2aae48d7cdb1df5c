"""Checked mode of the emulator: planted faults are found with their lines, true kernels pass."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.gpu import emulator
from chainrule.gpu.emulator.compiling import find_compiler

from .cuda_texts import ACCESSES, FAULTS, ORDER, PLANTED, SUMS

try:
    find_compiler()
except emulator.EmulatorError as missing:
    pytest.skip(str(missing), allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("checked mode needs Linux", allow_module_level=True)

SCHEDULES = ["forward", "reverse", "shuffle:1"]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def reports_of(text, name, *arguments, grid=1, block=32, **how):
    """What a checked launch reports."""
    try:
        text.module().launch(name, grid, block, arguments, checked=True, **how)
    except emulator.EmulatorError as error:
        if not error.reports:
            raise
        return error.reports
    return ()


def told(reports):
    """Kind and marker of each report: its line of the text ends with `// marker`."""
    return {(each.kind, each.line) for each in reports}


def expected(text, *faults):
    return {(kind, text.marked(marker)) for kind, marker in faults}


def names(reports, text, faults):
    """Is each of the faults told, with its line as one of two that race, or as the only one?"""
    lines = {marker: text.marked(marker) for _, marker in faults}
    return all(
        any(
            each.kind == kind
            and (each.line == lines[marker] or f"kernel.cu:{lines[marker]}" in each.other)
            for each in reports
        )
        for kind, marker in faults
    )


# ------------------------------------------------------------------------------ planted faults


@given(
    rows=st.integers(0, 5),
    columns=st.integers(1, 150),
    grid=st.integers(1, 4),
    schedule=st.sampled_from(SCHEDULES),
)
@settings(max_examples=12)
def test_a_true_kernel_passes_and_computes_what_it_computes_unchecked(
    rows, columns, grid, schedule
):
    x = np.random.default_rng(columns).normal(size=(rows, columns)).astype(np.float32)
    y, z = np.full_like(x, 7), np.full_like(x, 7)
    arguments = [rows, columns, 0]
    assert (
        reports_of(PLANTED, "centre", x, y, *arguments, grid=grid, block=64, schedule=schedule)
        == ()
    )
    PLANTED.module().launch("centre", grid, 64, [x, z, *arguments])
    np.testing.assert_array_equal(y, z)
    bound = columns * np.finfo(np.float32).eps * np.abs(x).sum(1, keepdims=True)
    assert np.all(np.abs(y - (x - x.sum(1, keepdims=True))) <= bound)


@every_schedule
@pytest.mark.parametrize(
    ("fault", "kind", "marker"),
    [
        (1, "race", "missing barrier"),
        (2, "divergent barrier", "divergent barrier"),
        (3, "out of bounds", "off-by-one read"),
        (4, "out of bounds", "off-by-one write"),
        (5, "uninitialised", "uninitialised"),
        (6, "shuffle mask", "wrong mask"),
        (7, "out of bounds", "wrong grid"),
    ],
)
def test_a_planted_fault_is_told_with_its_line(fault, kind, marker, schedule):
    x = np.random.default_rng(0).normal(size=(3, 70)).astype(np.float32)
    y = np.zeros_like(x)
    found = reports_of(PLANTED, "centre", x, y, 3, 70, fault, grid=4, block=64, schedule=schedule)
    assert names(found, PLANTED, [(kind, marker)])
    # Without the barrier, some also read what is not written yet.
    assert {each.kind for each in found} - {"uninitialised"} == {kind} - {"uninitialised"}
    for each in found:
        assert each.file == "kernel.cu"
        assert each.block[0] < 4 and each.thread[0] < 64


def test_the_kernels_of_the_unchecked_tests_pass():
    x = np.random.default_rng(0).normal(size=(4, 100))
    y = np.zeros(4)
    assert reports_of(SUMS, "sums_double", x, y, 4, 100, grid=3, block=64) == ()


@pytest.mark.parametrize("name", ["two_barriers", "barrier_and_shuffle", "other_masks", "failing"])
def test_faults_that_end_a_launch_are_told_as_in_unchecked_mode(name):
    x = np.zeros(8, np.int32)
    with pytest.raises(emulator.EmulatorError) as unchecked:
        FAULTS.module().launch(name, 2, 4, [x])
    found = reports_of(FAULTS, name, x, grid=2, block=4)
    assert set(unchecked.value.reports) <= set(found)


# ------------------------------------------------------------------------------ order


@every_schedule
@pytest.mark.parametrize(
    ("name", "grid", "block", "faults"),
    [
        ("through_syncwarp", 1, 64, []),
        ("through_nothing", 1, 32, [("race", "read of nothing")]),
        ("through_a_shuffle", 1, 32, [("race", "read of a shuffle")]),
        ("through_half_a_warp", 1, 32, [("race", "read of a half")]),
        ("syncwarp_across_warps", 1, 64, [("race", "read across warps")]),
        ("each_its_own_byte", 2, 64, []),
        ("all_read_one", 2, 64, []),
        ("all_write_one", 1, 2, [("race", "write of one")]),
        ("blocks_write_one", 2, 1, [("race", "write of blocks")]),
        ("write_after_read", 1, 64, [("race", "write after read")]),
        ("read_then_written", 1, 64, [("race", "read then written")]),
        ("read_by_all_written_by_a_reader", 1, 96, [("race", "write by a reader")]),
        ("atomics_meet", 2, 64, []),
        ("atomic_and_plain", 1, 64, [("race", "plain beside atomic")]),
        ("lock", 1, 64, []),
        ("lock_without_fence", 1, 64, [("race", "count in a lock")]),
        ("last_block", 3, 32, []),
        ("last_block_without_fence", 3, 32, [("race", "read without fence")]),
    ],
)
def test_accesses_without_an_order_are_races(name, grid, block, faults, schedule):
    y = np.zeros(256, np.uint8 if name == "each_its_own_byte" else np.int32)
    found = reports_of(ORDER, name, y, grid=grid, block=block, schedule=schedule)
    assert names(found, ORDER, faults)
    assert {each.kind for each in found} == {kind for kind, _ in faults}


def test_a_race_tells_both_threads_and_both_lines():
    (found,) = reports_of(ORDER, "all_write_one", np.zeros(256, np.int32), block=2)
    line = ORDER.marked("write of one")
    assert (found.kind, found.line, found.block, found.thread) == (
        "race",
        line,
        (0, 0, 0),
        (1, 0, 0),
    )
    assert "argument 0 (shape (256,), int32) at element 0" in found.other
    assert f"thread (0, 0, 0) writes at kernel.cu:{line}" in found.other


# ------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("past_static", [("out of bounds", "past static")]),
        ("past_static_by_index", [("out of bounds", "past static by index")]),
        ("past_dynamic", [("out of bounds", "past dynamic")]),
        ("past_local", [("out of bounds", "past local")]),
        ("before_array", [("out of bounds", "before array")]),
        ("partly_past", [("out of bounds", "partly past")]),
        ("through_null", [("out of bounds", "through null")]),
        ("far_away", [("out of bounds", "far away")]),
        ("misaligned", [("misaligned", "misaligned")]),
        ("misaligned_vector", [("misaligned", "misaligned vector")]),
        ("never_written", [("uninitialised", "never written"), ("uninitialised", "atomic on it")]),
        ("of_the_block_before", [("uninitialised", "of the block before")]),
        ("overflowing", [("arithmetic", "overflowing")]),
        ("dividing", [("arithmetic", "dividing")]),
        ("copying", [("out of bounds", "copying")]),
        ("whole", []),
    ],
)
def test_accesses_outside_of_what_is_there(name, faults):
    if name == "misaligned_vector" and "clang" in find_compiler()[0]:
        pytest.skip("clang does not look at the alignment of a structure that is copied whole")
    x = np.arange(64, dtype=np.float32)
    found = reports_of(ACCESSES, name, x, 64, grid=2, block=1, shared=64)
    assert told(found) == expected(ACCESSES, *faults)


def test_what_is_written_outside_of_an_array_harms_nothing():
    room = np.zeros(192, np.float32)
    found = reports_of(ACCESSES, "beyond", room[64:128], 64)
    assert {each.kind for each in found} == {"out of bounds"}
    np.testing.assert_array_equal(room, [0] * 64 + [1] * 64 + [0] * 64)


def test_arrays_that_overlap_stay_so_and_an_empty_one_has_no_elements():
    x = np.arange(8, dtype=np.float32)
    assert reports_of(ACCESSES, "shift", x[:-1], x[1:], 4, block=1) == ()
    np.testing.assert_array_equal(x, [0, 0, 0, 0, 0, 5, 6, 7])
    (found,) = reports_of(ACCESSES, "shift", x[:0], x, 1, block=1)
    assert (found.kind, found.line) == ("out of bounds", ACCESSES.marked("shift"))


def test_outputs_are_written_before_they_are_read_and_whole():
    x, y = np.arange(8, dtype=np.float32), np.empty(8, np.float32)
    assert reports_of(ACCESSES, "shift", x, y, 7, block=1) == ()
    (found,) = reports_of(ACCESSES, "shift", x, y, 5, block=1, writes=[1])
    assert (found.kind, found.file) == ("uninitialised", "kernel.cu")
    assert found.line in ACCESSES.lines("shift")
    assert found.other.startswith("3 elements of argument 1") and "as element 5," in found.other
    assert reports_of(ACCESSES, "shift", x, y, 5, block=1, writes=[1], blocks=[0]) == ()
    found, *_ = reports_of(ACCESSES, "shift", y, x, 7, block=1, writes=[0])
    assert (found.kind, found.line) == ("uninitialised", ACCESSES.marked("shift"))


def test_arrays_that_lie_side_by_side_are_apart():
    rows = np.zeros((3, 8), np.float32)
    assert reports_of(ACCESSES, "shift", rows[0], rows[1], 7, block=1) == ()
    (found,) = reports_of(ACCESSES, "shift", rows[1], rows[2], 8, block=1)
    assert (found.kind, found.other) == (
        "out of bounds",
        "reads 4 bytes at the end of argument 0 (shape (8,), float32)",
    )


def test_a_file_may_have_a_name_of_several_words():
    text = '#line 7 "entry points of x"\n__global__ void nothing(int* x) {}\n'
    module = emulator.Module(text, ["nothing"], checked=True)
    with pytest.raises(emulator.EmulatorError) as caught:
        module.launch("nothing", 1, 1, [np.zeros(3, np.int32)], writes=[0])
    (found,) = caught.value.reports
    assert (found.file, found.line) == ("entry points of x", 7)


def test_no_more_than_twenty_faults_are_told():
    found = reports_of(ACCESSES, "many", np.zeros(1, np.float32), 30, block=1)
    assert len(found) == 20


def test_arrays_too_large_to_copy_are_checked_where_they_are():
    x = np.zeros(2**28 // 4 + 16, np.float32)
    last = x.size - 1
    assert reports_of(ACCESSES, "poke", x, last, block=1) == ()
    assert x[last] == 1
    (found,) = reports_of(ACCESSES, "poke", x, last + 1, block=1)
    assert found.line == ACCESSES.marked("poke") and "at the end of argument 0" in found.other


def test_the_context_manager_checks_and_run_does_too():
    text = "__global__ void racing(int* x) {\n    *x = threadIdx.x;\n}"
    x = np.zeros(1, np.int32)
    emulator.run(text, "racing", 1, 2, [x])
    with emulator.checked(), pytest.raises(emulator.EmulatorError, match=r"kernel\.cu:2: race"):
        emulator.run(text, "racing", 1, 2, [x])
    with pytest.raises(emulator.EmulatorError, match="race"):
        emulator.run(text, "racing", 1, 2, [x], checked=True, schedule="reverse")
    emulator.run(text, "racing", 1, 2, [x])
