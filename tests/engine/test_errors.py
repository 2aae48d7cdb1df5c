"""Errors say which operation, which argument, its shape and dtype, and what to do.

One row of `FAILURES` is one wrong call and what its error must say; add rows freely. `error` is the
class of ours or of Python's that must be caught.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.remedies import RULES, fits


def ones(*shape, dtype="float64", **options):
    return cr.ones(shape, dtype=dtype, **options)


def leaf(*shape):
    return ones(*shape, requires_grad=True)


#: (the call, the class of its error, fragments that its text must have)
FAILURES = {
    # Shapes that do not broadcast
    "add, one axis more would fit": (
        lambda: ones(2, 3) + ones(2),
        cr.ShapeError,
        [
            "add: ",
            "a has shape (2, 3), float64",
            "b has shape (2,), float64",
            "axis -1 has length 3 in a, 2 in b",
            "cr.expand_dims(b, -1)",
            "b.reshape(2, 1)",
        ],
    ),
    "subtract, an axis in the middle": (
        lambda: ones(2, 3, 4) - ones(2, 4, dtype="float32"),
        cr.ShapeError,
        [
            "subtract: ",
            "b has shape (2, 4), float32",
            "axis -2 has length 3 in a, 2 in b",
            "cr.expand_dims(b, -2)",
            "b.reshape(2, 1, 4)",
        ],
    ),
    "multiply, the first is the shorter": (
        lambda: ones(3) * ones(3, 2),
        cr.ShapeError,
        ["multiply: ", "axis -1 has length 3 in a, 2 in b", "cr.expand_dims(a, -1)"],
    ),
    "divide, transposed": (
        lambda: ones(2, 3) / ones(3, 2),
        cr.ShapeError,
        [
            "divide: ",
            "axis -1 has length 3 in a, 2 in b and axis -2 has length 2 in a, 3 in b",
            "a.T, of shape (3, 2), would fit",
        ],
    ),
    "maximum, nothing fits": (
        lambda: cr.maximum(ones(4), ones(5)),
        cr.ShapeError,
        ["maximum: ", "axis -1 has length 4 in a, 5 in b", "one of them 1", "expand_dims"],
    ),
    "where, three arguments": (
        lambda: cr.where(cr.tensor([True, False]), ones(3), 1.0),
        cr.ShapeError,
        ["where: ", "condition has shape (2,), bool", "axis -1 has length 2 in condition, 3 in a"],
    ),
    "power, an array beside a tensor": (
        lambda: ones(2) ** np.ones(3, "float32"),
        cr.ShapeError,
        ["power: ", "b has shape (3,), float32", "axis -1 has length 2 in a, 3 in b"],
    ),
    "broadcast_to": (
        lambda: cr.broadcast_to(ones(3), (3, 2)),
        cr.ShapeError,
        [
            "broadcast_to: ",
            "x has shape (3,), float64",
            "(3, 2)",
            "must have the length asked for, or 1",
        ],
    ),
    "broadcast_to, fewer axes": (
        lambda: cr.broadcast_to(ones(2, 3), (3,)),
        cr.ShapeError,
        ["broadcast_to: ", "x has shape (2, 3), float64", "(3,)", "counted from the last"],
    ),
    "in place": (
        lambda: cr.zeros(2).__iadd__(np.ones(3)),
        cr.ShapeError,
        ["+=: ", "shape (2,), float64", "shape (3,), float64"],
    ),
    # Axes
    "sum, axis": (
        lambda: ones(2, 3).sum(axis=2),
        cr.ShapeError,
        ["sum: ", "x has shape (2, 3)", "axis", "from -2 to 1"],
    ),
    "max, negative axis": (
        lambda: cr.max(ones(2, 3, dtype="float32"), axis=-3),
        cr.ShapeError,
        ["max: ", "x has shape (2, 3), float32", "from -2 to 1"],
    ),
    "mean, of a number": (
        lambda: ones().mean(axis=1),
        cr.ShapeError,
        ["mean: ", "x has shape (), float64", "leave it out|left out"],
    ),
    "softmax, axis": (
        lambda: cr.softmax(ones(3), axis=1),
        cr.ShapeError,
        ["softmax: ", "from -1 to 0"],
    ),
    "argmax, axis": (
        lambda: cr.argmax(ones(2, 3), axis=7),
        cr.ShapeError,
        ["argmax: ", "from -2 to 1"],
    ),
    "concat, axis": (
        lambda: cr.concat([ones(2), ones(2)], axis=1),
        cr.ShapeError,
        ["concat: ", "tensors[0] has shape (2,)", "from -1 to 0"],
    ),
    "expand_dims, axis": (
        lambda: cr.expand_dims(ones(2), 3),
        cr.ShapeError,
        ["expand_dims: ", "x has shape (2,)", "from -2 to 1"],
    ),
    "sum, one axis twice": (
        lambda: cr.sum(ones(2, 3), axis=(0, -2)),
        cr.ShapeError,
        ["sum: ", "once|twice"],
    ),
    "permute_dims, one axis twice": (
        lambda: cr.permute_dims(ones(2, 3), (0, 0)),
        cr.ShapeError,
        ["permute_dims: ", "(0, 0)", "once|twice|each"],
    ),
    "permute_dims, too few": (
        lambda: cr.permute_dims(ones(2, 3), (0,)),
        cr.ShapeError,
        ["permute_dims: ", "x has shape (2, 3)", "2 axes|each axis|all axes"],
    ),
    "squeeze": (
        lambda: cr.squeeze(ones(2, 1), axis=0),
        cr.ShapeError,
        ["squeeze: ", "(2, 1)", "axis 0 has length 2", "cr.take(x, 0, axis=0)"],
    ),
    # Products of matrices
    "matmul, the second transposed": (
        lambda: ones(2, 3) @ ones(4, 3, dtype="float32"),
        cr.ShapeError,
        [
            "matmul: ",
            "a has shape (2, 3), float64",
            "b has shape (4, 3), float32",
            "the last axis of a, of length 3",
            "axis -2 of b, of length 4",
            "a @ b.mT",
        ],
    ),
    "matmul, the first transposed": (
        lambda: ones(3, 2) @ ones(3, 4),
        cr.ShapeError,
        ["of length 2", "of length 3", "a.mT @ b"],
    ),
    "matmul, exchanged": (
        lambda: ones(2, 3) @ ones(5, 2),
        cr.ShapeError,
        ["of length 3", "of length 5", "b @ a"],
    ),
    "matmul, nothing fits": (
        lambda: ones(2, 3) @ ones(4, 5),
        cr.ShapeError,
        ["the last axis of a, of length 3", "axis -2 of b, of length 4"],
    ),
    "matmul, a vector": (
        lambda: ones(2, 3) @ ones(2),
        cr.ShapeError,
        ["the only axis of b, of length 2", "a.mT @ b"],
    ),
    "matmul, stacks": (
        lambda: ones(2, 2, 3) @ ones(3, 3, 2),
        cr.ShapeError,
        ["matmul: ", "length 2 in the stack of a, 3 in the stack of b", "must broadcast"],
    ),
    "matmul, a number": (
        lambda: ones(2) @ 3.0,
        cr.ShapeError,
        ["matmul: ", "b has 3.0", "a * b"],
    ),
    # Indices
    "an index out of bounds": (
        lambda: ones(2, 3)[0, 3],
        IndexError,
        ["getitem: ", "x has shape (2, 3), float64", "index 3", "axis 1 of length 3", "-3 to 2"],
    ),
    "an array of indices out of bounds": (
        lambda: ones(3)[np.array([0, -4])],
        IndexError,
        ["getitem: ", "index -4", "axis 0 of length 3", "-3 to 2"],
    ),
    "an index of an empty axis": (
        lambda: ones(0, 2)[0],
        IndexError,
        ["getitem: ", "x has shape (0, 2)", "axis 0 of length 0", "it has no elements"],
    ),
    "too many indices": (
        lambda: ones(3)[0, 1],
        IndexError,
        ["getitem: ", "x has shape (3,)", "2 axes is too much for 1", "leave out"],
    ),
    "an index that is a float": (
        lambda: ones(3)[1.5],
        cr.DtypeError,
        ["getitem: ", "got 1.5", "integers, slices"],
    ),
    "an index that is an array of floats": (
        lambda: ones(3)[np.array([1.0])],
        cr.DtypeError,
        ["getitem: ", "got shape (1,), float64", "astype('int64')"],
    ),
    "a mask of another length": (
        lambda: ones(3)[np.array([True, False])],
        cr.ShapeError,
        ["getitem: ", "x has shape (3,)", "a mask", "must have shape (3,)", "got shape (2,), bool"],
    ),
    "indices that do not broadcast": (
        lambda: ones(3, 3)[np.array([0, 1]), np.array([0, 1, 2])],
        cr.ShapeError,
        ["getitem: ", "x has shape (3, 3)", "shapes (2,), (3,)", "np.ix_"],
    ),
    "take_along_axis": (
        lambda: cr.take_along_axis(ones(2, 3), np.array([[5]]), axis=1),
        IndexError,
        ["take_along_axis: ", "x has shape (2, 3)", "index 5", "axis 1 of length 3", "-3 to 2"],
    ),
    # Sizes
    "reshape": (
        lambda: ones(2, 3).reshape(4, 2),
        cr.ShapeError,
        [
            "reshape: ",
            "x has shape (2, 3), float64",
            "shape=(4, 2)",
            "6 elements",
            "8",
            "(-1, 2) would fit",
        ],
    ),
    "reshape, nothing fits": (
        lambda: ones(5).reshape(2, 3),
        cr.ShapeError,
        ["reshape: ", "5 elements", "6", "equal"],
    ),
    "reshape, -1": (
        lambda: ones(2, 3).reshape(4, -1),
        cr.ShapeError,
        ["reshape: ", "6 elements", "4", "divide"],
    ),
    "reshape, -1 twice": (
        lambda: ones(2, 3).reshape(-1, -1),
        cr.ShapeError,
        ["reshape: ", "(-1, -1)", "only one length may be -1"],
    ),
    "a tensor for a shape": (
        lambda: ones(6).reshape(ones(2, 3)),
        (TypeError, cr.ShapeError),
        ["shape (2, 3), float64", "x.shape"],
    ),
    "zeros of a tensor": (
        lambda: cr.zeros(ones(2)),
        cr.ShapeError,
        ["zeros: shape must be", "shape (2,), float64", "x.shape"],
    ),
    "concat": (
        lambda: cr.concat([ones(2, 3), ones(2, 4, dtype="float32")]),
        cr.ShapeError,
        [
            "concat: ",
            "tensors[0] has shape (2, 3)",
            "tensors[1] has shape (2, 4), float32",
            "axis=0|axis 0",
            "must be equal",
        ],
    ),
    "concat, numbers of axes": (
        lambda: cr.concat([ones(2, 3), ones(3)]),
        cr.ShapeError,
        ["concat: ", "tensors[1] has shape (3,)", "same number of axes", "expand_dims"],
    ),
    "stack": (
        lambda: cr.stack([ones(2), ones(3)]),
        cr.ShapeError,
        ["stack: ", "tensors[1] has shape (3,)", "one shape", "cr.concat"],
    ),
    "the largest of nothing": (
        lambda: cr.max(ones(0, 3), axis=0),
        cr.ShapeError,
        ["max: ", "x has shape (0, 3)", "axis=0", "no elements", "leave empty arrays out"],
    ),
    "the index of the largest of nothing": (
        lambda: cr.argmax(ones(0)),
        cr.ShapeError,
        ["argmax: ", "x has shape (0,)", "no elements"],
    ),
    # Dtypes
    "booleans are not subtracted": (
        lambda: cr.tensor([True]) - cr.tensor([True]),
        cr.DtypeError,
        ["subtract: ", "a has shape (1,), bool", "astype('int64')"],
    ),
    "integers to negative powers": (
        lambda: cr.tensor([1, 2]) ** cr.tensor(-1),
        cr.ShapeError,
        ["power: ", "a has shape (2,), int64", "a.astype('float64')"],
    ),
    # Upstream gradients
    "backward, of many elements": (
        lambda: cr.exp(leaf(2, 3)).backward(),
        cr.ShapeError,
        ["backward: ", "'exp'", "shape (2, 3), float64", ".sum()", "gradient=", "(2, 3)"],
    ),
    "backward, of none": (
        lambda: leaf(0).backward(),
        cr.ShapeError,
        ["backward: ", "shape (0,), float64", "not one element", "gradient="],
    ),
    "backward, of another shape": (
        lambda: cr.exp(leaf(2, 3)).backward(np.ones(3, "float32")),
        cr.ShapeError,
        ["backward: ", "'exp'", "upstream gradient has shape (3,)", "(2, 3), float64", "gradient"],
    ),
    "backward, a tensor of another shape and dtype": (
        lambda: cr.exp(leaf(2, 3)).backward(ones(3, 2, dtype="float32")),
        cr.ShapeError,
        ["upstream gradient has shape (3, 2), float32", "must have the tensor's shape, (2, 3)"],
    ),
    "grad, of many elements": (
        lambda: cr.grad(*([x * 2, x] if (x := leaf(2)) is not None else ())),
        cr.ShapeError,
        ["grad: ", "'multiply'", "grad_outputs="],
    ),
    "backward, of what is not tracked": (
        lambda: ones(2).backward(),
        cr.GradientError,
        ["backward: ", "requires no gradient", "requires_grad=True"],
    ),
    # Gradients that would be dropped
    "tensor of a tensor": (
        lambda: cr.tensor(cr.exp(leaf(2))),
        cr.GradientError,
        ["tensor: ", "'exp' (result shape (2,), float64)", "x.detach()", "+x", "no_grad()"],
    ),
    "Tensor of a leaf": (lambda: cr.Tensor(leaf(2)), cr.GradientError, ["tensor: ", ".detach()"]),
    "full of a tensor": (
        lambda: cr.full((2,), leaf()),
        cr.GradientError,
        ["full: ", ".detach()", "cr.broadcast_to(x, shape)"],
    ),
    "full_like of a tensor": (
        lambda: cr.full_like(ones(2), leaf()),
        cr.GradientError,
        ["full: ", "cr.broadcast_to"],
    ),
    "tensor of a list": (
        lambda: cr.tensor([leaf(), 2.0]),
        cr.GradientError,
        ["tensor: ", "cr.stack"],
    ),
}


@pytest.mark.parametrize(("call", "error", "fragments"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("detecting", [False, True], ids=["", "detecting"])
def test_errors_say_what_and_what_to_do(call, error, fragments, detecting):
    with pytest.raises(error) as caught:
        if detecting:
            with cr.detect_anomaly():
                call()
        else:
            call()
    text = str(caught.value)
    for fragment in fragments:
        assert any(each in text for each in fragment.split("|")), (fragment, text)
    assert "\n" not in text


def test_what_is_suggested_works():
    a, b = ones(2, 3, 4), ones(2, 4)
    assert (a - cr.expand_dims(b, -2)).shape == (2, 3, 4)
    assert (ones(2, 3) + cr.expand_dims(ones(2), -1)).shape == (2, 3)
    assert (ones(2, 3) @ ones(4, 3).mT).shape == (2, 4)
    assert (ones(3, 2).mT @ ones(3, 4)).shape == (2, 4)
    assert (ones(5, 2) @ ones(2, 3)).shape == (5, 3)
    assert ones(2, 3).reshape(-1, 2).shape == (3, 2)


def test_fits_is_numpys_rule():
    rng = np.random.default_rng(0)
    for _ in range(300):
        shapes = [tuple(rng.choice([0, 1, 2, 3], rng.integers(0, 4))) for _ in range(3)]
        try:
            np.broadcast_shapes(*shapes)
            known = True
        except ValueError:
            known = False
        assert fits(*shapes) is known, shapes


def test_an_error_without_a_remedy_is_still_told():
    odd = cr.operation("odd", forward=lambda k, x, *, mode=None: [][7] if mode else int("x"))
    with pytest.raises(IndexError, match=r"odd: list index .*x has shape \(2,\), float64, mode=1"):
        odd(ones(2), mode=1)
    with pytest.raises(cr.ShapeError, match=r"odd: invalid literal"):
        odd(ones(2))


def _own(run):
    """An operation of a user's, which leaves all checks to NumPy."""
    return cr.operation("own", forward=lambda k, *xs: run(*xs))


