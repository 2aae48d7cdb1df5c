"""Right gradients that rounding moves far pass; wrong ones beside them do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr


def attention(q, k, v):
    return cr.softmax(q @ cr.swapaxes(k, -1, -2)) @ v


def long_product(x):
    for _ in range(300):
        x = x * 1.0001
    return x


SATURATED = [
    (cr.tanh, [6.0]),  # 1 - tanh² in float32
    (cr.tanh, [19.0, 1.0]),
    (cr.sigmoid, [15.0, 40.0, -40.0]),
    (cr.softmax, [0.0, -10.0, -10.0]),
    (cr.softmax, [30.0, 0.0, -30.0]),  # in float64, too
    (lambda x: (x + 1e8) - 1e8, [0.3, -1.2]),  # differences of it are of rounded numbers
    (long_product, [0.3, -1.2]),
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("function", "point"), SATURATED)
def test_what_loses_digits_within_is_no_false_alarm(function, point, order):
    report = cr.gradcheck(function, np.array(point), order=order)
    assert report.ok, str(report)


def test_sharp_attention_is_linear_in_its_upstream_gradient():
    rng = np.random.default_rng(0)
    queries, keys, values = (rng.normal(size=(2, 4, 3)) for _ in range(3))
    report = cr.gradcheck(attention, 50 * queries, 50 * keys, values)
    assert report.ok, str(report)


@settings(max_examples=200)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=4))
def test_the_first_test_that_users_write(x):
    cr.assert_gradients(cr.tanh, np.array(x))


@settings(max_examples=100)
@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_softmax_of_anything(x):
    cr.assert_gradients(cr.softmax, np.array(x))


def test_what_is_beyond_float32_is_noted_and_what_need_not_be_is_wrong():
    report = cr.gradcheck(lambda x: cr.exp(50 * x), np.array([0.5, 2.0]))
    assert report.ok and any("too large for float32" in each for each in report.notes)
    vanishing = cr.gradcheck(lambda x: cr.exp(-x), np.array([95.0, 104.0]))
    assert vanishing.ok, str(vanishing)
    with np.errstate(all="ignore"):
        naive = cr.gradcheck(lambda x: cr.log(1 + cr.exp(x)), np.array([100.0]))
    assert [each.kind for each in naive.findings] == ["precision"]


@pytest.mark.parametrize("point", [[6.0], [0.3, -1.2]])
def test_near_saturation_a_wrong_factor_is_still_found(point):
    wrong = cr.operation(
        "almost_tanh",
        forward=lambda k, x: k.tanh(x),
        vjp=lambda k, g, y: 1.001 * g * (1 - y * y),
    )
    assert not cr.gradcheck(wrong, np.array(point))


def test_a_maximum_is_not_rounded_for_its_gradient_asks_what_equals_it():
    report = cr.gradcheck(lambda x: cr.max(x) * cr.max(x).detach(), np.array([1.0, 3.0, 2.0]))
    assert not report.ok


@pytest.mark.parametrize("point", [3e-30, 1e-17, 1e-20, -1e-20])
def test_the_complex_step_of_sigmoid_does_not_choose_between_ones(point):
    """exp(-1e-20) is 1, and the maximum of it and 1 had the slope of either."""
    report = cr.gradcheck(lambda x: cr.sigmoid(-1e-10 * x + point), np.array([0.0, 0.0]))
    assert report.ok, str(report)


@pytest.mark.parametrize("tiny", [5e-324, 1e-288, 1e-244, -1e-150])
def test_tiny_numbers_are_no_false_alarm(tiny):
    for function in (cr.tanh, lambda x: x * x * x - x, cr.abs):
        assert cr.gradcheck(function, np.array([tiny, tiny]), order=2)
    assert cr.gradcheck(lambda x: cr.sum(cr.abs(x)) + cr.norm(x), np.array([-90.0, tiny, 480.0]))
    assert not cr.gradcheck(lambda x: cr.tanh(x).detach() + 0 * x, np.array([tiny]))


def test_on_a_kink_there_is_no_second_derivative_to_compare():
    for function in (cr.norm, lambda x: cr.softmax(x) * cr.relu(x)):
        report = cr.gradcheck(function, np.zeros(3), order=2)
        assert report.ok and report.order == 1 and "order 2 is not checked" in str(report)


@pytest.mark.parametrize("gap", [10.0, 15.0, 19.0])
def test_the_loss_of_a_confident_classifier(gap):
    """Within one fused kernel, 1 - p loses digits that no moving of its inputs shows."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits, weights = gap * rng.normal(size=3), rng.normal(size=(3, 3))
        report = cr.gradcheck(
            lambda x, w: cr.logsumexp(x @ w) - (x @ w)[0],
            logits,
            weights,
            kernels="reference",
        )
        assert not [
            each
            for each in report.findings
            if each.input is not None and "direction" not in each.text and each.kind == "gradient"
        ], str(report)


def test_what_has_many_waves_within_a_step_is_no_false_alarm():
    def logistic(x):
        for _ in range(40):
            x = 3.9 * x * (1 - x)
        return x

    assert cr.gradcheck(lambda x: cr.sin(1e8 * x), np.array([1.0, -2.0, 0.3]))
    assert cr.gradcheck(logistic, np.array([0.3, 0.7, 0.123]))
    assert not cr.gradcheck(
        lambda x: cr.sin(1e8 * x) * cr.sin(1e8 * x).detach(), np.array([1.0, -2.0, 0.3])
    )


def test_what_no_differences_resolve_is_vacuous_and_not_silent():
    """Waves shorter than any step, in code that the complex step cannot follow."""

    def waves(x):
        return np.sin(1e8 * np.array([float(each) for each in x]))

    report = cr.gradcheck(waves, np.array([0.3]), vjp=lambda g, x: -g * 1e8 * np.cos(1e8 * x))
    assert report.ok and len(report.vacuous) == 1 and "do not resolve" in report.vacuous[0]
    followed = cr.gradcheck(
        lambda x: np.sin(1e8 * x), np.array([0.3]), vjp=lambda g, x: -g * 1e8 * np.cos(1e8 * x)
    )
    assert not followed.ok
