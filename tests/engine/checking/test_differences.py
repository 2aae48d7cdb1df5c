"""Finite differences are as good as they say; so are kinks, noise and the order of remainders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.engine.checking.differences import slope, taylor_order

FUNCTIONS = {
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "fifth power": (lambda x: x**5, lambda x: 5 * x**4),
    "steep": (lambda x: np.tanh(50 * x), lambda x: 50 / np.cosh(50 * x) ** 2),
    "waves": (lambda x: np.sin(300 * x), lambda x: 300 * np.cos(300 * x)),
    "pole": (lambda x: 1 / (x - 0.0999), lambda x: -1 / (x - 0.0999) ** 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(st.floats(0.1, 3.0))
def test_the_error_that_is_stated_is_kept(name, x):
    function, derivative = FUNCTIONS[name]
    point = np.array([x])
    found = slope(lambda a: function(a[0]), [point], [np.abs(point)], function(point))
    off = abs(found.value[0] - x * derivative(x))
    assert off <= found.error[0]
    # And it says something: all but next to the pole, seven digits or more.
    if name != "pole":
        assert found.error[0] <= 1e-7 * max(1.0, abs(x * derivative(x)))


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_one_sided_slopes_differ_at_a_kink(left, right):
    def bent(a):
        return np.where(a[0] < 0, left * a[0], right * a[0]) + np.cos(a[0])

    found = slope(bent, [np.zeros(1)], [np.ones(1)], np.ones(1))
    assert abs(found.left[0] - left) <= found.side_error[0]
    assert abs(found.right[0] - right) <= found.side_error[0]
    if abs(left - right) > 1e-6:
        assert found.kinked[0]


def test_a_smooth_function_has_no_kink():
    x = np.linspace(-2, 2, 41)
    for function in (np.sin, np.exp, np.tanh, lambda x: x**4):
        found = slope(lambda a, f=function: f(a[0]), [x], [np.ones(41)], function(x))
        assert not np.any(found.kinked)


def test_what_does_not_move_is_still():
    x = np.array([0.3, 0.6])
    found = slope(
        lambda a: np.array([a[0][0], 5.0]), [x], [np.array([1.0, 0.0])], np.array([0.3, 5])
    )
    assert found.still.tolist() == [False, True] and found.value[1] == 0


def test_steps_shrink_until_no_branch_flips():
    x = np.array([1e-6])
    steps = []

    def smooth(step):
        steps.append(step)
        return step < 1e-6

    found = slope(lambda a: np.maximum(a[0], 0), [x], [np.ones(1)], x, smooth=smooth)
    assert steps[0] > 1e-6 > found.step and abs(found.value[0] - 1) <= found.error[0]


@given(st.floats(0.5, 2), st.sampled_from([-1.0, 0.5, 0.9, 1.0, 1.1]))
def test_the_remainder_falls_quadratically_for_the_right_slope_alone(x, factor):
    point, base = np.array([x]), np.exp([x])
    found = slope(lambda a: np.exp(a[0]), [point], [np.ones(1)], base)
    order = taylor_order(found, np.ones(1), factor * np.exp(x), 1e-16)
    assert abs(order - (2 if factor == 1 else 1)) < 0.1


def test_no_order_is_told_of_a_linear_function():
    x = np.array([0.7])
    found = slope(lambda a: 3 * a[0], [x], [np.ones(1)], 3 * x)
    assert taylor_order(found, np.ones(1), 3.0, 1e-16) is None
