"""Every operation against PyTorch's operator database: values, VJPs, second order.

The entries, and how their arguments translate, are in `adapter`; what is compared, in `compare`.
Without torch and expecttest these tests are skipped.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.record import RECORDS

from .adapter import ANSWERS, UNANSWERED
from .compare import MOST_SAMPLES, Answer, Outcome, compare, database, refused, report

pytestmark = pytest.mark.parity

#: What was compared in this run, for the summary.
OUTCOMES: dict[str, Outcome] = {}


@pytest.fixture(scope="module")
def entries():
    """PyTorch's operator database."""
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    pytest.importorskip("expecttest", reason="PyTorch's operator database needs expecttest")
    return database()


@pytest.mark.parametrize("name", ANSWERS)
def test_parity(name, entries):
    outcome = OUTCOMES[name] = compare(name, ANSWERS[name])
    if outcome.missing:
        pytest.skip(f"not there: {', '.join(outcome.missing)}")
    assert not outcome.failures, "\n".join(outcome.failures)
    assert outcome.samples == (
        outcome.compared + sum(outcome.explained.values()) + outcome.beyond_cap
    )


def test_nothing_that_the_adapter_expects_is_missing():
    missing = {name for answer in ANSWERS.values() for name in answer.missing()}
    assert missing == set()


def test_every_operation_is_compared_or_said_not_to_be():
    answered = {name for answer in ANSWERS.values() for name in answer.ours} | set(UNANSWERED)
    builtin = {name for name, record in RECORDS.items() if record.builtin}
    assert builtin - answered == set()


# The comparison itself ----------------------------------------------------------------------------


def faulty(vjp):
    """An answer by a square whose VJP is `vjp`, under a name of its own."""
    function = cr.operation("a_square", forward=lambda k, x: x * x, vjp=vjp, formula="x**2")
    return Answer(("square",), lambda _, x: function(x))


@pytest.mark.parametrize(
    ("vjp", "orders"),
    [
        (lambda k, g, x: g * (2 * x), []),
        (lambda k, g, x: -g * (2 * x), ["gradient"]),
        (lambda k, g, x: g * (4 * x), ["gradient"]),
        (
            lambda k, g, x: g * 2.0 * x.detach() if isinstance(x, cr.Tensor) else 2 * g * x,
            ["second"],
        ),
        (lambda k, g, x: 2 * k.sum(g) * x, ["gradient"]),
    ],
    ids=["right", "sign", "factor", "second order lost", "not of the element"],
)
def test_a_wrong_vjp_is_seen(vjp, orders, entries):
    outcome = compare("square", faulty(vjp))
    assert bool(outcome.failures) == bool(orders)
    for order in orders:
        assert any(f": {order}" in failure for failure in outcome.failures)
    RECORDS.pop("a_square", None)


def test_a_wrong_value_shape_and_dtype_are_seen(entries):
    for call, text in (
        (lambda f, x: f(x) + 1e-6, "result 0: error"),
        (lambda f, x: f(x).flatten(), "result 0: shape"),
        (lambda f, x: f(x).astype("float32"), "result 0: dtype"),
        (lambda f, x: f(x).detach(), "has no gradient"),
        (lambda f, x: [f(x), x], "2 results"),
        (lambda f, x: 1 / 0, "ZeroDivisionError"),
    ):
        outcome = compare("square", Answer(("square",), call))
        assert any(text in failure for failure in outcome.failures), text


def test_a_refusal_must_be_one_of_our_errors():
    with pytest.raises(AssertionError, match="should be refused"):
        refused("nothing", lambda: None)
    with pytest.raises(ZeroDivisionError):
        refused("an accident", lambda: 1 / 0)


def test_the_report_counts_what_was_left_out(entries):
    outcome = compare("nn.functional.cross_entropy", ANSWERS["nn.functional.cross_entropy"])
    capped = dataclasses.replace(outcome, beyond_cap=7, failures=["wrong"], missing=[])
    lines = "\n".join(report([outcome, capped]))
    assert "6 not compared: weights of classes" in lines
    assert f"7 beyond the cap of {MOST_SAMPLES} samples" in lines
    assert "DISAGREES wrong" in lines
    assert "1 entries disagree" in lines
    absent = compare("square", Answer(("no_such_operation",), lambda f, x: f(x)))
    assert "not there: no_such_operation" in "\n".join(report([absent]))


def test_draws_are_the_same_each_time_and_leave_others_alone(entries):
    before = np.random.get_state()[1].tolist()
    first, second = (compare("square", ANSWERS["square"]) for _ in range(2))
    assert first == second
    assert np.random.get_state()[1].tolist() == before
