"""The kernels that measure and limit gradients: sums of squares, clipping, are all finite?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.engine.devices import get_device

k = get_device("cpu").sets["reference"]
both = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@both
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_sum_of_squares(dtype: type, size: int) -> None:
    g = np.random.default_rng(size).standard_normal(size).astype(dtype)
    total = k.sum_of_squares(g)
    assert isinstance(total, np.ndarray)
    assert total.shape == () and total.dtype == dtype
    exact = math.fsum(float(each) ** 2 for each in g)
    assert abs(float(total) - exact) <= size * np.finfo(dtype).eps * exact


@both
def test_clip_to_norm_limits_the_norm_and_keeps_the_direction(dtype: type) -> None:
    g = np.array([3.0, -4.0], dtype)
    norm = np.sqrt(k.sum_of_squares(g))
    assert k.clip_to_norm(g, norm, 10.0) is None
    np.testing.assert_array_equal(g, [3.0, -4.0])  # below the limit: not a bit changes
    k.clip_to_norm(g, norm, 5.0)
    np.testing.assert_array_equal(g, [3.0, -4.0])
    k.clip_to_norm(g, norm, 0.5)
    np.testing.assert_allclose(g, [0.3, -0.4], rtol=2 * np.finfo(dtype).eps)
    assert g.dtype == dtype


@both
@pytest.mark.filterwarnings("ignore:invalid value")
def test_clip_to_norm_shows_what_is_not_finite(dtype: type) -> None:
    g = np.array([1.0, np.inf], dtype)
    k.clip_to_norm(g, np.asarray(np.inf, dtype), 1.0)
    np.testing.assert_array_equal(g, [0.0, np.nan])
    g = np.array([1.0, 2.0], dtype)
    k.clip_to_norm(g, np.asarray(np.nan, dtype), 1.0)
    np.testing.assert_array_equal(g, [np.nan, np.nan])
    g = np.zeros(2, dtype)
    k.clip_to_norm(g, np.zeros((), dtype), 1.0)
    np.testing.assert_array_equal(g, [0.0, 0.0])


@both
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_all_finite(dtype: type, odd: float) -> None:
    x = np.full((3, 4), np.finfo(dtype).max, dtype)
    found = k.all_finite(x)
    assert isinstance(found, np.ndarray) and found.dtype == bool and found.shape == ()
    assert found and k.all_finite(x[:0])
    x[2, 1] = odd
    assert not k.all_finite(x)
