"""Functions that make tensors: NumPy's values, our dtypes, and errors that name the argument."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

MAKERS = {
    "zeros": (lambda **k: cr.zeros((2, 3), **k), np.zeros((2, 3))),
    "ones": (lambda **k: cr.ones(2, **k), np.ones(2)),
    "full": (lambda **k: cr.full((2,), 7.0, **k), np.full(2, 7.0)),
    "eye": (lambda **k: cr.eye(2, 3, 1, **k), np.eye(2, 3, 1)),
    "linspace": (lambda **k: cr.linspace(0.0, 1.0, 5, **k), np.linspace(0, 1, 5)),
    "arange": (lambda **k: cr.arange(0.0, 1.0, 0.25, **k), np.arange(0, 1, 0.25)),
    "zeros_like": (lambda **k: cr.zeros_like(cr.ones(2), **k), np.zeros(2)),
    "ones_like": (lambda **k: cr.ones_like(cr.zeros(2), **k), np.ones(2)),
    "full_like": (lambda **k: cr.full_like(cr.zeros(2), 3.5, **k), np.full(2, 3.5)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_values_dtypes_and_gradients(name):
    make, expected = MAKERS[name]
    x = make()
    np.testing.assert_array_equal(x.numpy(), expected)
    assert x.dtype == np.float64
    assert not x.requires_grad
    narrow = make(dtype="float32", requires_grad=True)
    assert narrow.dtype == np.float32
    (narrow * 2).backward(np.full(narrow.shape, -1.5))
    assert (narrow.grad.numpy() == -3.0).all()
    with pytest.raises(cr.DtypeError, match=f"{name.removesuffix('_like')}.*float16"):
        make(dtype="float16")
    x += 1.0  # its memory is its own
    np.testing.assert_array_equal(make().numpy(), expected)


@pytest.mark.parametrize("maker", [cr.zeros_like, cr.ones_like, lambda x: cr.full_like(x, 2)])
def test_the_likes_take_shape_and_dtype(maker):
    for kind in ("float32", "int64", "bool"):
        x = maker(cr.zeros((2, 0, 3), dtype=kind))
        assert (x.shape, x.dtype) == ((2, 0, 3), np.dtype(kind))


@pytest.mark.parametrize("shape", [-1, (2, -3), 2.0, "3", (True,), None])
def test_shapes_that_are_none_are_refused(shape):
    for maker in (cr.zeros, cr.ones, lambda s: cr.full(s, 1.0), cr.random.normal):
        with pytest.raises(cr.ShapeError, match="shape must be an int or a tuple of ints"):
            maker(shape)


def test_arange():
    assert cr.arange(3).dtype == np.int64
    assert cr.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert cr.arange(2, 2).shape == (0,)
    with pytest.raises(cr.ShapeError, match="step must not be 0"):
        cr.arange(0, 3, 0)
    with pytest.raises(cr.DtypeError, match="floating"):
        cr.arange(3, requires_grad=True)


def test_one_hot():
    assert cr.one_hot([[0], [2]], 3).tolist() == [[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]]
    assert cr.one_hot(np.array([1], np.uint8), 2, dtype="float32").dtype == np.float32
    assert cr.one_hot(np.zeros((0,), int), 4).shape == (0, 4)
    for wrong in ([3], [-1]):
        with pytest.raises(ValueError, match=rf"label {wrong[0]} is outside of the classes 0 to 2"):
            cr.one_hot(wrong, 3)
    with pytest.raises(cr.DtypeError, match="integers"):
        cr.one_hot([0.0], 3)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("text", cr.DtypeError),
        (None, cr.DtypeError),
        ([1, "a"], cr.DtypeError),
        (2**70, cr.DtypeError),
        (1j, cr.DtypeError),
        (np.array([1.0], np.float16), cr.DtypeError),
        (np.array(["2020-01-01"], "M8[D]"), cr.DtypeError),
        ({1, 2}, cr.DtypeError),
        ([[1, 2], [3]], cr.ShapeError),
    ],
    ids=str,
)
def test_data_that_are_no_numbers_are_refused(data, error):
    with pytest.raises(error, match="tensor: "):
        cr.tensor(data)


def test_lists_of_tensors():
    assert cr.tensor([cr.tensor(1.0), cr.tensor(2.0)]).tolist() == [1.0, 2.0]
    tracked = cr.tensor(1.0, requires_grad=True)
    for lists in ([tracked, 2.0], [[tracked, 2.0]], ([tracked],)):
        with pytest.raises(cr.GradientError):
            cr.tensor(lists)


def test_other_orders_of_bytes_and_memory():
    big = np.array([[1.0, 2.0], [3.0, 4.0]], ">f4")
    x = cr.tensor(big.T)
    assert x.dtype == np.float32
    assert x.dtype.isnative
    assert x.tolist() == [[1.0, 3.0], [2.0, 4.0]]
