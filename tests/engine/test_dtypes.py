"""float32 stays float32; the default dtype is for data that bring none of their own."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr


@pytest.fixture
def float32_by_default():
    cr.set_default_dtype("float32")
    yield
    cr.set_default_dtype(None)


def test_dtypes_of_data_are_kept():
    for kind in ("float32", "float64", "int8", "uint8", "int32", "int64", "bool"):
        assert cr.tensor(np.ones(2, kind)).dtype == np.dtype(kind)
    assert cr.tensor([1, 2]).dtype == np.int64
    assert cr.tensor([True]).dtype == np.bool_
    assert cr.tensor(1.5).dtype == np.float64
    assert cr.tensor([np.float32(1.5)]).dtype == np.float32


@pytest.mark.usefixtures("float32_by_default")
def test_the_default_dtype_is_for_floats_without_one():
    assert cr.default_dtype() == np.float32
    for made in (
        cr.tensor(1.5),
        cr.tensor([[1.5]]),
        cr.zeros(2),
        cr.arange(0, 1, 0.5),
        cr.linspace(0, 1, 3),
        cr.eye(2),
        cr.one_hot([0], 2),
        cr.random.normal(2),
        cr.full(2, 1.5),
        cr.tensor([1.0, 2.0]) * [0.5, 1.5],
    ):
        assert made.dtype == np.float32
    assert cr.tensor(np.ones(2)).dtype == np.float64
    assert cr.tensor([1]).dtype == np.int64


@pytest.mark.parametrize("wrong", ["int64", "float16", "nonsense"])
def test_other_defaults_are_refused(wrong):
    with pytest.raises(cr.DtypeError, match="set_default_dtype"):
        cr.set_default_dtype(wrong)
    assert cr.default_dtype() == np.float64


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_float32_stays_float32_through_a_long_expression(shape):
    x = cr.tensor(np.full(shape, 0.5, np.float32), requires_grad=True)
    y = 2 * cr.exp(-x) / (1 + x**2) - cr.where(x > 0, x, 1.0) + cr.maximum(x, 0) ** 0.5
    y = cr.sigmoid(y - 0.5) * cr.softplus(y) + cr.tanh(1 / y) + 2**x + cr.clip(x, 0.1, 0.4)
    y = y.mean() + y.max() + cr.sqrt(abs(y) + 1e-3).sum() - True
    assert y.dtype == np.float32
    (first,) = cr.grad([y], [x], create_graph=True)
    (second,) = cr.grad([(first * first).sum()], [x])
    assert first.dtype == second.dtype == np.float32


@pytest.mark.parametrize("scalar", [np.float64(2.0), np.array(2.0), np.array([2.0])])
def test_arrays_and_their_scalars_bring_their_dtype_as_in_numpy(scalar):
    x = cr.tensor([1.0], dtype="float32", requires_grad=True)
    y = x * scalar
    assert y.dtype == (x.numpy() * scalar).dtype == np.float64
    y.backward([-3.0])
    assert x.grad.dtype == np.float32


def test_sums_of_small_integers_do_not_wrap_around():
    assert cr.sum(cr.tensor(np.full(1000, 100, np.int8))).item() == 100_000
    assert cr.sum(cr.tensor([True, True])).item() == 2
    assert cr.mean(cr.tensor([1, 2])).dtype == np.float64