def _as_cupy(a):
    raise TypeError(f"Unsupported type {type(a)}")


#: What a user's own operation may do wrong, and what the error must say: one row for each rule.
OWN_FAILURES = [
    (lambda a, b: a + b, [(2, 3), (2,)], "cr.expand_dims(xs[1], -1)"),
    (lambda a, b: np.matmul(a, b), [(2, 3), (4, 3)], "xs[0] @ xs[1].mT would fit"),
    (lambda a, b: np.dot(a, b), [(2, 3), (2, 4)], "xs[0].mT @ xs[1] would fit"),
    (lambda a, b: np.matmul(a, b), [(2,), ()], "use a * b"),
    (lambda a: a.sum(axis=2), [(2, 3)], "from -2 to 1"),
    (lambda a: np.transpose(a, (0,)), [(2, 3)], "an order of (0, 1)"),
    (lambda a: a.sum(axis=(0, 0)), [(2, 3)], "name each axis once"),
    (lambda a: a.squeeze(0), [(2, 1)], "xs[0] has [1]"),
    (lambda a: a.max(), [(0,)], "xs[0] has an axis of length 0"),
    (lambda a: a[3], [(3,)], "indices from -3 to 2"),
    (lambda a: a[0, 0], [(3,)], "at most 1 index"),
    (lambda a: a[np.array([True])], [(3,)], "a mask must have the lengths"),
    (lambda a: a[0.5], [(3,)], "floats do not index"),
    (lambda a: a.reshape(4), [(3,)], "xs[0] has 3 elements"),
    (lambda a, b: np.concatenate([a, b]), [(2,), (2, 3)], "same number of axes"),
    (lambda a, b: np.concatenate([a, b]), [(2, 2), (2, 3)], "must be equal"),
    (lambda a, b: np.stack([a, b]), [(2,), (3,)], "one shape"),
    (lambda a: (a > 0) - (a > 0), [(2,)], "astype('int64')"),
    (lambda a: a.astype(int) ** np.array(-1), [(2,)], "floating exponent"),
    (lambda a: a & a, [(2,)], "a dtype that the operation takes"),
    (_as_cupy, [(2,)], "by k.asarray(array)"),
]


