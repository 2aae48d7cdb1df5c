"""Shape, joining, cutting, repeating and padding: NumPy's values, exact gradients, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import chainrule as cr

quick = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
SHAPES = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
FILLED = array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


def whole(shape, seed):
    """Signed whole numbers, none 0: their sums and products are exact in any order."""
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 9, shape) * rng.choice([-1, 1], shape)).astype(float)


def parts_of(result):
    return result if isinstance(result, (tuple, list)) else (result,)


def check(shape, seed, ours, numpys, fill=-1):
    """An operation that moves elements: NumPy's values, and each gradient where it belongs.

    NumPy's own function, run on the numbers of the elements, says where each came from; `fill` is
    the number that elements of no origin have there. The gradient of Σ g y³, both ways.
    """
    values = whole(shape, seed)
    x = cr.tensor(values, requires_grad=True)
    results = parts_of(ours(x))
    expected = parts_of(numpys(values, 0.0))
    origins = parts_of(numpys(np.arange(values.size).reshape(shape), fill))
    assert len(results) == len(expected)
    upstreams = [whole(each.shape, seed + 1 + i) for i, each in enumerate(results)]
    w = whole(shape, seed + 99)
    first, second = np.zeros(values.size), np.zeros(values.size)
    for y, true, origin, g in zip(results, expected, origins, upstreams, strict=True):
        np.testing.assert_array_equal(y.numpy(), true)
        real = np.asarray(origin) != -1
        np.add.at(first, origin[real], (3 * g * true**2)[real])
        np.add.at(second, origin[real], (6 * g * true)[real] * w.reshape(-1)[origin[real]])
    if not results:
        return
    (found,) = cr.grad([y**3 for y in results], [x], upstreams, create_graph=True)
    np.testing.assert_array_equal(found.numpy().reshape(-1), first)
    (again,) = cr.grad([found], [x], [w])
    np.testing.assert_array_equal(again.numpy().reshape(-1), second)


@st.composite
def axes_for(draw, ndim, several=True):
    axis = st.integers(-ndim, ndim - 1) if ndim else st.nothing()
    if not several:
        return draw(axis)
    some = draw(st.lists(st.integers(0, ndim - 1), unique=True)) if ndim else []
    some = [each - ndim * draw(st.booleans()) for each in some]
    return draw(st.sampled_from([tuple(some), some] + ([some[0]] if some else [])))


@quick
@given(data=st.data(), shape=SHAPES, seed=seeds)
def test_axes_are_added_removed_and_permuted(data, shape, seed):
    ndim = len(shape)
    order = tuple(data.draw(st.permutations(range(ndim))))
    check(shape, seed, lambda x: x.permute_dims(order), lambda x, _: np.transpose(x, order))
    new = data.draw(st.integers(0, 2))
    axes = tuple(data.draw(st.permutations(range(ndim + new)))[:new])
    axes = tuple(each - (ndim + new) * data.draw(st.booleans()) for each in axes)
    check(shape, seed, lambda x: x.expand_dims(axes), lambda x, _: np.expand_dims(x, axes))
    padded = tuple(n for pair in zip(shape, [1] * ndim, strict=True) for n in pair)
    check(padded, seed, lambda x: x.squeeze(), lambda x, _: np.squeeze(x))
    ones = tuple(i for i, n in enumerate(padded) if n == 1)[:2]
    check(padded, seed, lambda x: x.squeeze(ones), lambda x, _: np.squeeze(x, ones))
    if ndim:
        a, b = data.draw(axes_for(ndim, False)), data.draw(axes_for(ndim, False))
        check(shape, seed, lambda x: x.swapaxes(a, b), lambda x, _: np.swapaxes(x, a, b))
        check(shape, seed, lambda x: x.moveaxis(a, b), lambda x, _: np.moveaxis(x, a, b))
        source = data.draw(st.permutations(range(ndim)))
        target = data.draw(st.permutations(range(ndim)))
        check(
            shape,
            seed,
            lambda x: x.moveaxis(source, target),
            lambda x, _: np.moveaxis(x, source, target),
        )


@quick
@given(data=st.data(), shape=SHAPES, seed=seeds)
def test_flip_and_roll(data, shape, seed):
    axes = data.draw(st.none() | axes_for(len(shape)))
    numpys = tuple(axes) if isinstance(axes, list) else axes
    check(shape, seed, lambda x: x.flip(axes), lambda x, _: np.flip(x, numpys))
    shift = data.draw(st.integers(-5, 5))
    axes, numpys = (axes, numpys) if shape else (None, None)  # NumPy rolls no 0-d array along ()
    check(shape, seed, lambda x: x.roll(shift, axes), lambda x, _: np.roll(x, shift, numpys))
    if isinstance(numpys, tuple) and numpys:
        several = tuple(data.draw(st.integers(-5, 5)) for _ in numpys)
        check(
            shape, seed, lambda x: x.roll(several, axes), lambda x, _: np.roll(x, several, numpys)
        )


@quick
@given(data=st.data(), shape=SHAPES, seed=seeds)
def test_tile_repeat_and_broadcast(data, shape, seed):
    reps = data.draw(st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=4))
    check(shape, seed, lambda x: x.tile(reps), lambda x, _: np.tile(x, reps))
    axis = data.draw(st.none() | axes_for(len(shape), False)) if shape else None
    n = int(np.prod(shape)) if axis is None else shape[axis]
    several = st.lists(st.integers(0, 3), min_size=n, max_size=n).map(lambda r: np.array(r, int))
    repeats = data.draw(st.integers(0, 3) | several)
    for kind in (lambda r: r, cr.tensor):
        check(
            shape,
            seed,
            lambda x, kind=kind: x.repeat(kind(repeats), axis),
            lambda x, _: np.repeat(x, repeats, axis),
        )
    longer = [n if n != 1 else data.draw(st.integers(0, 3)) for n in shape]
    large = (*data.draw(st.lists(st.integers(0, 3), max_size=2)), *longer)
    check(shape, seed, lambda x: x.broadcast_to(large), lambda x, _: np.broadcast_to(x, large))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), shape=FILLED, seed=seeds)
def test_pad_in_every_mode(data, shape, seed):
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    width = st.integers(0, 6)
    widths = data.draw(
        st.one_of(
            width,
            st.tuples(width, width),
            st.tuples(*[st.tuples(width, width)] * len(shape)),
            st.tuples(*[st.tuples(width)] * len(shape)),
        )
    )

    def numpys(x, fill):
        return np.pad(x, widths, mode, **({"constant_values": fill} if mode == "constant" else {}))

    check(shape, seed, lambda x: x.pad(widths, mode), numpys)


def test_a_margin_that_reflects_several_times_adds_up():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.pad(x, (3, 2), "reflect")
    assert y.tolist() == [2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
    y.backward([1.0, -2.0, 4.0, -8.0, 16.0, -32.0, 64.0])
    assert x.grad.tolist() == [-42.0, 85.0]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad_is_that_of_pytorch(mode):
    torch = pytest.importorskip("torch")
    ours = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    values, g = whole((1, 2, 4, 5), 0), whole((1, 2, 7, 8), 1)
    x, tx = cr.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y = cr.pad(x, ((0, 0), (0, 0), (2, 1), (1, 2)), ours)
    ty = torch.nn.functional.pad(tx, (1, 2, 2, 1), mode)
    np.testing.assert_array_equal(y.numpy(), ty.detach().numpy())
    y.backward(g)
    ty.backward(torch.tensor(g))
    np.testing.assert_array_equal(x.grad.numpy(), tx.grad.numpy())


@pytest.mark.parametrize("values", [0.5, (0.5, -2), ((0.5, 1.0), (2.0, -3.0))])
def test_constant_margins(values):
    x = np.arange(6.0).reshape(2, 3)
    ours = cr.pad(x, ((1, 2), (0, 1)), constant_values=values)
    np.testing.assert_array_equal(ours.numpy(), np.pad(x, ((1, 2), (0, 1)), constant_values=values))


@quick
@given(data=st.data(), shape=array_shapes(min_dims=2, max_dims=3, min_side=0), seed=seeds)
def test_triangles(data, shape, seed):
    k = data.draw(st.integers(-4, 4))
    for ours, triangle in ((cr.tril, np.tril), (cr.triu, np.triu)):
        check(
            shape,
            seed,
            lambda x, ours=ours: ours(x, k),
            lambda x, fill, t=triangle: np.where(t(np.ones(shape), k) > 0, x, fill),
        )
        np.testing.assert_array_equal(ours(whole(shape, seed), k), triangle(whole(shape, seed), k))


def test_triangles_keep_no_nan_from_the_other_half():
    x = cr.tensor([[1.0, np.nan], [3.0, np.inf]], requires_grad=True)
    assert cr.tril(x).tolist() == [[1.0, 0.0], [3.0, np.inf]]
    cr.tril(x).backward([[2.0, np.nan], [-1.0, 1.0]])
    assert x.grad.tolist() == [[2.0, 0.0], [-1.0, 1.0]]


@quick
@given(data=st.data(), shape=FILLED, seed=seeds)
def test_split_and_unstack(data, shape, seed):
    axis = data.draw(axes_for(len(shape), False))
    n = shape[axis]
    sections = data.draw(st.sampled_from([each for each in range(1, n + 1) if n % each == 0]))
    points = data.draw(st.lists(st.integers(-n - 1, n + 2), max_size=4))
    for cut in (sections, points, tuple(points), np.array(points, int)):
        check(
            shape,
            seed,
            lambda x, cut=cut: x.split(cut, axis),
            lambda x, _, cut=cut: np.split(x, cut, axis),
        )
    check(
        shape,
        seed,
        lambda x: x.unstack(axis),
        lambda x, _: [np.take(x, i, axis) for i in range(n)],
    )


@quick
@given(data=st.data(), shape=FILLED, seed=seeds)
def test_what_is_cut_is_joined_again(data, shape, seed):
    axis = data.draw(axes_for(len(shape), False))
    x = cr.tensor(whole(shape, seed), requires_grad=True)
    points = data.draw(st.lists(st.integers(0, shape[axis]), max_size=3).map(sorted))
    for y in (
        cr.concat(x.split(points, axis), axis=axis),
        cr.stack(x.unstack(axis), axis=axis),
        x.flip(axis).flip(axis),
        x.roll(2, axis).roll(-2, axis),
    ):
        assert y.tolist() == x.tolist()
        g = whole(shape, seed + 1)
        (found,) = cr.grad([y], [x], [g])
        np.testing.assert_array_equal(found.numpy(), g)


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint8", "float32"])
def test_the_dtype_stays(dtype):
    x = cr.tensor(np.array([[1, 0], [0, 1]], dtype))
    results = [
        *(x.reshape(4), x.tile(2), x.repeat(2), x.repeat([1, 2], 0), x.roll(1), x.flip()),
        *(x.pad(1), x.pad(1, "reflect"), x[:1, :1].reshape(()).pad(()), cr.tril(x), x.take([0])),
        *(x.split(2)[0], x.unstack()[1], x.gather([[0]], 1), x.at[0].set(x[1]), x[x > 0]),
    ]
    assert {str(each.dtype) for each in results} == {dtype}


def test_views_share_memory_and_their_changes_are_noticed():
    for view in (
        lambda x: x.flip(),
        lambda x: x.moveaxis(0, 1),
        lambda x: x.swapaxes(0, 1),
        lambda x: x.expand_dims((0, -1)),
        lambda x: x.split(2)[1],
        lambda x: x.unstack()[1],
    ):
        x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        part = view(x)
        assert np.shares_memory(part.numpy(), x.numpy())
        y = part * part
        with cr.no_grad():
            x *= 2.0
        with pytest.raises(cr.GradientError, match="changed in place"):
            y.backward(np.ones(y.shape))


def test_copies_are_no_views():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    for copy in (x.tile(1), x.repeat(1, 0), x.roll(0), x.pad(0), x.pad(0, "edge"), cr.tril(x, 5)):
        assert not np.shares_memory(copy.numpy(), x.numpy())
    assert not np.shares_memory(cr.pad(x[0, 0], ()).numpy(), x.numpy())


def test_static_arguments_that_are_changed_later_change_no_gradient():
    calls = {
        "permute_dims": ([1, 0], [0, 1]),
        "tile": ([2, 1], [1, 2]),
        "flip": ([0], [1]),
        "pad": ([[1, 0], [0, 0]], [[0, 1], [0, 0]]),
    }
    for name, (before, after) in calls.items():
        for kind in (list, np.array):
            given_value, x = kind(before), cr.tensor(whole((2, 2), 0), requires_grad=True)
            g = whole(getattr(cr, name)(x, kind(before)).shape, 1)
            (expected,) = cr.grad([getattr(cr, name)(x, kind(before))], [x], [g])
            y = getattr(cr, name)(x, given_value)
            given_value[:] = after
            (found,) = cr.grad([y], [x], [g])
            assert found.tolist() == expected.tolist(), name


METHODS = {
    "reshape": lambda x: [x.reshape(3, 2), x.reshape((3, 2)), x.reshape([3, -1]), x.reshape(-1, 2)],
    "flatten": lambda x: [x.flatten(), x.reshape(-1), x.reshape(6)],
    "permute_dims": lambda x: [x.permute_dims(1, 0), x.permute_dims((1, 0)), x.T, x.mT],
    "transpose": lambda x: [x.transpose(), x.transpose(1, 0), x.transpose([-1, 0])],
}


@pytest.mark.parametrize("spellings", METHODS.values(), ids=METHODS)
def test_spellings_of_one_thing(spellings):
    x = cr.tensor(np.arange(6.0).reshape(2, 3))
    first, *others = spellings(x)
    assert all(each.tolist() == first.tolist() for each in others)


NUMPYS = {
    "split": lambda x: np.split(x, 2),
    "split at": lambda x: np.split(x, [1], axis=1),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "repeat each": lambda x: np.repeat(x, np.array([0, 2]), 0),
    "roll": lambda x: np.roll(x, 1, axis=1),
    "flip": lambda x: np.flip(x),
    "pad": lambda x: np.pad(x, 1, "edge"),
    "pad with": lambda x: np.pad(x, (1, 0), constant_values=2.0),
    "tril": lambda x: np.tril(x),
    "triu": lambda x: np.triu(x, k=1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "take": lambda x: np.take(x, [1, 0], axis=1),
    "take flat": lambda x: np.take(x, [1, 3]),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
}


@pytest.mark.parametrize("call", NUMPYS.values(), ids=NUMPYS)
def test_numpys_functions_run_ours(call):
    values = np.array([[0.25, 0.5], [0.75, 0.125]])
    results = parts_of(call(cr.tensor(values, requires_grad=True)))
    for ours, true in zip(results, parts_of(call(values)), strict=True):
        assert isinstance(ours, cr.Tensor)
        assert ours.requires_grad
        np.testing.assert_array_equal(ours.numpy(), true)


# Errors -------------------------------------------------------------------------------------

X = cr.tensor(np.arange(6.0).reshape(2, 3))
SHAPE = cr.tensor([2, 3])
WRONG = [
    (lambda: X.reshape(7), cr.ShapeError, r"reshape: .*size 6.*\(7,\)"),
    (lambda: X.reshape(SHAPE), cr.DtypeError, r"reshape: .*of a tensor x, give x\.shape"),
    (lambda: cr.reshape(X, SHAPE), cr.ShapeError, r"reshape: shape .*give x\.shape"),
    (lambda: cr.reshape(X, (-2, 3)), cr.ShapeError, r"reshape: shape must be.*\(-2, 3\)"),
    (lambda: cr.reshape(X, (-1, -1)), cr.ShapeError, r"reshape: .*one"),
    (lambda: cr.broadcast_to(X, SHAPE), cr.ShapeError, r"broadcast_to: shape .*give x\.shape"),
    (
        lambda: cr.broadcast_to(X, (2, 2)),
        cr.ShapeError,
        r"broadcast_to: .*\(2, 3\).*\(2, 2\).*or 1",
    ),
    (lambda: X.permute_dims(SHAPE), cr.DtypeError, r"permute_dims: .*\(2,\), int64"),
    (lambda: X.permute_dims(0), cr.ShapeError, r"permute_dims: axes must name each of the 2"),
    (lambda: X.permute_dims(0, 0), cr.ShapeError, r"permute_dims: .*twice"),
    (lambda: X.expand_dims(4), cr.ShapeError, r"expand_dims: axis must be from -3 to 2, got 4"),
    (lambda: X.expand_dims((0, 0)), cr.ShapeError, r"expand_dims: .*twice"),
    (lambda: X.expand_dims(SHAPE), cr.DtypeError, r"expand_dims: axis must be an integer"),
    (lambda: X.squeeze(0), cr.ShapeError, r"squeeze: axis 0 has length 2.*cr\.take\(x, 0, axis=0"),
    (lambda: X.moveaxis(0, (0, 1)), cr.ShapeError, r"moveaxis: .*as many axes"),
    (lambda: X.swapaxes(0, 2), cr.ShapeError, r"swapaxes: axis2 must be from -2 to 1"),
    (lambda: X.flip(2), cr.ShapeError, r"flip: axis must be from -2 to 1"),
    (lambda: X.roll(1.5), cr.DtypeError, r"roll: shift must be an integer, got 1\.5"),
    (lambda: X.roll((1, 2, 3), (0, 1)), cr.ShapeError, r"roll: give one shift for each axis"),
    (lambda: X.tile(-1), cr.ShapeError, r"tile: reps must be"),
    (lambda: X.tile(SHAPE), cr.ShapeError, r"tile: reps must be .*\(2,\), int64"),
    (lambda: X.repeat(-1), cr.ShapeError, r"repeat: .*not be negative, got -1"),
    (lambda: X.repeat(0.5), cr.DtypeError, r"repeat: repeats must be an integer"),
    (lambda: X.repeat([1, 2, 3], 0), cr.ShapeError, r"repeat: .*2 of them.*got 3"),
    (lambda: X.split(2, 1), cr.ShapeError, r"split: axis 1 of length 3 .*2 equal.*such as \[2\]"),
    (lambda: X.split(0), cr.ShapeError, r"split: .*at least 1, got 0"),
    (lambda: X.split([0.5]), cr.DtypeError, r"split: indices_or_sections\[0\] must be an integer"),
    (lambda: X.unstack(2), cr.ShapeError, r"unstack: axis must be from -2 to 1"),
    (lambda: X.pad(-1), cr.ShapeError, r"pad: .*not be negative, got -1"),
    (lambda: X.pad(0.5), cr.DtypeError, r"pad: pad_width must be an integer"),
    (lambda: X.pad(SHAPE), cr.DtypeError, r"pad: pad_width must be .*\(2,\), int64"),
    (lambda: X.pad([[1, 2]] * 3), cr.ShapeError, r"pad: .*each of the 2 axes"),
    (lambda: X.pad(1, "mirror"), cr.ShapeError, r"pad: mode must be one of constant, edge"),
    (lambda: X.pad(1, constant_values=X), cr.DtypeError, r"pad: constant_values .*cr\.concat"),
    (lambda: X[:0].pad(1, "edge"), cr.ShapeError, r"pad: axis 0 has no elements .*'edge'"),
    (lambda: cr.tril(X[0]), cr.ShapeError, r"tril: x must be a matrix.*\(3,\)"),
    (lambda: cr.triu(X, 0.5), cr.DtypeError, r"triu: k must be an integer"),
    (lambda: cr.concat([X, X[0]]), cr.ShapeError, r"concat: .*\(2, 3\).*\(3,\)"),
    (lambda: cr.concat([X[0, 0]]), cr.ShapeError, r"concat: .*cr\.stack"),
    (lambda: cr.concat([X], cr.tensor(0)), cr.DtypeError, r"concat: axis must be an integer"),
    (lambda: cr.stack([X, X[0]]), cr.ShapeError, r"stack: .*\(2, 3\).*\(3,\)"),
    (lambda: cr.stack([X], 3), cr.ShapeError, r"stack: axis must be from -3 to 2"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), WRONG, ids=[each[2] for each in WRONG])
def test_a_wrong_argument_is_refused_with_what_would_do(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()
