"""Indexing: every index of NumPy's, its gradients of both orders, updates, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices, integer_array_indices

import chainrule as cr

quick = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
SHAPES = array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def whole(shape, seed):
    """Signed whole numbers, none 0: their sums and products are exact in any order."""
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 9, shape) * rng.choice([-1, 1], shape)).astype(float)


def mask(draw, shape, count):
    """A mask with so many elements, if there are enough."""
    size = int(np.prod(shape))
    assume(count <= size)
    flat = np.arange(size) < count
    return np.array(draw(st.permutations(list(flat))), bool).reshape(shape)


@st.composite
def mixed_indices(draw, shape):
    """Tuples of slices, integers, arrays, masks, None and an ellipsis, in any order."""
    count, parts, axis = draw(st.integers(0, 3)), [], 0
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["slice", "slice", "int", "array", "mask", "masks", "stop"]))
        if kind == "stop":
            break
        if kind == "slice":
            parts.append(draw(st.slices(n)))
        elif kind == "int":
            parts.append(
                draw(st.sampled_from([int, np.int64, np.array]))(draw(st.integers(-n, n - 1)))
            )
        elif kind == "array":
            grid = draw(st.sampled_from([(count,), (1,), (2, count), (2, 1)]))
            numbers = st.lists(
                st.integers(-n, n - 1), min_size=int(np.prod(grid)), max_size=int(np.prod(grid))
            )
            parts.append(np.array(draw(numbers), int).reshape(grid))
        elif kind == "mask":
            parts.append(mask(draw, (n,), draw(st.sampled_from([count, 1]))))
        else:
            parts.append(mask(draw, shape[axis : axis + 2], count))
            axis = min(axis + 1, len(shape) - 1)
        axis += 1
    if axis == len(shape) or draw(st.booleans()):
        missing = [...] if draw(st.booleans()) or axis < len(shape) else []
        parts += missing
    for extra in draw(st.lists(st.sampled_from([None, True, np.bool_(True)]), max_size=2)):
        parts.insert(draw(st.integers(0, len(parts))), extra)
    return tuple(parts)


def spelled(draw, index):
    """The same index, with a list or a Tensor in place of an array."""
    if isinstance(index, tuple):
        return tuple(spelled(draw, each) for each in index)
    if not isinstance(index, np.ndarray):
        return index
    kinds = [np.array, cr.tensor] + ([np.ndarray.tolist] if index.size else [])
    return draw(st.sampled_from(kinds))(index)


@st.composite
def shapes_and_indices(draw):
    """(shape, an index as NumPy takes it, the same index in another spelling)."""
    shape = draw(SHAPES)
    index = draw(
        st.one_of(
            basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
            integer_array_indices(shape),
            mixed_indices(shape),
        )
    )
    try:
        np.empty(shape)[index]
    except IndexError:  # arrays that do not go together
        assume(False)
    return shape, index, spelled(draw, index)


def added(shape, index, values):
    """Zeros with values added: NumPy's own, one after the other."""
    result = np.zeros(shape)
    np.add.at(result, index, values)
    return result


@settings(deadline=None, max_examples=120)
@given(chosen=shapes_and_indices(), seed=seeds)
def test_every_index_has_numpys_values_and_adds_gradients_up(chosen, seed):
    shape, index, spelling = chosen
    x = cr.tensor(whole(shape, seed), requires_grad=True)
    y = x[spelling]
    expected = x.numpy()[index]
    assert y.shape == np.shape(expected)
    np.testing.assert_array_equal(y.numpy(), expected)
    g = whole(y.shape, seed + 1)
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), added(shape, index, g))


@settings(deadline=None, max_examples=60)
@given(chosen=shapes_and_indices(), seed=seeds)
def test_second_derivatives_of_every_index(chosen, seed):
    """Of Σ u x[index]³ the gradient's gradient, times w, is 6 u x[index] w[index], added up."""
    shape, index, spelling = chosen
    x = cr.tensor(whole(shape, seed), requires_grad=True)
    y, w = x[spelling], whole(shape, seed + 2)
    u = whole(y.shape, seed + 1)
    (first,) = cr.grad([y**3], [x], [u], create_graph=True)
    np.testing.assert_array_equal(first.numpy(), added(shape, index, 3 * u * y.numpy() ** 2))
    (second,) = cr.grad([first], [x], [w])
    np.testing.assert_array_equal(second.numpy(), added(shape, index, 6 * u * y.numpy() * w[index]))


