"""Linear algebra beside NumPy and PyTorch: products, Einstein sums, inverses, determinants."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import chainrule as cr
from chainrule.engine.checking.operations import upstream_for
from chainrule.engine.errors import MatrixError
from chainrule.engine.kernels import contractions

few = settings(deadline=None, max_examples=15)
seeds = st.integers(0, 2**32 - 1)


def close(ours, theirs, tolerance=1e-10):
    """To a tolerance relative to the larger of 1 and the largest entry."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def beside_torch(ours, theirs, arrays, seed=0, tolerance=1e-10):
    """Values, gradients for a signed upstream gradient, and gradients of those."""
    torch = pytest.importorskip("torch")
    mine = [cr.tensor(each, requires_grad=True) for each in arrays]
    other = [torch.tensor(each, requires_grad=True) for each in arrays]
    y, z = ours(*mine), theirs(*other)
    close(y.numpy(), z.detach().numpy(), tolerance)
    g = upstream_for(y.shape, seed)
    first = cr.grad([y], mine, [g], create_graph=True)
    expected = torch.autograd.grad([z], other, [torch.tensor(g)], create_graph=True)
    for a, b in zip(first, expected, strict=True):
        close(a.numpy(), b.detach().numpy(), tolerance)
    weights = [upstream_for(each.shape, seed + i + 1) for i, each in enumerate(arrays)]
    total, reference = cr.tensor(0.0), torch.tensor(0.0, dtype=torch.float64)
    for a, b, w in zip(first, expected, weights, strict=True):
        total, reference = total + (a * w).sum(), reference + (b * torch.tensor(w)).sum()
    if not reference.requires_grad:  # PyTorch too has a constant gradient
        return
    second = cr.grad([total], mine, allow_unused=True)
    expected = torch.autograd.grad([reference], other, allow_unused=True)
    for a, b in zip(second, expected, strict=True):
        close(a.numpy(), np.zeros(a.shape) if b is None else b.numpy(), tolerance)


# Products -----------------------------------------------------------------------------------


@few
@given(
    shapes=mutually_broadcastable_shapes(
        signature="(m?,n),(n,p?)->(m?,p?)", max_dims=2, min_side=0, max_side=3
    ),
    seed=seeds,
    transposed=st.booleans(),
)
def test_matmul_of_every_shape(shapes, seed, transposed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in shapes.input_shapes]
    if transposed:
        arrays = [np.array(each.T, order="C").T for each in arrays]
    close(cr.matmul(*arrays).numpy(), np.matmul(*arrays))
    beside_torch(cr.matmul, torch.matmul, arrays, seed)


@few
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3),
    n=st.integers(0, 3),
    seed=seeds,
)
def test_vecdot(shapes, n, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(*shape, n)) for shape in shapes.input_shapes]
    beside_torch(cr.vecdot, lambda a, b: (a * b).sum(-1), arrays, seed)
    close(cr.vecdot(*arrays).numpy(), np.vecdot(*arrays))
    same = [rng.normal(size=(n, 2)), rng.normal(size=(n, 1))]
    beside_torch(lambda a, b: cr.vecdot(a, b, axis=0), lambda a, b: torch.sum(a * b, 0), same, seed)


@few
@given(data=st.data(), seed=seeds)
def test_tensordot(data, seed):
    torch = pytest.importorskip("torch")
    sides = st.lists(st.integers(0, 3), max_size=2)
    shared, left, right = data.draw(sides), data.draw(sides), data.draw(sides)
    order = data.draw(st.permutations(range(len(shared))))
    first = data.draw(st.permutations(range(len(shared) + len(left))))
    # Axis first[i] of x1 is paired with axis second[i] of x2, wherever they stand.
    shape1 = [0] * len(first)
    for place, length in zip(first, [*shared, *left], strict=True):
        shape1[place] = length
    shape2 = [shared[i] for i in order] + right
    axes = (list(first[: len(shared)]), [list(order).index(i) for i in range(len(shared))])
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape1), rng.normal(size=shape2)]
    close(cr.tensordot(*arrays, axes=axes).numpy(), np.tensordot(*arrays, axes=axes))
    beside_torch(
        lambda a, b: cr.tensordot(a, b, axes=axes),
        lambda a, b: torch.tensordot(a, b, dims=axes),
        arrays,
        seed,
    )


