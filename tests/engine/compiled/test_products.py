"""Products of matrices in vector registers: right for every shape and layout, on any core."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.kernels import numba_products
from chainrule.engine.kernels.compiled import host, products, threads

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.skipif(host.tile() is None, reason="this processor has no tiles")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
#: Below, at and above what a block holds, and a panel.
SIZES = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 97, 130]


@pytest.fixture(scope="module")
def multiply() -> dict[Any, Callable[..., None]]:
    return {dtype: products.multiplier(dtype) for dtype in DTYPES}


@pytest.fixture
def threads_before() -> Iterator[None]:
    before = cr.get_num_threads()
    yield
    cr.set_num_threads(before)


def laid_out(matrix: Array, layout: str) -> Array:
    """The same numbers with contiguous rows or columns, or rows that lie apart."""
    if layout == "columns":
        return np.asfortranarray(matrix)
    if layout == "apart":
        wider = np.full((matrix.shape[0], matrix.shape[1] + 5), np.nan, matrix.dtype)
        wider[:, 2 : 2 + matrix.shape[1]] = matrix
        return wider[:, 2 : 2 + matrix.shape[1]]
    return np.ascontiguousarray(matrix)


layouts = st.sampled_from(["rows", "columns", "apart"])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_numpy_for_every_shape_and_layout(
    dtype: np.dtype[Any], multiply: dict[Any, Callable[..., None]]
) -> None:
    @settings(max_examples=150, deadline=None)
    @given(
        st.tuples(*[st.sampled_from(SIZES)] * 3),
        layouts,
        layouts,
        layouts,
        st.booleans(),
        st.data(),
    )
    def check(
        shape: tuple[int, int, int], of_a: str, of_b: str, of_c: str, add: bool, data: st.DataObject
    ) -> None:
        rows, k, columns = shape
        random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        a = laid_out(random.standard_normal((rows, k)).astype(dtype), of_a)
        b = laid_out(random.standard_normal((k, columns)).astype(dtype), of_b)
        c = laid_out(random.standard_normal((rows, columns)).astype(dtype), of_c)
        a.flags.writeable = b.flags.writeable = False
        before = c.base.copy() if c.base is not None and of_c == "apart" else None
        wide = a.astype(np.longdouble) @ b + (c if add else 0)
        # One rounding for each of k products and sums, in any order.
        sizes = np.abs(a).astype(np.longdouble) @ np.abs(b) + np.abs(c if add else 0 * c)
        multiply[dtype](a, b, c, add)
        assert (np.abs(c - wide) <= (k + 1) * np.finfo(dtype).eps * sizes).all()
        if before is not None:  # nothing beside c was written
            assert c.base is not None
            np.testing.assert_array_equal(c.base[:, :2], before[:, :2])
            np.testing.assert_array_equal(c.base[:, 2 + columns :], before[:, 2 + columns :])

    check()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_deep_products_go_through_several_panels(
    dtype: np.dtype[Any], multiply: dict[Any, Callable[..., None]]
) -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((40, 1500)), random.standard_normal((1500, 50))
    for left, right in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
        c = np.empty((40, 50), dtype)
        multiply[dtype](left.astype(dtype, "K"), right.astype(dtype, "K"), c, False)
        assert np.abs(c - a @ b).max() < 1500 * np.finfo(dtype).eps * 4


@pytest.mark.usefixtures("threads_before")
@pytest.mark.parametrize("shape", [(32, 500, 500), (500, 32, 500), (700, 90, 33), (1, 900, 900)])
@pytest.mark.parametrize("turned", [False, True])
def test_threads_do_not_change_a_bit(
    shape: tuple[int, int, int], turned: bool, multiply: dict[Any, Callable[..., None]]
) -> None:
    rows, k, columns = shape
    random = np.random.default_rng(1)
    a = random.standard_normal((rows, k)).astype(np.float32)
    b = random.standard_normal((columns, k)).astype(np.float32).T
    if not turned:
        b = np.ascontiguousarray(b)
    found = []
    for count in (1, 2, 3):
        cr.set_num_threads(count)
        for _ in range(3):
            c = np.full((rows, columns), np.nan, np.float32)
            multiply[c.dtype](a, b, c, False)
            found.append(c)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_nan_and_infinity_come_out_as_from_numpy() -> None:
    random = np.random.default_rng(2)
    a = random.standard_normal((70, 80)).astype(np.float32)
    b = random.standard_normal((80, 90)).astype(np.float32)
    a[3, 5], a[11, 7], b[9, 13], b[20, 21] = np.nan, np.inf, -np.inf, np.nan
    a[40], b[9, 13] = 0, np.inf  # 0 * inf is NaN
    assert a.size * b.shape[1] > numba_products.SMALL
    with np.errstate(invalid="ignore"):
        expected, found = np.matmul(a, b), numba_products.matmul(a, b)
    np.testing.assert_array_equal(np.isnan(expected), np.isnan(found))
    np.testing.assert_array_equal(np.isposinf(expected), np.isposinf(found))
    np.testing.assert_array_equal(np.isneginf(expected), np.isneginf(found))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((200, 200), np.float32)[::2], np.ones((200, 200), np.float32)),
        (np.ones((200, 200), ">f4"), np.ones((200, 200), ">f4")),
        (np.ones((200, 200), np.float32), np.ones((200, 200), np.float64)),
        (np.ones((200, 200), np.int64), np.ones((200, 200), np.int64)),
        (np.ones((200, 200), np.complex128), np.ones((200, 200), np.complex128)),
        (np.ones((3, 100, 90), np.float32), np.ones((3, 90, 100), np.float32)),
        (np.ones((100, 90), np.float32), np.ones((3, 90, 100), np.float32)),
        (np.ones((400, 400), np.float32), np.ones(400, np.float32)),
        (np.ones((400, 0), np.float32), np.ones((0, 400), np.float32)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_what_it_does_not_cover_is_numpys(a: Array, b: Array) -> None:
    found, expected = numba_products.matmul(a, b), np.matmul(a, b)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_shapes_that_do_not_fit_are_numpys_error() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        numba_products.matmul(np.ones((200, 200)), np.ones((201, 200)))


def test_memory_that_is_not_aligned() -> None:
    raw = np.zeros(4 * 200 * 200 + 1, np.uint8)[1:].view(np.float32).reshape(200, 200)
    assert not raw.flags.aligned
    raw[...] = np.arange(200)
    np.testing.assert_array_equal(
        numba_products.matmul(raw, np.eye(200, dtype=np.float32)), raw.copy()
    )


def test_threads_are_made_when_first_used_and_shared() -> None:
    assert threads.pool() == threads.pool()


ELSEWHERE = """
import numpy as np
from chainrule.engine.kernels import numba_products
from chainrule.engine.kernels.compiled import host
random = np.random.default_rng(0)
for rows, k, columns in ((100, 90, 80), (8, 300, 200), (600, 30, 50)):
    for dtype in (np.float32, np.float64):
        a = random.standard_normal((rows, k)).astype(dtype)
        b = random.standard_normal((columns, k)).astype(dtype).T
        exact = a.astype(np.longdouble) @ b
        assert np.abs(numba_products.matmul(a, b) - exact).max() < 60 * k * np.finfo(dtype).eps
print(host.tile())
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="for this processor")
@pytest.mark.parametrize(
    ("name", "features", "tile"),
    [
        ("haswell", "+avx,+avx2,+fma,+sse4.2", "Tile(rows=4, vectors=3, width=32)"),
        ("generic", "", "None"),
    ],
)
def test_other_processors(name: str, features: str, tile: str, tmp_path: Path) -> None:
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env={**os.environ, **settings, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == tile