@settings(deadline=None, max_examples=60)
@given(chosen=shapes_and_indices(), seed=seeds)
def test_scattering_is_the_transpose_of_indexing(chosen, seed):
    shape, index, spelling = chosen
    values = cr.tensor(whole(np.empty(shape)[index].shape, seed), requires_grad=True)
    y = cr.scatter_index(values, spelling, shape)
    np.testing.assert_array_equal(y.numpy(), added(shape, index, values.numpy()))
    g = whole(shape, seed + 1)
    (first,) = cr.grad([y**2], [values], [g], create_graph=True)
    assert_first = 2 * g[index] * y.numpy()[index]
    np.testing.assert_array_equal(first.numpy(), assert_first)
    v = whole(values.shape, seed + 2)
    (second,) = cr.grad([first], [values], [v])
    np.testing.assert_array_equal(second.numpy(), (2 * g * added(shape, index, v))[index])


@settings(deadline=None, max_examples=60)
@given(chosen=shapes_and_indices(), seed=seeds, scalar=st.booleans())
def test_updates_at_every_index(chosen, seed, scalar):
    shape, index, spelling = chosen
    start, at = whole(shape, seed), np.arange(int(np.prod(shape))).reshape(shape)[index]
    v0 = whole(() if scalar else at.shape, seed + 1)
    g = whole(shape, seed + 2)
    spread = np.broadcast_to(v0, at.shape)

    x, v = cr.tensor(start, requires_grad=True), cr.tensor(v0, requires_grad=True)
    y = x.at[spelling].set(v)
    owner = dict(zip(at.reshape(-1).tolist(), range(at.size), strict=True))  # the last one stays
    expected, into_x, into_v = start.reshape(-1).copy(), g.reshape(-1).copy(), np.zeros(at.size)
    for position, number in owner.items():
        expected[position] = spread.reshape(-1)[number]
        into_x[position] = 0
        into_v[number] = g.reshape(-1)[position]
    np.testing.assert_array_equal(y.numpy().reshape(-1), expected)
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy().reshape(-1), into_x)
    into_v = into_v.reshape(at.shape)
    np.testing.assert_array_equal(v.grad.numpy(), into_v.sum() if scalar else into_v)

    x, v = cr.tensor(start, requires_grad=True), cr.tensor(v0, requires_grad=True)
    y = x.at[spelling].add(v)
    np.testing.assert_array_equal(y.numpy(), start + added(shape, index, spread))
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), g)
    np.testing.assert_array_equal(v.grad.numpy(), g[index].sum() if scalar else g[index])
    np.testing.assert_array_equal(x.numpy(), start)