@pytest.mark.parametrize("axes", [0, 1, 2, (1, 0), ((-1,), (0,)), [[0, 1], [1, 0]]])
def test_tensordot_takes_axes_as_numpy_does(axes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 3)), rng.normal(size=(3, 3))]
    close(cr.tensordot(*arrays, axes=axes).numpy(), np.tensordot(*arrays, axes=axes))


def test_outer_beside_numpy_and_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=3), rng.normal(size=2)]
    beside_torch(cr.outer, torch.outer, arrays)
    matrices = [rng.normal(size=(2, 2)), rng.normal(size=(1, 3))]
    close(cr.outer(*matrices).numpy(), np.outer(*matrices))


def test_a_shared_matrix_gets_one_gradient_for_the_whole_stack():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for shapes in [
        ((2, 3, 4), (4, 2)),
        ((2, 3, 4), (4,)),
        ((0, 3, 4), (4, 2)),
        ((5, 1, 2, 3), (3,)),
    ]:
        beside_torch(cr.matmul, torch.matmul, [rng.normal(size=shape) for shape in shapes])


# Einstein sums ------------------------------------------------------------------------------


@st.composite
def einsums(draw):
    """Valid subscripts and shapes.

    Letters stand once or more, alone or shared, in or out of the result; lengths are 0 or 1 too,
    ellipses of different lengths, and axes of both kinds are broadcast.
    """
    sizes = {each: draw(st.integers(1, 3)) for each in "aBcd"}
    if draw(st.integers(0, 9)) == 0:
        sizes["c"] = 0
    spread = draw(st.lists(st.integers(1, 2), max_size=2))
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 4))):
        term = draw(st.lists(st.sampled_from("aBcd"), max_size=3))
        one = {each for each in "aBcd" if draw(st.integers(0, 5)) == 0}
        shape = [1 if each in one else sizes[each] for each in term]
        if draw(st.booleans()):
            count = draw(st.integers(0, len(spread)))
            part = [draw(st.sampled_from([n, n, 1])) for n in spread[len(spread) - count :]]
            place = draw(st.integers(0, len(term)))
            shape[place:place] = part
            term.insert(place, "...")
        terms.append("".join(term))
        shapes.append(tuple(shape))
    text = draw(st.sampled_from([",", " , "])).join(terms)
    if draw(st.booleans()):
        found = sorted(set("".join(terms)) - {"."})
        kept = draw(st.permutations(found))[: draw(st.integers(0, len(found)))] if found else []
        if "..." in text:
            kept = [*kept]
            kept.insert(draw(st.integers(0, len(kept))), "...")
        text += "->" + "".join(kept)
    return text, shapes


@contextmanager
def products_from(count):
    """BLAS from that many products on; the rest is NumPy's loop."""
    before, contractions._FEW = contractions._FEW, count
    contractions.contraction.cache_clear()
    try:
        yield
    finally:
        contractions._FEW = before
        contractions.contraction.cache_clear()


def slopes(subscripts, arrays, upstream):
    """The gradients of an Einstein sum: it is linear in each element, so ones in their place."""
    gradients = []
    for i, array in enumerate(arrays):
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            unit = np.zeros(array.shape)
            unit[index] = 1.0
            moved = [*arrays[:i], unit, *arrays[i + 1 :]]
            gradient[index] = np.sum(upstream * np.einsum(subscripts, *moved))
        gradients.append(gradient)
    return gradients


