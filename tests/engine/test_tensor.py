"""What a Tensor is and how it shows itself."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import chainrule as cr


def test_data_are_copied_and_views_are_read_only():
    array = np.array([1.0, 2.0])
    x = cr.tensor(array)
    array[0] = 9.0
    assert x.tolist() == [1.0, 2.0]
    view = x.numpy()
    assert np.shares_memory(view, x.numpy())
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    x += 1.0
    assert view.tolist() == [2.0, 3.0]


def test_shape_dtype_and_size():
    x = cr.zeros((2, 3), dtype="float32")
    assert (x.shape, x.ndim, x.size, len(x), x.dtype, x.device) == (
        *((2, 3), 2, 6, 2, np.float32),
        "cpu",
    )
    assert (x.T.shape, x.mT.shape, x.flatten().shape) == ((3, 2), (3, 2), (6,))


def test_numbers_out_of_tensors():
    x = cr.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert type(x.item()) is float
    assert [10, 20, 30][cr.tensor(1)] == 20
    with pytest.raises(TypeError):
        [10, 20][cr.tensor(1.0)]
    with pytest.raises(cr.ShapeError, match=r"item: .*\(2,\).*2 elements"):
        cr.tensor([1, 2]).item()
    with pytest.raises(ValueError, match=r"truth value .*\(2,\)"):
        bool(cr.tensor([1, 2]))
    with pytest.raises(TypeError, match="0-d"):
        len(cr.tensor(1))


def test_iteration_keeps_the_gradient():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    a, b = x
    (a * 3 - b).backward()
    assert x.grad.tolist() == [3.0, -1.0]
    with pytest.raises(TypeError):
        list(cr.tensor(1.0))


def test_repr_tells_shape_dtype_and_origin():
    x = cr.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    assert repr(x) == "tensor([1., 2.], shape=(2,), dtype=float32, requires_grad=True)"
    assert repr(x * 2).endswith("dtype=float32, op=multiply)")
    assert repr(x.detach()) == "tensor([1., 2.], shape=(2,), dtype=float32)"
    assert len(repr(cr.zeros((1000, 1000)))) < 2000
    assert repr(cr.tensor(1.5)) == "tensor(1.5, shape=(), dtype=float64)"


OPERATORS = [
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.pow),
    *(operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne),
]


@pytest.mark.parametrize("function", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [2.0, 3, [1.5, 2.0], np.array([0.5, 3.0]), np.float64(2.0)])
def test_operators_are_those_of_numpy_on_both_sides(function, other):
    values = np.array([1.0, 2.0])
    x = cr.tensor(values, requires_grad=True)
    for ours, theirs in (
        (function(x, other), function(values, np.asarray(other))),
        (function(other, x), function(np.asarray(other), values)),
    ):
        assert type(ours) is cr.Tensor
        np.testing.assert_array_equal(ours.numpy(), theirs)
        assert ours.dtype == theirs.dtype
        assert ours.requires_grad is (theirs.dtype.kind == "f")


def test_equality_with_other_things():
    x = cr.tensor([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    assert {x: 1}[x] == 1
    assert x in [x]


@pytest.mark.parametrize("function", [operator.neg, operator.pos, operator.abs])
def test_unary_operators(function):
    values = np.array([-1.5, 2.0])
    np.testing.assert_array_equal(function(cr.tensor(values)).numpy(), function(values))


def test_inversion_is_logical_not():
    assert (~cr.tensor([True, False])).tolist() == [False, True]


@pytest.mark.parametrize(
    "index",
    [
        *(0, -1, slice(None, None, -1), (1, 2), (Ellipsis, 0), None, [1, 0], (slice(None), [0, 0])),
        *(np.array([1, 1]), np.array([[True, False, True], [False, True, False]]), np.int64(1)),
    ],
    ids=str,
)
def test_indexing_is_that_of_numpy(index):
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(cr.tensor(values)[index].numpy(), values[index])
    changed, x = values.copy(), cr.tensor(values)
    changed[index] = -1.0
    x[index] = -1.0
    np.testing.assert_array_equal(x.numpy(), changed)


def test_tensors_are_indices_too():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x[cr.tensor([1, 0])].tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert x[cr.tensor(1), cr.tensor([0, 0])].tolist() == [3.0, 3.0]
    assert x[x > 2.0].tolist() == [3.0, 4.0]


def test_shapes_are_given_as_numbers_or_as_a_tuple():
    x = cr.arange(6)
    assert x.reshape(2, 3).tolist() == x.reshape((2, 3)).tolist() == x.reshape(2, -1).tolist()
    assert x.reshape(1, 2, 3).transpose(2, 0, 1).shape == (3, 1, 2)
    assert x.reshape(1, 2, 3).permute_dims((2, 0, 1)).shape == (3, 1, 2)
    assert x[:1].reshape(()).shape == ()
    with pytest.raises(TypeError):
        x.reshape(2.5, 3)


def test_the_dtype_and_the_gradient_are_converted_together():
    x = cr.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    y = x.astype("float64")
    assert y.dtype == np.float64
    y.backward([1.0, -3.0])
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [1.0, -3.0]
    assert not x.astype("int64").requires_grad


@pytest.mark.parametrize("dtype", ["float16", "complex128", "U1", object])
@pytest.mark.parametrize("convert", [cr.astype, cr.Tensor.astype], ids=["function", "method"])
def test_refused_dtypes_are_refused_by_every_conversion(convert, dtype):
    with pytest.raises(cr.DtypeError, match="astype"):
        convert(cr.tensor([1.0]), dtype)


def test_requires_grad_may_be_switched_on_leaves_only():
    x = cr.tensor([1.0])
    x.requires_grad = True
    assert (x * 2).requires_grad
    with pytest.raises(cr.GradientError, match=r"'multiply'.*detach"):
        (x * 2).requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(cr.DtypeError, match=r"1\.0 instead of 1"):
        cr.tensor([1, 2], requires_grad=True)


def test_a_gradient_that_does_not_fit_cannot_be_set():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(cr.GradientError, match=r"\(3,\)"):
        x.grad = cr.zeros(3)
    with pytest.raises(cr.GradientError, match="float32"):
        x.grad = cr.zeros(2, dtype="float32")
    x.grad = [3.0, -1.0]
    assert x.grad.tolist() == [3.0, -1.0]


def test_detached_tensors_share_memory_and_no_graph():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 3).detach()
    assert not y.requires_grad
    assert y.is_leaf
    assert np.shares_memory(x.detach().numpy(), x.numpy())


def test_one_element_is_formatted_as_a_number():
    loss = cr.tensor([1.0, 2.0], requires_grad=True).sum()
    assert f"{loss:.4f}" == "3.0000"
    assert f"{loss}" == repr(loss)
    with pytest.raises((TypeError, ValueError)):
        f"{cr.ones(2):.4f}"


def test_every_operator_in_place_keeps_the_parameter():
    for change in ("w **= 2", "w //= 2", "w %= 2", "w += 1"):
        space = {"w": cr.tensor([3.0, 2.0], requires_grad=True), "cr": cr}
        before = space["w"]
        exec(f"with cr.no_grad():\n    {change}", space)
        assert space["w"] is before
        assert before.requires_grad
        with pytest.raises(cr.GradientError, match="cannot be changed in place"):
            exec(change, space)
    w = cr.tensor([[3.0]], requires_grad=True)
    with cr.no_grad(), pytest.raises(cr.GradientError, match=r"@=: .*w\.assign"):
        w @= cr.ones((1, 1))