@quick
@given(chosen=shapes_and_indices(), seed=seeds)
def test_updates_have_second_derivatives(chosen, seed):
    """Of Σ g y³, y the update, times w: where a value came to lie, 6 g y w."""
    shape, index, spelling = chosen
    g, w = whole(shape, seed), whole(shape, seed + 1)
    for change in ("set", "add"):
        x = cr.tensor(whole(shape, seed + 2), requires_grad=True)
        v = cr.tensor(whole(np.empty(shape)[index].shape, seed + 3), requires_grad=True)
        y = getattr(x.at[spelling], change)(v)
        first = cr.grad([y**3], [x, v], [g], create_graph=True)
        directions = [w, w[index]]
        second = cr.grad(list(first), [x, v], directions)
        moved = getattr(cr.tensor(w).at[spelling], change)(cr.tensor(w[index])).numpy()
        whole_way = cr.tensor(6 * g * y.numpy() * moved)
        expected = cr.grad([getattr(x.at[spelling], change)(v)], [x, v], [whole_way])
        for ours, theirs in zip(second, expected, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_last_of_repeated_values_stays_and_has_the_gradient():
    x = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = cr.tensor([[5.0, 6.0], [7.0, 8.0]], requires_grad=True)
    y = x.at[[[2, 0], [2, 2]]].set(v)
    y.backward([1.0, -10.0, 100.0])
    assert y.tolist() == [6.0, 2.0, 8.0]
    assert x.grad.tolist() == [0.0, -10.0, 0.0]
    assert v.grad.tolist() == [[0.0, 1.0], [0.0, 100.0]]


def test_an_update_keeps_infinities_nan_and_signed_zeros_where_they_are():
    x = cr.tensor([-0.0, np.inf, np.nan, 1.0], requires_grad=True)
    y = x.at[[3, 3]].add([1.0, 1.0])
    assert str(y.tolist()) == "[-0.0, inf, nan, 3.0]"
    v = cr.tensor([2.0, 3.0], requires_grad=True)
    x.at[[0, 0]].set(v).backward([np.inf, 1.0, 1.0, 1.0])
    assert v.grad.tolist() == [0.0, np.inf]
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("change", ["set", "add"])
def test_updates_keep_the_dtype_of_x(change):
    x = cr.tensor(np.ones(3, np.float32), requires_grad=True)
    v = cr.tensor([2.0], requires_grad=True)
    for given_v in (v, 2.0, 2, [2.0], cr.tensor([2])):
        assert getattr(x.at[:1], change)(given_v).dtype == np.float32
    getattr(x.at[:1], change)(v).backward([3.0, 4.0, 5.0])
    assert (v.grad.dtype, v.grad.tolist()) == (np.float64, [3.0])
    assert getattr(cr.tensor(np.ones(3, np.uint8)).at[0], change)(3).dtype == np.uint8
    with pytest.raises(cr.DtypeError, match=rf"index_{change}: values of float64.*astype"):
        getattr(cr.tensor([1, 2]).at[0], change)(0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [3, 700, 60_000], ids=["few", "some", "many"])
def test_many_rows_are_added_up_as_few_are(rows, dtype):
    """All ways of scattering add in the order of the rows, and so round alike."""
    rng = np.random.default_rng(rows)
    index = rng.integers(-500, 500, rows)
    x = cr.tensor(rng.normal(size=(500, 4)).astype(dtype), requires_grad=True)
    g = rng.normal(size=(rows, 4)).astype(dtype)
    x[index].backward(g)
    expected = np.zeros((500, 4), dtype)
    np.add.at(expected, index, g)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@pytest.mark.parametrize("kind", [np.array, cr.tensor, list], ids=["array", "tensor", "list"])
def test_an_index_that_is_changed_later_changes_no_gradient(kind):
    for call in (
        lambda x, i: x[i],
        lambda x, i: x[(i,)],
        lambda x, i: cr.getitem(x, i),
        lambda x, i: cr.scatter_index(x, (i, 0), (3, 1)),
        lambda x, i: x.at[i].set(cr.tensor([5.0, 6.0])),
        lambda x, i: cr.index_add(cr.tensor([1.0, 2.0, 3.0]), x, i),
        lambda x, i: cr.repeat(x, i, axis=0),
    ):
        gradients = []
        for change in (False, True):
            x, index = cr.tensor([1.0, 2.0], requires_grad=True), kind([1, 0])
            y = call(x, index)
            if change:
                index[0] = 0
            y.backward(whole(y.shape, 3))
            gradients.append(x.grad.tolist())
        assert gradients[0] == gradients[1]


def test_numbers_on_tensors_in_slices_are_copied_too():
    x, end = cr.tensor([1.0, 2.0, 3.0], requires_grad=True), cr.tensor(2)
    y = x[:end]
    end += 1
    y.backward([1.0, -5.0])
    assert x.grad.tolist() == [1.0, -5.0, 0.0]


def test_iteration_goes_along_the_first_axis():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = x
    (2 * a - 3 * b).backward([1.0, -1.0])
    assert x.grad.tolist() == [[2.0, -2.0], [-3.0, 3.0]]
    with pytest.raises(TypeError, match="0-d"):
        iter(cr.tensor(1.0))


def test_a_view_is_watched_and_a_copy_is_not():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    view, copy = x[0], x[[0]]
    of_view, of_copy = view * view, copy * copy
    with cr.no_grad():
        x[1] = 0.0
    of_copy.backward([[1.0, 1.0]])
    with pytest.raises(cr.GradientError, match="changed in place"):
        of_view.backward([1.0, 1.0])


# Integer indices along an axis ---------------------------------------------------------------


@quick
@given(data=st.data(), shape=SHAPES, seed=seeds)
def test_take_is_numpys(data, shape, seed):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    grid = data.draw(array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    indices = np.random.default_rng(seed).integers(-n, n, grid)
    x = cr.tensor(whole(shape, seed), requires_grad=True)
    y = cr.take(x, indices, axis)
    np.testing.assert_array_equal(y.numpy(), np.take(x.numpy(), indices, axis))
    g = whole(y.shape, seed + 1)
    y.backward(g)
    numbers = np.take(np.arange(x.size).reshape(shape), indices, axis)
    np.testing.assert_array_equal(x.grad.numpy().ravel(), added(x.size, numbers, g))


@quick
@given(data=st.data(), shape=SHAPES, seed=seeds)
def test_take_along_axis_is_numpys_with_broadcasting(data, shape, seed):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    grid = [data.draw(st.sampled_from([1, n])) for n in shape]
    grid[axis] = data.draw(st.integers(0, 3))
    indices = np.random.default_rng(seed).integers(-shape[axis], shape[axis], grid)
    x = cr.tensor(whole(shape, seed), requires_grad=True)
    y = x.take_along_axis(indices, axis)
    np.testing.assert_array_equal(y.numpy(), np.take_along_axis(x.numpy(), indices, axis))
    g = whole(y.shape, seed + 1)
    y.backward(g)
    numbers = np.take_along_axis(np.arange(x.size).reshape(shape), indices, axis)
    np.testing.assert_array_equal(x.grad.numpy().ravel(), added(x.size, numbers, g))


@quick
@given(data=st.data(), shape=SHAPES, seed=seeds)
def test_gather_and_scatter_add_are_those_of_pytorch_and_transposes(data, shape, seed):
    torch = pytest.importorskip("torch")
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    grid = [data.draw(st.integers(1, n)) for n in shape]
    grid[axis] = data.draw(st.integers(1, 4))
    indices = np.random.default_rng(seed).integers(0, shape[axis], grid)
    start, v0, g = whole(shape, seed), whole(grid, seed + 1), whole(shape, seed + 2)
    x, tx = cr.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    y, ty = cr.gather(x, indices, axis), torch.gather(tx, axis, torch.tensor(indices))
    np.testing.assert_array_equal(y.numpy(), ty.detach().numpy())
    y.backward(v0)
    ty.backward(torch.tensor(v0))
    np.testing.assert_array_equal(x.grad.numpy(), tx.grad.numpy())
    v, tv = cr.tensor(v0, requires_grad=True), torch.tensor(v0, requires_grad=True)
    y = cr.scatter_add(x, indices, v, axis)
    ty = tx.scatter_add(axis, torch.tensor(indices), tv)
    np.testing.assert_array_equal(y.numpy(), ty.detach().numpy())
    y.backward(g)
    ty.backward(torch.tensor(g))
    np.testing.assert_array_equal(x.grad.numpy(), tx.grad.numpy())
    np.testing.assert_array_equal(v.grad.numpy(), tv.grad.numpy())


def test_indices_that_are_tensors_and_change_are_refused_rather_than_used():
    x, indices = cr.tensor([1.0, 2.0], requires_grad=True), cr.tensor([0, 0])
    y = cr.take(x, indices, 0)
    indices[0] = 1
    with pytest.raises(cr.GradientError, match="changed in place"):
        y.backward([1.0, -2.0])


# Errors -------------------------------------------------------------------------------------

X = cr.tensor(np.arange(6.0).reshape(2, 3))
WRONG = [
    (
        lambda: X[5],
        IndexError,
        r"getitem: x has shape \(2, 3\), float64; index 5 .*axis 0.*-2 to 1",
    ),
    (lambda: X[:, [0, -4]], IndexError, r"index -4 is out of bounds for axis 1 of length 3"),
    (lambda: X[..., 3], IndexError, r"index 3 .* axis 1 .*give -3 to 2"),
    (lambda: X[0, 0, 0], IndexError, r"for 3 axes .* for 2"),
    (lambda: X[..., ...], IndexError, r"one ellipsis"),
    (lambda: X[1.5], cr.DtypeError, r"getitem: .*got 1\.5; .*astype\('int64'\)"),
    (lambda: X[cr.tensor([0.5])], cr.DtypeError, r"got shape \(1,\), float64; .*astype"),
    (lambda: X["a"], cr.DtypeError, r"getitem: .*got 'a'"),
    (lambda: X[0.5:], cr.DtypeError, r"slice takes integers, got 0\.5"),
    (lambda: X[::0], cr.ShapeError, r"step 0"),
    (lambda: X[np.array([True])], cr.ShapeError, r"mask from axis 0 .*\(2,\), got shape \(1,\)"),
    (lambda: X[[0, 1], [0, 1, 2]], cr.ShapeError, r"\(2,\), \(3,\) cannot be broadcast.*ix_"),
    (lambda: X[[[0, 1], [0]]], cr.ShapeError, r"rows of the list differ"),
    (lambda: X.at[2].set(0.0), IndexError, r"^index_set: x has shape \(2, 3\), float64; index 2"),
    (lambda: X.at[0].set([1.0, 2.0]), cr.ShapeError, r"index_set: values with shape \(2,\)"),
    (lambda: X.at[0].add([[1.0] * 3]), cr.ShapeError, r"index_add: values .*\(1, 3\).*\(3,\)"),
    (lambda: cr.scatter_index([1.0], [3], (3,)), IndexError, r"scatter_index: .*index 3"),
    (lambda: cr.scatter_index([1.0], [0], cr.tensor([3])), cr.ShapeError, r"x\.shape"),
    (lambda: X.take([3], 1), IndexError, r"^take: .*index 3 .*axis 1"),
    (lambda: X.take([6]), IndexError, r"^take: .*index 6 .*-6 to 5"),
    (lambda: X.take([0.5]), cr.DtypeError, r"take: indices must be integers.*astype"),
    (lambda: X.take(X > 1), cr.DtypeError, r"take: .*x\[mask\]"),
    (lambda: X.take([0], 2), cr.ShapeError, r"take: axis must be from -2 to 1"),
    (lambda: X.take_along_axis([0]), cr.ShapeError, r"as many axes as x.*cr\.take"),
    (lambda: X.take_along_axis([[0]] * 3), cr.ShapeError, r"take_along_axis: .*broadcast"),
    (lambda: X.gather([[0]] * 3, 1), cr.ShapeError, r"gather: .*not be longer than x.*\(3, 1\)"),
    (lambda: X.gather([[3]], 1), IndexError, r"^gather: .*index 3"),
    (lambda: X.scatter_add([[0]], [[1.0, 2.0]], 1), cr.ShapeError, r"scatter_add: values"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), WRONG, ids=[each[2] for each in WRONG])
def test_a_wrong_index_is_refused_with_what_would_do(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()


def test_assignment_in_a_graph_points_to_the_update():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    data = cr.tensor([1.0, 2.0])
    for attempt in (lambda: w.__setitem__(0, 1.0), lambda: data.__setitem__(0, w[0])):
        with pytest.raises(cr.GradientError, match=r"x = x\.at\[index\]\.set\(value\)"):
            attempt()
    data[[1, 0]] = [5.0, 7.0]
    assert data.tolist() == [7.0, 5.0]


@pytest.mark.parametrize(
    ("index", "value", "kind", "message"),
    [
        (9, 1.0, IndexError, r"x\[index\] = value: .*index 9 is out of bounds"),
        (0, [1.0, 2.0], cr.ShapeError, r"x\[index\] has shape \(3,\).*value shape \(2,\)"),
        ("a", 1.0, cr.DtypeError, "got 'a'"),
    ],
)
def test_a_wrong_assignment_says_what_is_wrong(index, value, kind, message):
    with pytest.raises(kind, match=message):
        cr.zeros((2, 3))[index] = value


def test_a_repeated_view_cannot_be_assigned_to():
    with pytest.raises(cr.ShapeError, match="repeats the memory"):
        cr.broadcast_to(cr.tensor(1.0), (3,))[0] = 2.0