@pytest.mark.parametrize("count", [-1, 10**9], ids=["blas", "loop"])
@settings(deadline=None, max_examples=60)
@given(call=einsums(), seed=seeds)
def test_any_einsum_has_numpys_value_and_the_slopes_of_it(count, call, seed):
    subscripts, shapes = call
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape) for shape in shapes]
    with products_from(count):
        tensors = [cr.tensor(each, requires_grad=True) for each in arrays]
        y = cr.einsum(subscripts, *tensors)
        close(y.numpy(), np.einsum(subscripts, *arrays), 1e-13)
        upstream = upstream_for(y.shape, seed)
        y.backward(upstream)
        for ours, expected in zip(tensors, slopes(subscripts, arrays, upstream), strict=True):
            close(ours.grad.numpy(), expected, 1e-13)


@pytest.mark.parametrize("count", [-1, 10**9], ids=["blas", "loop"])
@settings(deadline=None, max_examples=25)
@given(call=einsums(), seed=seeds)
def test_any_einsum_is_differentiable_twice(count, call, seed):
    torch = pytest.importorskip("torch")
    subscripts, shapes = call
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in shapes]
    with products_from(count):
        beside_torch(
            lambda *x: cr.einsum(subscripts, *x) ** 2,
            lambda *x: torch.einsum(subscripts, *x) ** 2,
            arrays,
            seed,
        )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("bqhd,bkhd->bhqk", [(2, 20, 3, 5), (2, 30, 3, 5)]),
        ("ab,bc,cd,de->ae", [(9, 8), (8, 7), (7, 9), (9, 6)]),
        ("...ij,...jk->...ik", [(3, 1, 9, 10), (4, 10, 8)]),
        ("iij,jk,l->ki", [(8, 8, 9), (9, 10), (16,)]),
        ("ij,ij->ij", [(100, 90)] * 2),
        ("i,j,k->kij", [(20,), (21,), (22,)]),
    ],
)
def test_large_einsums_beside_torch(subscripts, shapes):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    assert contractions.contraction(subscripts, tuple(shapes)).steps
    beside_torch(
        lambda *x: cr.einsum(subscripts, *x),
        lambda *x: torch.einsum(subscripts, *x),
        arrays,
        tolerance=1e-11,
    )
    narrow = cr.einsum(subscripts, *[each.astype(np.float32) for each in arrays])
    assert narrow.dtype == np.float32


def test_einsum_takes_lists_of_axes_as_numpy_does():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    for call in [
        (a, [0, 1], b, [1, 2]),
        (a, [0, 1], b, [1, 2], [2, 0]),
        (a, [0, 1], b, [1, 2], []),
        (a, [3, 1]),
        (a, [..., 30]),
        (a, [..., 30], b[:, 0], [30], [...]),
        (a, (51, 25), b, (25, 26)),
    ]:
        close(cr.einsum(*call).numpy(), np.einsum(*call))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32"])
def test_einsum_keeps_numpys_dtype(dtype):
    x = np.array([[1, 0], [1, 1]], dtype)
    for subscripts in ("ij,jk->ik", "ij,ij->i"):
        ours, theirs = cr.einsum(subscripts, x, x), np.einsum(subscripts, x, x)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_a_change_in_a_view_that_einsum_gave_is_noticed():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    w = cr.tensor([[1.0, -1.0], [2.0, 5.0]], requires_grad=True)
    product = x * w
    diagonal = cr.einsum("ii->i", x)
    diagonal += 1
    np.testing.assert_array_equal(np.diagonal(x.numpy()), diagonal.numpy())
    with pytest.raises(cr.GradientError, match="changed in place"):
        product.backward(upstream_for((2, 2), 0))


