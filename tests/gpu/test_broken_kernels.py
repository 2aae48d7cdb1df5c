"""Copies of the project's own kernels with a fault in each: checked mode tells file and line."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from chainrule.gpu import emulator
from chainrule.gpu.emulator.compiling import find_compiler
from chainrule.gpu.sources import assembled, text, wrapper
from chainrule.gpu.table import entries

try:
    find_compiler()
except emulator.EmulatorError as missing:
    pytest.skip(str(missing), allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("checked mode needs Linux", allow_module_level=True)

ROWS, INNER, COLUMNS = 34, 35, 33  # neither fills its last tile
PRODUCT = "matmul", "tiled_matmul"
A, B, C = (
    np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for shape in [(ROWS, INNER), (INNER, COLUMNS), (ROWS, COLUMNS)]
)


def copy_of(family, name, file="", old="", new=""):
    """The kernel for float32, compiled for checks, with a text replaced in one of its files."""
    (entry,) = [each for each in entries(family) if each.name == name]

    def read(part):
        code = text(part)
        if part == file:
            assert code.count(old) == 1, f"{old!r} stands {code.count(old)} times in {file}"
            code = code.replace(old, new)
        return code

    source = assembled(family, [wrapper(entry, "float32")], read)
    return emulator.Module(source, [entry.instance("float32")], checked=True)


def line_of(file, fragment):
    """The number of the only line at which the fragment begins."""
    code = text(file)
    assert code.count(fragment) == 1
    return code.count("\n", 0, code.index(fragment)) + 1


def multiply(module, grid=2, schedule="shuffle:3"):
    arguments = [A, B, np.empty_like(C), ROWS, INNER, COLUMNS]
    module.launch("tiled_matmul_float", grid, 256, arguments, schedule=schedule)
    return arguments[2]


@pytest.mark.parametrize("schedule", ["forward", "reverse", "shuffle:3"])
def test_the_true_kernel_passes(schedule):
    result = multiply(copy_of(*PRODUCT), schedule=schedule)
    bound = 2 * INNER * np.finfo(np.float32).eps * (np.abs(A) @ np.abs(B))
    assert np.all(np.abs(result - A.astype(np.float64) @ B) <= bound)


LAST_BARRIER = "__syncthreads(); // before the next tiles take their place"
STORE = "if (row < rows && column < columns) c["
FIRST_PARTS = "for (int part = 0; part < PART; ++part) {\n                const int place"
LOAD = "left[place][lane] = row < rows"


@pytest.mark.parametrize(
    ("old", "new", "kind", "told"),
    [
        pytest.param(LAST_BARRIER, "", "race", LOAD, id="missing-barrier"),
        pytest.param(
            LAST_BARRIER,
            "if (top >= rows) return; __syncthreads();",
            "divergent barrier",
            LAST_BARRIER,
            id="divergent-barrier",
        ),
        pytest.param(
            LOAD, LOAD.replace("row <", "row <="), "out of bounds", LOAD, id="off-by-one-read"
        ),
        pytest.param(
            STORE, STORE.replace("row <", "row <="), "out of bounds", STORE, id="off-by-one-write"
        ),
        pytest.param(
            FIRST_PARTS,
            FIRST_PARTS.replace("part = 0", "part = 1"),
            "uninitialised",
            "const T number = right[k][lane]",
            id="uninitialised-shared-memory",
        ),
    ],
)
def test_a_fault_in_the_product_of_matrices(old, new, kind, told):
    with pytest.raises(emulator.EmulatorError) as caught:
        multiply(copy_of(*PRODUCT, "matmul.cu", old, new))
    found = caught.value.reports
    assert all(each.file == "matmul.cu" for each in found)
    lines = range(line_of("matmul.cu", told), line_of("matmul.cu", told) + 2)  # of a statement
    assert any(
        each.kind == kind
        and (each.line in lines or any(f"matmul.cu:{line}" in each.other for line in lines))
        for each in found
    ), "\n".join(map(str, found))


def test_a_wrong_mask_in_the_reduction_of_a_warp():
    x = np.zeros((2, 64), np.float32)
    arguments = [x, np.empty_like(x), 2, 64, 256, 0]
    kernel = "softmax", "softmax_forward"
    copy_of(*kernel).launch("softmax_forward_float", 1, 256, arguments)
    broken = copy_of(*kernel, "common.cuh", "#define FULL_WARP 0xffffffffu", "#define FULL_WARP 1u")
    with pytest.raises(emulator.EmulatorError) as caught:
        broken.launch("softmax_forward_float", 1, 256, arguments)
    found = caught.value.reports
    assert {(each.kind, each.file) for each in found} == {("shuffle mask", "common.cuh")}
    lines = text("common.cuh").splitlines()
    assert all("__shfl_xor_sync(FULL_WARP" in lines[each.line - 1] for each in found)


def test_a_grid_that_is_larger_than_what_there_is_to_do():
    # Of one row for each block, instead of rows until there are no more.
    x = np.zeros((1, 4, 4, 1), np.float32)
    columns = np.empty((1, 3, 3, 2, 2, 1), np.float32)
    arguments = [x, columns, 1, 4, 4, 1, 3, 3, 2, 2, 1, 1, 1, 1, 0, 0]
    loop = "row < rows; row += gridDim.x) {\n        const int64 image = row / down"
    broken = copy_of(
        *("convolutions", "im2col", "convolutions.cu"),
        *(loop, loop.replace("row < rows; row += gridDim.x", "row == blockIdx.x; ++row")),
    )
    broken.launch("im2col_float", 3, 256, arguments)
    with pytest.raises(emulator.EmulatorError) as caught:
        broken.launch("im2col_float", 4, 256, arguments)
    assert {(each.kind, each.file) for each in caught.value.reports} == {
        ("out of bounds", "convolutions.cu")
    }
    assert {each.block for each in caught.value.reports} == {(3, 0, 0)}
