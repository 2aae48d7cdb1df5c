"""What may be a gradient at ties, and what may not; and faults that need a certain upstream."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.record import RECORDS


@pytest.fixture
def wrong(monkeypatch):
    """A function that puts another VJP into a record, until the test is over."""

    def put(name, vjp):
        record = RECORDS[name]
        monkeypatch.setattr(record, "vjps", {**record.vjps, "x": vjp})
        monkeypatch.setattr(record, "plans", {})

    return put


def test_several_equal_elements_may_have_the_gradients_of_any_order():
    for x in ([1.0, 1.0, 1.0, 0.0], [2.0] * 5, [[0.0] * 4, [1.0] * 4]):
        for function in (cr.sort, cr.median, lambda x: cr.top_k(x, 3)[0], cr.max):
            assert cr.gradcheck(function, x)


def test_equal_elements_share_what_there_is_to_share(wrong):
    x = [1.0, 3.0, 3.0]
    assert cr.gradcheck(cr.max, x)
    wrong("max", lambda k, g, x, y: g * (x == y).astype(x.dtype))
    found = cr.gradcheck(cr.max, x).findings[0]
    assert found.kind == "gradient" and "at ties" in found.text


def test_at_a_jump_of_the_second_derivative_nothing_is_wrong():
    assert cr.gradcheck(cr.elu, [[0.0, 0.0, 0.0], [0.0, -1.6, -0.94]])


def test_a_small_fault_beside_ties_is_not_taken_for_a_choice(wrong):
    x = [0.5, 0.5, 0.5, -1.0]
    both = lambda x: cr.sort(cr.sin(x))  # noqa: E731
    assert cr.gradcheck(both, x)
    wrong("sin", lambda k, g, x: g * k.cos(x) * (1 + 1e-6 * (x < 0).astype(x.dtype)))
    assert cr.gradcheck(both, x).findings[0].index == (3,)


def test_a_vjp_that_writes_to_its_input_is_seen(wrong):
    def writes(k, g, x):
        result = g * k.sign(x)
        if isinstance(x, np.ndarray):
            x *= 1.5  # the signs stay, and so does the gradient
        return result

    wrong("abs", writes)
    assert cr.gradcheck(cr.abs, [1.0, -2.0]).findings[0].kind == "mutation"


@pytest.mark.parametrize(
    "careless",
    [
        lambda g: g if g.flags["C_CONTIGUOUS"] else 2 * g,
        lambda g: g if any(g.strides) else 2 * g,
        lambda g: g if np.ptp(g) else g + 1e-3,
    ],
    ids=["strided", "broadcast", "constant"],
)
def test_upstream_gradients_of_every_layout(careless, wrong):
    wrong("negative", lambda k, g: -careless(g) if isinstance(g, np.ndarray) else -g)
    x = np.arange(6.0).reshape(2, 3)
    assert not cr.gradcheck(cr.negative, x)


@pytest.mark.parametrize("seed", range(8))
def test_an_upstream_gradient_of_one_number_has_both_signs(seed, wrong):
    wrong("exp", lambda k, g, y: abs(g) * y)
    assert not cr.gradcheck(cr.exp, 0.5, seed=seed)


def test_kinks_of_several_inputs_need_not_lean_the_same_way():
    """Every input's slope is right; along the diagonal the function has another."""
    point = np.zeros(1)
    assert cr.clip(cr.tensor(point), 0, 1).tolist() == [0.0]
    assert cr.gradcheck(lambda x, y: cr.clip(x, 0.0, 1.0) - cr.relu(y), point, point).ok
    vjp = lambda g, x, y: (g * (x >= 0), -g * (y > 0))  # noqa: E731
    report = cr.gradcheck(lambda x, y: np.clip(x, 0, 1) - np.maximum(y, 0), point, point, vjp=vjp)
    assert report.ok and report.kinks == 2, str(report)