a23, b34 = np.ones((2, 3)), np.ones((3, 4))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("ij,jk", a23), cr.ShapeError, r"are for 2 operands, and 1 were given; operands\[0\] has"),
        (("ij", a23, b34), cr.ShapeError, "are for 1 operands, and 2 were given"),
        (("ij->ijk", a23), cr.ShapeError, "name 'k' after '->', which no operand has"),
        (("ij->ii", a23), cr.ShapeError, "name 'i' after '->' more than once"),
        (("ijk->i", a23), cr.ShapeError, r"name 3 axes of operands\[0\], which has 2"),
        (("i->i", a23), cr.ShapeError, r"which has 2 \(add '...' for those not named\)"),
        (("i...->i", a23), cr.ShapeError, r"axes under '\.\.\.' in an operand, and no '\.\.\.'"),
        (("i1,jk", a23, b34), cr.ShapeError, "hold '1': only letters"),
        (("i......", a23), cr.ShapeError, r"hold '\.'"),
        (("ij->i->j", a23), cr.ShapeError, "hold '-'"),
        (
            ("ij,kj->ik", a23, b34),
            cr.ShapeError,
            r"'j' has length 3 on axis 1 of operands\[0\] with shape \(2, 3\), and length 4 on "
            r"axis 1 of operands\[1\] with shape \(3, 4\)",
        ),
        (("ii->i", a23), cr.ShapeError, r"'i' has length 2 on axis 0 .* length 3 on axis 1"),
        (("...,...", a23, b34), cr.ShapeError, r"an axis under '\.\.\.' has length"),
        (("ij",), cr.ShapeError, "without operands"),
        ((a23, "ij"), cr.DtypeError, "einsum: subscripts must be a string, got shape"),
        ((cr.tensor(a23), cr.tensor(b34)), cr.DtypeError, "subscripts must be a string"),
        ((a23, [0, 1.5]), cr.DtypeError, "the number of an axis must be an integer, got 1.5"),
        ((a23, [0, 52]), cr.ShapeError, "from 0 to 51, got 52"),
        ((None, a23), cr.DtypeError, "subscripts must be a string"),
        (("ij,j", a23, None), cr.DtypeError, "einsum: cannot compute with None"),
    ],
)
def test_bad_subscripts_are_named(given, error, message):
    with pytest.raises(error, match=message):
        cr.einsum(*given)


def test_einsum_names_itself_where_python_complains():
    with pytest.raises(TypeError, match=r"einsum\(\) got an unexpected keyword"):
        cr.einsum("ij", a23, optimize=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cr.vecdot(a23, np.ones(1)), cr.ShapeError, "vecdot: the axis -1 of x1 and of x2"),
        (lambda: cr.vecdot(a23, np.ones(2), axis=0), cr.ShapeError, "counted from the end"),
        (lambda: cr.vecdot(a23, a23, axis=2), cr.ShapeError, "vecdot: axis must be from -2 to 1"),
        (lambda: cr.vecdot(a23, a23, axis=0.0), cr.DtypeError, "vecdot: axis must be an integer"),
        (lambda: cr.tensordot(a23, b34), cr.ShapeError, "tensordot: the axes"),
        (lambda: cr.tensordot(a23, b34, axes=3), cr.ShapeError, "not that many axes"),
        (lambda: cr.tensordot(a23, b34, axes=-1), cr.ShapeError, "at least 0, got -1"),
        (lambda: cr.tensordot(a23, b34, axes=([0, 1], [0])), cr.ShapeError, "as many and as long"),
        (lambda: cr.tensordot(a23, a23, axes=([1, 1], [1, 1])), cr.ShapeError, "named twice"),
        (lambda: cr.tensordot(a23, b34, axes=(1, 5)), cr.ShapeError, "an axis of x2 must be from"),
        (
            lambda: cr.tensordot(a23, b34, axes=(1, 0, 2)),
            cr.ShapeError,
            "axes must be a number, or",
        ),
        (lambda: cr.tensordot(a23, b34, axes=cr.tensor(1)), cr.DtypeError, "axes must be an int"),
        (lambda: cr.diagonal(np.ones(2)), cr.ShapeError, r"diagonal: x must .*, got shape \(2,\)"),
        (lambda: cr.trace(a23, offset=1.0), cr.DtypeError, "trace: offset must be an integer"),
        (lambda: cr.inv(a23), cr.ShapeError, r"inv: x must have the shape of square .*\(2, 3\)"),
        (
            lambda: cr.det(np.ones(2)),
            cr.ShapeError,
            "det: x must have the shape of square matrices",
        ),
        (lambda: cr.slogdet(a23), cr.ShapeError, "slogdet: x must have the shape of square"),
        (lambda: cr.cholesky(a23), cr.ShapeError, "cholesky: x must have the shape of square"),
        (
            lambda: cr.solve(a23, [1.0, 2.0]),
            cr.ShapeError,
            "solve: a must have the shape of square",
        ),
        (
            lambda: cr.solve(np.eye(2), np.ones(3)),
            cr.ShapeError,
            r"solve: b must be a vector \(n,\)",
        ),
        (lambda: cr.solve(np.eye(2), a23.T), cr.ShapeError, r"solve: b .*give b\[\.\.\., None\]"),
        (lambda: cr.solve(np.eye(2), 1.0), cr.ShapeError, "solve: b must be"),
        (lambda: cr.matmul(a23, a23), cr.ShapeError, r"matmul: .*a has shape \(2, 3\)"),
        (lambda: cr.matmul(a23, 2.0), cr.ShapeError, "matmul: "),
        (lambda: cr.matmul(np.ones((2, 2, 3)), np.ones((3, 3, 2))), cr.ShapeError, "matmul: "),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Diagonals ----------------------------------------------------------------------------------


