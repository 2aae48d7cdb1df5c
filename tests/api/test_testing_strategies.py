"""The strategies of chainrule.testing draw what they say, without rejecting, and shrink well."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.calls import kinks_of
from chainrule.engine.record import RECORDS
from chainrule.testing import broadcastable_shapes, calls, dtypes, operands, shapes, tensors

few = settings(max_examples=15)
#: Calls are drawn only: the shrinking of failures is slow, and not asked for.
draws = settings(max_examples=5, phases=[Phase.generate])

ELEMENTWISE = [n for n, r in RECORDS.items() if r.builtin and r.elementwise]
WITH_KINKS = [n for n in ELEMENTWISE if RECORDS[n].kinks]
CASED = [
    *("softmax", "sum", "max", "matmul", "einsum", "solve", "getitem", "index_set", "concat"),
    *("floor", "hinge", "huber", "sort", "top_k", "median", "clip", "cholesky", "where", "norm"),
]


@few
@given(shapes(max_dims=2, min_side=1, max_side=4))
def test_shapes_keep_their_bounds(shape):
    assert len(shape) <= 2
    assert all(1 <= n <= 4 for n in shape)


@few
@given(broadcastable_shapes(3))
def test_groups_broadcast_together(group):
    assert len(group) == 3
    np.broadcast_shapes(*group)


def test_a_shape_in_place_of_a_number_is_told_apart_from_hypothesis():
    with pytest.raises(TypeError, match="n must be how many shapes to draw"):
        broadcastable_shapes((2, 3))


def test_kinds_of_dtypes():
    assert find(dtypes(), lambda kind: kind != np.float64) == np.float32
    assert find(dtypes("bi"), lambda kind: kind.kind == "i") == np.int64
    with pytest.raises(ValueError, match="kinds must be letters of 'fiub', got 'c'"):
        dtypes("c")


@few
@given(tensors(dtypes("fiub").map(lambda _: (2,)), dtypes("fiub"), low=0, high=3))
def test_tensors_of_every_dtype(x):
    assert isinstance(x, cr.Tensor)
    assert x.shape == (2,)
    assert ((x.numpy() >= 0) & (x.numpy() <= 3)).all()


@few
@given(tensors(shape=(3,), low=-1.0, high=1.0, unique=True, requires_grad=st.booleans()))
def test_tensors_with_different_elements(x):
    assert len({*x.tolist()}) == 3


def test_tensors_shrink_to_few_simple_numbers():
    found = find(tensors(), lambda x: x.size > 0 and x.sum().item() > 1)
    assert found.size == 1
    assert found.numpy().reshape(()).item() == 2.0


@pytest.mark.parametrize("name", ELEMENTWISE)
@draws
@given(data=st.data())
def test_operands_lie_in_the_domain_off_kinks_and_ties(name, data):
    record = RECORDS[name]
    drawn = data.draw(operands(name, requires_grad=True))
    for argument, x in zip(record.arguments, drawn, strict=True):
        low, high = record.domain.get(argument, (-3.0, 3.0))
        assert x.requires_grad
        assert ((low < x.numpy()) & (x.numpy() < high)).all()
        assert all((np.abs(x.numpy() - kink) > 0.09).all() for kink in kinks_of(record))
    numbers = np.concatenate([x.numpy().reshape(-1) for x in drawn])
    assert len(np.unique(numbers)) == numbers.size
    np.broadcast_shapes(*(x.shape for x in drawn))


@pytest.mark.parametrize("name", WITH_KINKS)
@draws
@given(data=st.data())
def test_operands_on_a_kink(name, data):
    (x,) = data.draw(operands(name, kinks="on"))
    assert x.size == 0 or np.isin(x.numpy(), kinks_of(RECORDS[name])).any()


@pytest.mark.parametrize("name", CASED)
@draws
@given(data=st.data())
def test_calls_of_other_operations_run(name, data):
    call = data.draw(calls(name, dtype="float32"))
    assert call().isfinite().all()
    assert repr(call).startswith(f"{name}(")
    assert all(x.dtype == np.float32 for x in call.operands)


@pytest.mark.parametrize("name", ["maximum", "absolute_error", "max", "sort", "median"])
def test_ties_are_met(name):
    find(calls(name, ties="on"), _tied, settings=settings(database=None))

    @draws
    @given(calls(name))
    def avoided(call):
        numbers = np.concatenate([x.numpy().reshape(-1) for x in call.operands])
        assert len(np.unique(numbers)) == numbers.size

    avoided()


def _tied(call):
    if len(call.operands) == 2:
        a, b = np.broadcast_arrays(*(x.numpy() for x in call.operands))
        return bool((a == b).any())
    (x,) = call.operands
    return x.size > 1 and len(np.unique(x.numpy())) < x.size


def test_a_failing_call_shrinks_to_simple_numbers():
    call = find(calls(cr.divide), lambda call: bool((call() > 1).any()))
    assert [x.size for x in call.operands] == [1, 1]
    assert repr(call) == "divide(2.0, 1.0)"


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: operands(cr.softmax), ValueError, r"calls\(softmax\) draws its operands"),
        (lambda: operands(len), TypeError, "expected an operation, as cr.tanh is"),
        (lambda: calls("tan", kinks="on"), ValueError, "tan has no kinks; leave kinks at 'avoid'"),
        (lambda: calls("tan", ties="on"), ValueError, "tan has no ties"),
        (lambda: calls("tan", kinks="no"), ValueError, "must be 'avoid', 'on' or 'either'"),
        (lambda: calls("sum", shapes=[(2,)]), ValueError, "sum is not elementwise"),
    ],
)
def test_what_cannot_be_drawn_is_said(make, error, match):
    with pytest.raises(error, match=match):

        @settings(max_examples=1, suppress_health_check=list(HealthCheck))
        @given(make())
        def drawn(call):
            pass

        drawn()


def test_without_hypothesis_the_module_imports_and_says_what_to_install():
    code = """
import sys
sys.modules["hypothesis"] = None
import chainrule.testing as testing
testing.check_operation, testing.Program, testing.check_program
for name in ("tensors", "shapes", "calls", "operands", "programs", "dtypes"):
    try:
        made = getattr(testing, name)(*["tanh"] * (name in ("calls", "operands")))
    except ModuleNotFoundError as error:
        assert f"{name}" in str(error) or name == "operands", error
        assert "pip install 'chainrule[test]'" in str(error), error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    quick = "import sys, chainrule.testing; assert 'hypothesis' not in sys.modules"
    subprocess.run([sys.executable, "-c", quick], check=True)


def test_every_name_is_there():
    assert {*dir(cr.testing)} == {*cr.testing.__all__}
    for name in cr.testing.__all__:
        assert getattr(cr.testing, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cr.testing.nothing  # noqa: B018
