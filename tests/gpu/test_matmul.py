"""The tiled product of matrices, which is there to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.gpu import emulator
from chainrule.gpu.families.matmul import tiled_matmul

from .parity import DTYPES, SCHEDULES, near, numbers

EXAMPLES = {"raw": 25, "numba": 4}
SIZES = {
    "raw": st.sampled_from([1, 2, 5, 31, 32, 33, 64, 70]),
    "numba": st.sampled_from([1, 3, 32, 33]),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_numpy(device, kernel_set, dtype):
    """n products, each rounded, and n - 1 sums: off by n u times the sum of their sizes."""

    @settings(max_examples=EXAMPLES[kernel_set], deadline=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        rows, inner, columns = (data.draw(SIZES[kernel_set]) for _ in range(3))
        a = numbers(data.draw, dtype, rows, inner, special=False)
        b = numbers(data.draw, dtype, inner, columns, special=False)
        with emulator.schedule(data.draw(st.sampled_from(SCHEDULES))):
            c = tiled_matmul(device.sets[kernel_set], device.from_host(a), device.from_host(b))
        wide = a.astype(np.longdouble), b.astype(np.longdouble)
        truth, sizes = wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1])
        allowed = (inner + 1) * float(np.finfo(dtype).eps) * sizes
        near(device.to_host(c), truth.astype(dtype), allowed.astype(np.float64))

    run()


def test_a_nan_spoils_its_row_and_column_only(device, kernel_set):
    """What lies beyond the edges of a tile is zeros, not numbers of other rows."""
    a, b = np.ones((33, 3)), np.ones((3, 2))
    a[32, 1], b[0, 1] = np.nan, np.inf
    k = device.sets[kernel_set]
    c = device.to_host(tiled_matmul(k, device.from_host(a), device.from_host(b)))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(c, a @ b)


def test_no_thread_races_or_reads_elsewhere(device, kernel_set):
    if device.name != "emulated":
        pytest.skip("only the emulator checks accesses")
    size = 33 if kernel_set == "raw" else 3  # Numba's kernels are Python: one tile
    a, b = np.ones((size, 34), np.float32), np.ones((34, 3), np.float32)
    with emulator.checked():
        c = tiled_matmul(device.sets[kernel_set], a, b)
    np.testing.assert_array_equal(c, np.full((size, 3), 34, np.float32))


def test_fewer_blocks_than_tiles_go_on(device, kernel_set):
    from chainrule.gpu.families.matmul import tiled_matmul_entry

    a, b = np.ones((40, 2), np.float32), np.ones((2, 40), np.float32)
    c = device.xp.zeros((40, 40), dtype="float32")
    given: list[Any] = [device.from_host(a), device.from_host(b), c, 40, 2, 40]
    tiled_matmul_entry(device.sets[kernel_set], *given, grid=3)
    np.testing.assert_array_equal(device.to_host(c), a @ b)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_matrices(device, rows, inner, columns):
    a, b = device.xp.ones((rows, inner)), device.xp.ones((inner, columns))
    c = device.to_host(tiled_matmul(device.sets["raw"], a, b))
    np.testing.assert_array_equal(c, np.zeros((rows, columns)))


def test_what_does_not_fit_is_told(device):
    k, ones = device.sets["raw"], device.xp.ones
    with pytest.raises(ShapeError, match=r"a must be \(rows, inner\) and b .* shape \(2, 3\)"):
        tiled_matmul(k, ones((2, 3)), ones((2, 3)))
    with pytest.raises(ShapeError, match="tiled_matmul"):
        tiled_matmul(k, ones(3), ones((3, 3)))
    with pytest.raises(DtypeError, match="both be float32, or float64"):
        tiled_matmul(k, ones((2, 2), dtype="float32"), ones((2, 2)))