@few
@given(
    stack=st.lists(st.integers(0, 2), max_size=2),
    rows=st.integers(0, 3),
    columns=st.integers(0, 3),
    offset=st.integers(-4, 4),
    seed=seeds,
)
def test_diagonals_and_traces(stack, rows, columns, offset, seed):
    x = np.random.default_rng(seed).normal(size=(*stack, rows, columns))
    expected = np.diagonal(x, offset, -2, -1)
    for function, result in ((cr.diagonal, expected), (cr.trace, expected.sum(-1))):
        t = cr.tensor(x, requires_grad=True)
        y = function(t, offset=offset)
        close(y.numpy(), result)
        g = upstream_for(y.shape, seed)
        y.backward(g)
        spread = g[..., None] if function is cr.trace else g
        close(np.diagonal(t.grad.numpy(), offset, -2, -1), np.broadcast_to(spread, expected.shape))
        assert np.count_nonzero(t.grad.numpy()) == expected.size
        cr.assert_gradients(lambda x: function(x, offset=offset) ** 2, x, order=2, seed=seed)  # noqa: B023
    assert cr.tensor(x).trace(offset).shape == tuple(stack)
    assert cr.tensor(x).diagonal(offset).shape == expected.shape


# Inverses, determinants, factors ------------------------------------------------------------


def well_conditioned(rng, shape):
    return rng.normal(size=shape) / 4 + 2 * np.eye(shape[-1])


stacks = st.lists(st.integers(0, 2), max_size=2).map(tuple)


@few
@given(stack=stacks, n=st.integers(0, 4), seed=seeds)
def test_matrix_functions_beside_torch(stack, n, seed):
    torch = pytest.importorskip("torch")
    x = well_conditioned(np.random.default_rng(seed), (*stack, n, n))
    beside_torch(cr.inv, torch.linalg.inv, [x], seed)
    beside_torch(cr.det, torch.linalg.det, [x], seed)
    beside_torch(lambda x: cr.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], [x], seed)
    np.testing.assert_array_equal(cr.slogdet(x).sign.numpy(), np.linalg.slogdet(x)[0])
    for upper in (False, True):
        one = np.eye(n)
        beside_torch(
            lambda x: cr.cholesky(x @ x.mT + one, upper=upper),  # noqa: B023
            lambda x: torch.linalg.cholesky(x @ x.mT + torch.tensor(one), upper=upper),  # noqa: B023
            [x],
            seed,
        )


