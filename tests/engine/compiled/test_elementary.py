"""exp, tanh and sigmoid of compiled loops, against NumPy's in long doubles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from chainrule.engine.kernels.compiled import elementary
from chainrule.engine.kernels.compiled.building import array, build

Array = np.ndarray[Any, Any]
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def _exact_sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


EXACT: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": _exact_sigmoid,
}
#: Units in the last place that the series, the reduction and the last operations lose.
ULPS = {"exp": 1.5, "tanh": 3.0, "sigmoid": 3.5}


def _exp(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = elementary.exp(x[i])


def _tanh(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = elementary.tanh(x[i])


def _sigmoid(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = elementary.sigmoid(x[i])


LOOPS = {"exp": _exp, "tanh": _tanh, "sigmoid": _sigmoid}


def computed(name: str, x: Array) -> Array:
    y = np.empty_like(x)
    build(LOOPS[name], (array(x.dtype), array(x.dtype, written=True)))(x, y)
    return y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LOOPS)
def test_within_some_units_in_the_last_place(name: str, dtype: np.dtype[Any]) -> None:
    limit = 760.0 if dtype == np.float64 else 110.0
    small = 10.0 ** np.linspace(-30, 0, 3001)
    x = np.concatenate(
        [np.linspace(-limit, limit, 40_001), np.linspace(-3, 3, 40_001), small, -small]
    ).astype(dtype)
    y = computed(name, x)
    with np.errstate(over="ignore", under="ignore"):
        exact = EXACT[name](x.astype(np.longdouble))
        rounded = exact.astype(dtype)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    normal = finite & (np.abs(rounded) >= np.finfo(dtype).tiny)
    away = np.abs(y[normal] - exact[normal]) / np.spacing(np.abs(rounded[normal]))
    assert away.max() <= ULPS[name]
    below = finite & ~normal  # denormal numbers: two roundings of that size
    unit = float(np.finfo(dtype).smallest_subnormal)
    assert (np.abs(y[below] - exact[below]) <= 2 * unit + 1e-3 * np.abs(exact[below])).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LOOPS)
def test_special_numbers(name: str, dtype: np.dtype[Any]) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    with np.errstate(over="ignore"):
        expected = EXACT[name](x)
    found = computed(name, x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[:2]), np.signbit(expected[:2]))


def test_they_are_also_functions_of_python() -> None:
    assert elementary.exp(0.0) == 1.0
    assert elementary.tanh(0.0) == 0.0
    assert elementary.sigmoid(0.0) == 0.5


def test_other_types_are_refused() -> None:
    with pytest.raises(numba.TypingError):
        build(_exp, (array(np.int64), array(np.float64, written=True)))
