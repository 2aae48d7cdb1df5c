"""erf and erfc: to the last places, at the ends, and compiled only where that pays."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.kernels import numba_special, special

INF, NAN = np.inf, np.nan
FUNCTIONS = ("erf", "erfc")
SETS = get_device("cpu").sets

#: In units in the last place; `scripts/measure_special.py` measures on more points.
BOUNDS = {"erf": 1.35, "erfc": 3.5}


def errors(function, x):
    """In units of the last place of the exact value, rounded to the dtype."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workprec(140):
        exact = [getattr(mpmath, function)(mpmath.mpf(each)) for each in x.tolist()]
        got = getattr(SETS["reference"], function)(x).tolist()
        units = [np.spacing(abs(x.dtype.type(each))) for each in exact]
        return [
            float(abs(a - b) / mpmath.mpf(float(unit)))
            for a, b, unit in zip(got, exact, units, strict=True)
        ]


def sweep(dtype):
    rng, about = np.random.default_rng(0), np.finfo(dtype)
    middles = np.arange(1, 1746, 7) / (2 * special.DENSITY)
    ends = [about.smallest_subnormal, about.tiny, about.eps, 5.92, 6.0, 26.5, 27.2]
    sizes = 10.0 ** rng.uniform(np.log10(about.tiny), 1, 100)
    drawn = [rng.uniform(0, high, 100) for high in (0.1, 1, 6, 27)]
    x = np.concatenate([middles, np.nextafter(middles, 0), ends, sizes, *drawn])
    return np.concatenate([x, -x]).astype(dtype)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_float64_is_right_to_the_last_places(function):
    assert max(errors(function, sweep(np.float64))) < BOUNDS[function]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_float32_is_the_nearest_number(function):
    # Computed in float64: to half a unit, but where the exact value is all but between two.
    assert max(errors(function, sweep(np.float32))) < 0.501


POINTS = [0.0, -0.0, INF, -INF, 1e30, -7.0, NAN]
VALUES = {
    "erf": [0.0, -0.0, 1.0, -1.0, 1.0, -1.0, NAN],
    "erfc": [1.0, 1.0, 0.0, 2.0, 0.0, 2.0, NAN],
}


@pytest.mark.parametrize("kernel_set", SETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("size", [1, 20_000])
def test_special_values(function, size, dtype, kernel_set):
    x, expected = (np.tile(np.array(e, dtype), size) for e in (POINTS, VALUES[function]))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = getattr(SETS[kernel_set], function)(x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    assert found.dtype == np.dtype(dtype)


@pytest.mark.parametrize("kernel_set", SETS)
@pytest.mark.parametrize("function", FUNCTIONS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0, 1, 255, 256, 8192, 8193, 17_000]))
def test_every_length_and_stride_gives_the_same(function, kernel_set, seed, size):
    """Across blocks, and across the lengths at which another way is taken: to a few units."""
    rng = np.random.default_rng(seed)
    wide = rng.standard_normal(3 * size) * 3
    kernel = getattr(SETS[kernel_set], function)
    for x in (wide[::3], wide[:size][::-1], wide[: 2 * size].reshape(2, size).T):
        before, expected = x.copy(), [getattr(math, function)(each) for each in x.ravel().tolist()]
        found = kernel(x)
        assert found.shape == x.shape
        np.testing.assert_allclose(found.ravel(), expected, rtol=8 * 2**-52, atol=0)
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("kernel_set", SETS)
def test_integers_and_0d_arrays(kernel_set):
    for kind in ("bool", "uint8", "int8", "int64"):
        found = SETS[kernel_set].erf(np.array([0, 1], kind))
        assert (found.dtype, found.tolist()) == (np.float64, [0.0, math.erf(1)])
    assert SETS[kernel_set].erfc(np.array(1.0, np.float32)).shape == ()


def test_few_numbers_are_the_c_librarys():
    x = np.random.default_rng(0).standard_normal(numba_special.FEW - 1) * 4
    for function in FUNCTIONS:
        expected = [getattr(math, function)(each) for each in x]
        assert getattr(SETS["numba"], function)(x).tolist() == expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_compiled_from_the_threshold_on(function):
    for size in (numba_special.THRESHOLDS[function] - 1, numba_special.THRESHOLDS[function]):
        before = numba_special.compiled.cache_info()
        getattr(SETS["numba"], function)(np.ones(size))
        after = numba_special.compiled.cache_info()
        asked = after.hits + after.misses > before.hits + before.misses
        assert asked is (size == numba_special.THRESHOLDS[function])


def test_neither_import_nor_small_arrays_load_numba():
    code = """
        import sys
        import chainrule as cr
        x = cr.ones(1000, requires_grad=True)
        cr.gelu(cr.erf(x[:10]).sum() + x).sum().backward()
        assert "numba" not in sys.modules
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("x", [1e30, -1e30, 1e4, -1e4, INF, -INF])
def test_derivatives_far_out_are_zero_without_a_warning(x, dtype):
    for function in (cr.erf, cr.erfc):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            tensor = cr.tensor(np.array([x], dtype), requires_grad=True)
            (first,) = cr.grad([function(tensor)], [tensor], [[-1.5]], create_graph=True)
            (second,) = cr.grad([first], [tensor], [[2.5]])
        assert first.tolist() == second.tolist() == [0.0]
        assert first.dtype == second.dtype == np.dtype(dtype)


def test_the_third_derivative_at_zero_is_there():
    third = cr.grad(cr.grad(cr.grad(cr.erf)))(0.0).item()
    assert third == pytest.approx(-4 / math.sqrt(math.pi), rel=1e-15)