@few
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=2),
    n=st.integers(0, 3),
    columns=st.integers(0, 2),
    seed=seeds,
)
def test_solve_beside_numpy_and_torch(shapes, n, columns, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    first, second = shapes.input_shapes
    a = well_conditioned(rng, (*first, n, n))
    b, vector = rng.normal(size=(*second, n, columns)), rng.normal(size=n)
    close(cr.solve(a, b).numpy(), np.linalg.solve(a, b))
    close(cr.solve(a, vector).numpy(), np.linalg.solve(a, vector))
    beside_torch(cr.solve, lambda a, b: torch.linalg.inv(a) @ b, [a, b], seed)
    beside_torch(cr.solve, lambda a, b: torch.linalg.inv(a) @ b, [a, vector], seed)


def test_only_an_array_of_one_axis_is_a_vector():
    rng = np.random.default_rng(0)
    a, b = well_conditioned(rng, (2, 2, 2)), rng.normal(size=(2, 2))
    expected = np.stack([np.linalg.solve(each, b) for each in a])
    close(cr.solve(a, b).numpy(), expected)


@pytest.mark.parametrize("needed", [(True, False), (False, True)])
def test_solve_gives_the_gradient_that_is_asked_for(needed):
    rng = np.random.default_rng(0)
    arrays = [well_conditioned(rng, (2, 2)), rng.normal(size=(2, 3))]
    tensors = [cr.tensor(x, requires_grad=each) for x, each in zip(arrays, needed, strict=True)]
    y = cr.solve(*tensors)
    g = upstream_for(y.shape, 0)
    y.backward(g)
    back = np.linalg.inv(arrays[0]).T @ g
    expected = [-back @ y.numpy().T, back]
    for each, gradient, asked in zip(tensors, expected, needed, strict=True):
        assert (each.grad is not None) is asked
        if asked:
            close(each.grad.numpy(), gradient)


def of_rank(rng, n, rank, stack=()):
    return rng.normal(size=(*stack, n, rank)) @ rng.normal(size=(*stack, rank, n))


def minors(x):
    """The cofactors, one determinant each."""
    n = len(x)
    rest = [[i for i in range(n) if i != j] for j in range(n)]
    return np.array(
        [
            [(-1) ** (i + j) * np.linalg.det(x[np.ix_(rest[i], rest[j])]) for j in range(n)]
            for i in range(n)
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rank"), [(n, rank) for n in (1, 2, 3, 4) for rank in range(n + 1)])
def test_the_determinant_of_a_matrix_of_any_rank_has_two_right_derivatives(n, rank):
    x = of_rank(np.random.default_rng(10 * n + rank), n, rank)
    close(cr.cofactor(x).numpy(), minors(x), 1e-12)
    close(cr.grad(cr.det)(cr.tensor(x)).numpy(), minors(x), 1e-12)
    cr.assert_gradients(cr.det, x, order=2)
    cr.assert_gradients(cr.cofactor, x)


def test_a_stack_may_hold_singular_matrices_and_others():
    rng = np.random.default_rng(0)
    x = np.stack([of_rank(rng, 3, rank) for rank in (3, 2, 1)])
    t = cr.tensor(x, requires_grad=True)
    g = upstream_for((3,), 0)
    cr.det(t).backward(g)
    for gradient, each, factor in zip(t.grad.numpy(), x, g, strict=True):
        close(gradient, factor * minors(each), 1e-12)


def test_the_third_derivative_of_a_determinant():
    """d³/dt³ det(A + t B) = 6 det(B) for 3 x 3 matrices; of a singular A it asks for an inverse."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    third = cr.grad(cr.grad(cr.grad(lambda t: cr.det(a + t * b))))
    close(third(0.25).numpy(), 6 * np.linalg.det(b), 1e-9)
    with pytest.raises(MatrixError, match="inv: x is singular"):
        cr.grad(cr.grad(cr.grad(lambda t: cr.det(t * b))))(0.0)


def test_determinants_neither_overflow_nor_stumble_over_nan():
    x = np.stack([np.eye(2), np.full((2, 2), np.nan), [[np.inf, 0.0], [0.0, 1.0]]])
    t = cr.tensor(x, requires_grad=True)
    y = cr.det(t)
    y.backward([2.0, 1.0, 1.0])
    assert y.numpy()[0] == 1.0
    assert np.isnan(y.numpy()[1])
    close(t.grad.numpy()[0], 2 * np.eye(2))
    assert np.isnan(t.grad.numpy()[1]).all()
    sign, logabsdet = cr.slogdet(1e-200 * np.eye(4))
    assert (sign.item(), logabsdet.item()) == (1.0, pytest.approx(-800 * math.log(10)))
    big = 2.0 * np.eye(200)
    gradient = cr.grad(cr.det)(cr.tensor(big)).numpy()
    np.testing.assert_allclose(gradient, 2.0**199 * np.eye(200), rtol=1e-12, atol=1e40)


def test_slogdet_of_a_singular_matrix_has_a_value_and_no_gradient():
    x = cr.tensor(np.ones((2, 2)), requires_grad=True)
    sign, logabsdet = cr.slogdet(x)
    assert (sign.item(), logabsdet.item()) == (0.0, -math.inf)
    assert not sign.requires_grad
    with pytest.raises(MatrixError, match="inv: x is singular"):
        logabsdet.backward()


def test_the_gradient_of_cholesky_is_right_for_every_matrix_and_symmetric():
    rng = np.random.default_rng(0)
    x = of_rank(rng, 3, 3)
    x = x @ x.T + np.eye(3)
    bent = x + 0.1 * rng.normal(size=(3, 3))
    for upper in (False, True):
        cr.assert_gradients(lambda x: cr.cholesky(x, upper=upper), bent, order=2)  # noqa: B023
    t = cr.tensor(x, requires_grad=True)
    y = cr.cholesky(t)
    y.backward(upstream_for((3, 3), 0))
    close(t.grad.numpy(), t.grad.numpy().T, 1e-13)
    close(y.numpy(), np.linalg.cholesky(x))
    close(cr.cholesky(x, upper=True).numpy(), np.linalg.cholesky(x).T)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: cr.inv(x), r"inv: x\[1, 0\] is singular.*x has shape \(2, 1, 2, 2\), float64"),
        (lambda x: cr.solve(x, np.ones(2)), r"solve: a\[1, 0\] is singular.*a \+ 1e-6"),
        (lambda x: cr.cholesky(x), r"cholesky: x\[1, 0\] is not positive definite"),
        (lambda x: cr.inv(x[1, 0]), r"inv: x is singular.*x has shape \(2, 2\), float64"),
        (lambda x: cr.cholesky(-x[0, 0]), "cholesky: x is not positive definite"),
    ],
)
def test_the_matrix_that_is_to_blame_is_named(call, message):
    x = np.stack([np.eye(2), np.array([[1.0, -2.0], [-2.0, 4.0]])])[:, None]
    x[1] -= 0 if "singular" in message else 0.5 * np.eye(2)
    for error in (MatrixError, np.linalg.LinAlgError, ValueError):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "float64"])
def test_dtypes_of_matrix_functions_are_numpys(dtype):
    x = np.array([[4, 1], [1, 3]], dtype)
    b = np.array([1, 2], dtype)
    expected = "float32" if dtype == "float32" else "float64"
    results = [cr.inv(x), cr.solve(x, b), cr.det(x), *cr.slogdet(x), cr.cholesky(x), cr.cofactor(x)]
    for result in results:
        assert result.dtype == expected
    assert cr.trace(x).dtype == np.trace(x).dtype


def test_methods():
    x = cr.tensor([[4.0, 1.0], [1.0, 3.0]])
    for name in ("inv", "det", "cholesky", "trace", "diagonal"):
        np.testing.assert_array_equal(getattr(x, name)().numpy(), getattr(cr, name)(x).numpy())