@pytest.mark.parametrize(("run", "shapes", "fragment"), OWN_FAILURES)
def test_errors_in_a_users_operation_have_remedies_too(run, shapes, fragment):
    with pytest.raises((ValueError, TypeError, IndexError), match=r"^own: ") as caught:
        _own(run)([ones(*shape) for shape in shapes])
    assert fragment in str(caught.value)


def test_every_rule_has_a_row():
    """A rule whose pattern matches no error of NumPy any more says nothing to anybody."""
    used = set()
    for run, shapes, _ in OWN_FAILURES:
        with pytest.raises((ValueError, TypeError, IndexError)) as caught:
            run(*(np.ones(shape) for shape in shapes))
        used.add(next(pattern for pattern, _ in RULES if pattern.search(str(caught.value))))
    assert {pattern for pattern, _ in RULES} == used


def test_copies_outside_of_the_graph_are_allowed_where_they_are_meant():
    x = leaf(2)
    with cr.no_grad():
        assert cr.tensor(x).tolist() == [1.0, 1.0]
        assert cr.tensor([x[0], 2.0]).tolist() == [1.0, 2.0]
        assert cr.full((2,), x[0]).tolist() == [1.0, 1.0]
    assert not cr.tensor(x.detach()).requires_grad
    assert not np.shares_memory(cr.tensor(x.detach()).numpy(), x.numpy())
    assert (+x).requires_grad
    untracked = ones(2)
    assert cr.tensor(untracked).tolist() == [1.0, 1.0]


def test_a_number_out_of_a_tensor_is_outside_of_the_graph_on_purpose():
    """Losses are logged by float(loss), or losses[step] = loss."""
    loss, losses = (leaf(2) * 3.0).sum(), np.zeros(2)
    losses[1] = loss
    assert float(loss) == losses[1] == 6.0
    with pytest.raises(cr.GradientError, match=r"x\.detach\(\)"):
        losses[:] = loss
