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
from .compare import MOST_SAMPLES, OUTCOMES, Answer, compare, database, refused, report

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def entries():
    """PyTorch's operator database."""
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    pytest.importorskip("expecttest", reason="PyTorch's operator database needs expecttest")
    return database()


@pytest.mark.parametrize("name", ANSWERS)
def test_parity(name, entries):
    if name not in entries:
        pytest.skip(f"this PyTorch has no entry {name}")
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


def test_every_operation_is_asked_for_or_said_to_have_no_entry():
    assert set(UNANSWERED) <= set(cr.OPERATIONS)
    answered = {name for answer in ANSWERS.values() for name in answer.ours}
    assert set(cr.OPERATIONS) <= answered | set(UNANSWERED)


# The comparison itself ----------------------------------------------------------------------------


def slope(x):
    """Twice x, of which a second derivative knows nothing."""
    return 2 * (x.detach() if isinstance(x, cr.Tensor) else x)


@pytest.mark.parametrize(
    ("vjp", "seen"),
    [
        (lambda k, g, x: g * (2 * x), ""),
        (lambda k, g, x: -g * (2 * x), "gradient"),
        (lambda k, g, x: g * (4 * x), "gradient"),
        (lambda k, g, x: 2 * k.sum(g) * x, "gradient"),
        (lambda k, g, x: g * slope(x), "second derivative"),
    ],
    ids=["right", "sign", "factor", "summed", "term of the second order"],
)
def test_a_wrong_vjp_is_seen(vjp, seen, entries, monkeypatch):
    monkeypatch.setattr("chainrule.engine.record.RECORDS", dict(RECORDS))
    square = cr.operation("a_square", forward=lambda k, x: x * x, vjp=vjp, formula="x**2")
    outcome = compare("square", Answer(("square",), lambda _, x: square(x)))
    assert bool(outcome.failures) == bool(seen)
    if seen:  # the first that is wrong is told first
        assert f": {seen}" in outcome.failures[0]


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
