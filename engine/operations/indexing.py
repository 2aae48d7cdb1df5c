"""Operations that take elements at an index, put them there, or add them up there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import axis_of, shape_of
from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from ..indexing import element, lost, raw_index, rows_at
from ..kernels.arrays import never_repeats, positions
from ..placing import constant, on_device
from ..tensor import is_array

#: Index forms on which getitem, its transpose and the updates are proved: (shape of x, index).
FORMS: list[tuple[tuple[int, ...], Any]] = [
    ((3,), 1),
    ((3, 4), (slice(None, None, -1), slice(1, None, 2))),
    ((3, 2), (Ellipsis, None, 1)),
    ((3, 2), [0, 0, 2]),
    ((3, 2), (np.array([[0], [-1]]), np.array([1, 1]))),
    ((2, 2, 3), (np.array([1, 1]), slice(None), np.array([0, -1]))),
    ((2, 1, 3), (0, slice(None), [2, 2, 0])),
    ((3,), np.array([True, False, True])),
    ((2, 2, 2), np.array([[True, False], [True, True]])),
    ((2, 3), (np.array([1, 1]), np.array([False, True, False]))),
    ((2, 2), True),
    ((2,), np.array(False)),
    ((3, 2), []),
    ((2, 3), (slice(2, 1), -1)),
]


def _shape_at(
    where: str, index: Any, shape: tuple[int, ...], dtype: Any = float
) -> tuple[int, ...]:
    """The shape of what lies at an index of an array of `shape`."""
    host = np.broadcast_to(np.zeros((), dtype), shape)
    return np.shape(element(where, host, _alike(index)))


def _alike(index: Any) -> Any:
    """An index of the host that picks as much as one with arrays on a GPU, which are not read."""
    if isinstance(index, tuple):
        return tuple(map(_alike, index))
    if not on_device(index):
        return index
    return index.get() if index.dtype.kind == "b" else np.zeros(index.shape, np.int64)


def _fetched(index: Any) -> Any:
    """The same index on the host."""
    if isinstance(index, tuple):
        return tuple(map(_fetched, index))
    return index.get() if on_device(index) else index


def _placed(k: Any, where: str, values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Values, repeated to the shape of what lies at an index of an array of `shape`."""
    target = _shape_at(where, index, shape, values.dtype)
    try:
        values = k.broadcast_to(values, target)
        return lost(values, index, shape) if on_device(values) else values
    except ValueError:
        raise ShapeError(
            f"{where}: values with {describe(values)} cannot be broadcast to {target}, the shape "
            f"of what lies at the index of an array of shape {shape}"
        ) from None


def _getitem(k: Any, x: Any, index: Any) -> Any:
    if is_array(index) and index.dtype.kind in "iu" and index.ndim and x.ndim:
        return rows_at("getitem", k, x, index)
    return element("getitem", x, index)


getitem = operation(
    "getitem",
    summary="The elements at an index, as NumPy understands it; repeated indices add up.",
    formula="y = x[index]",
    derivative="zeros, with g added at the index",
    notes="""
    `index` is what NumPy takes: integers, slices, `...`, None, arrays, lists and Tensors of
    integers or booleans, or a tuple of these. Arrays are copied: changing them later changes no
    gradient. Slices and integers alone give a view.

    Raises IndexError for an index out of bounds or for too many axes, ShapeError for a mask or
    index arrays that do not fit, DtypeError for what is no index. An index that is a Tensor on a
    GPU is not copied back to be checked: what it finds out of bounds is NaN.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, -2.0], [-3.0, 4.0]])
    >>> x[0, ::-1].tolist(), x[x > 0].tolist(), x[[1, 1, 0], 0].tolist()
    ([-2.0, 1.0], [1.0, 4.0], [-3.0, -3.0, 1.0])
    """,
    forward=lambda k, x, *, index: _getitem(k, x, index),
    vjp=lambda k, g, x_shape, index: k.scatter_index(g, index, x_shape),
    view=True,
    methods=("__getitem__",),
    freeze={"index": raw_index},
    cases=[case(shape, index=index) for shape, index in FORMS],
)

scatter_index = operation(
    "scatter_index",
    summary="Zeros of a shape, to which values are added at an index; the VJP of indexing.",
    formula="y = 0; y[index] += values",
    derivative="g[index]",
    notes="""
    `values` are broadcast to what lies at the index; `index` is what `x[index]` takes; `shape` is
    that of the result. Repeated indices add up, in the order of the values.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.scatter_index([1.0, 2.0, 5.0], index=[0, 0, 2], shape=(4,)).tolist()
    [3.0, 0.0, 5.0, 0.0]
    """,
    forward=lambda k, values, *, index, shape: k.scatter_index(
        _placed(k, "scatter_index", values, index, shape_of("scatter_index", shape)), index, shape
    ),
    vjp=lambda k, g, index: g[index],
    freeze={"index": raw_index},
    cases=[
        case(_shape_at("scatter_index", index, shape), index=index, shape=shape)
        for shape, index in FORMS
    ]
    + [
        case((), index=np.array([0, 0, 2]), shape=(4,)),
        case((2, 1), index=(slice(None), [1, 1, 0]), shape=(2, 2)),
        case((3,), index=(slice(None), slice(0, 2)), shape=(3, 2, 3)),
    ],
)


def _updated(k: Any, where: str, x: Any, values: Any, index: Any, update: Any) -> Any:
    """A copy of x, of its dtype, with values put or added at an index."""
    x = x if is_array(x) else k.asarray(x)
    kind = values.dtype if is_array(values) else np.result_type(x.dtype, values)
    if not np.can_cast(kind, x.dtype, "same_kind"):
        raise DtypeError(
            f"{where}: values of {kind} do not fit into x, which has {describe(x)}; convert x "
            f"first, with .astype('{kind}')"
        )
    values = k.asarray(values, dtype=x.dtype)
    return update(x, _placed(k, where, values, index, x.shape), index)


def _kept(k: Any, g: Any, index: Any) -> Any:
    """g where nothing was put, 0 at the index."""
    kept = np.ones(g.shape, bool)
    kept[_fetched(index)] = False
    return k.where(constant(k, kept), g, 0.0)


def _won(k: Any, g: Any, index: Any) -> Any:
    """g at the index, for those values that stayed: 0 where a later one took their place."""
    if never_repeats(index):
        return g[index]
    where = positions(np, _fetched(index), g.shape)
    numbers, owner = np.arange(where.size), np.empty(math.prod(g.shape), np.int64)
    owner[where.reshape(-1)] = numbers
    stayed = owner[where] == numbers.reshape(where.shape)
    return k.where(constant(k, stayed), g[index], 0.0)


index_set = operation(
    "index_set",
    summary="A copy of x with values at an index: `x.at[index].set(values)`.",
    formula="y = x; y[index] = values",
    derivative={"x": "g, with 0 at the index", "values": "g[index], 0 for values that gave way"},
    notes="""
    `values` are broadcast to what lies at the index; the result has the dtype of `x`. Where
    indices repeat the last value stays, as in NumPy (in the order of the index array, the last
    axis running fastest), and has the gradient.

    Raises ShapeError if the values do not fit, DtypeError if they would lose their fractions.
    """,
    example="""
    >>> import chainrule as cr
    >>> x, v = (cr.tensor(each, requires_grad=True) for each in ([1.0, 2.0, 3.0], [7.0, 8.0]))
    >>> y = x.at[[2, 2]].set(v)
    >>> y.backward([1.0, 10.0, 100.0])
    >>> y.tolist(), x.grad.tolist(), v.grad.tolist()
    ([1.0, 2.0, 8.0], [1.0, 10.0, 0.0], [0.0, 100.0])
    """,
    forward=lambda k, x, values, *, index: _updated(k, "index_set", x, values, index, k.index_set),
    vjp={
        "x": lambda k, g, index: _kept(k, g, index),
        "values": lambda k, g, index: _won(k, g, index),
    },
    freeze={"index": raw_index},
    cases=[case(shape, _shape_at("index_set", index, shape), index=index) for shape, index in FORMS]
    + [
        case((3, 2), (), index=[2, 0, 2]),
        case((2, 2), (2, 1), index=(slice(None), [1, 1, 0])),
        case((2, 3), (3,), index=slice(0, 1)),
    ],
)

index_add = operation(
    "index_add",
    summary="A copy of x to which values are added at an index: `x.at[index].add(values)`.",
    formula="y = x; y[index] += values, also where indices repeat",
    derivative={"x": "g", "values": "g[index]"},
    notes="""
    `values` are broadcast to what lies at the index; the result has the dtype of `x`. Repeated
    indices add up, in the order of the values.

    Raises ShapeError if the values do not fit, DtypeError if they would lose their fractions.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.tensor([1.0, 2.0, 3.0]).at[[2, 2]].add([10.0, 20.0]).tolist()
    [1.0, 2.0, 33.0]
    """,
    forward=lambda k, x, values, *, index: _updated(k, "index_add", x, values, index, k.index_add),
    vjp={"x": lambda k, g: g, "values": lambda k, g, index: g[index]},
    freeze={"index": raw_index},
    cases=[case(shape, _shape_at("index_add", index, shape), index=index) for shape, index in FORMS]
    + [case((3, 2), (), index=[2, 0, 2]), case((2, 2), (2, 1), index=(slice(None), [1, 1, 0]))],
)

# Integer indices along an axis ---------------------------------------------------------------


def _integers(where: str, indices: Any) -> Any:
    """An array of the integers given as `indices`, which may be a Tensor."""
    raw = raw_index(indices)
    raw = raw if on_device(raw) else np.asarray(raw)
    if raw.dtype.kind not in "iu":
        if raw.size:
            remedy = "for a mask use x[mask]" if raw.dtype.kind == "b" else "use .astype('int64')"
            raise DtypeError(f"{where}: indices must be integers, got {describe(raw)}; {remedy}")
        raw = raw.astype(np.int64)  # an empty list
    return raw


def _taken(where: str, indices: Any, axis: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The index of the elements that `take` takes along an axis."""
    return (*(slice(None),) * (axis % len(shape)), _integers(where, indices))


def _take(k: Any, x: Any, indices: Any, axis: Any) -> Any:
    if axis is None:
        x, axis = k.reshape(x, -1), 0
    index = _taken("take", indices, axis_of("take", axis, x), x.shape)
    return element("take", x, index) if len(index) > 1 else rows_at("take", k, x, index[0])


def _untake(k: Any, g: Any, indices: Any, axis: Any, shape: tuple[int, ...]) -> Any:
    flat = (math.prod(shape),) if axis is None else shape
    return k.reshape(k.scatter_index(g, _taken("take", indices, axis or 0, flat), flat), shape)


take = operation(
    "take",
    summary="The elements at integer indices along an axis; of x flattened if axis is None.",
    formula="y[..., j, ...] = x[..., indices[j], ...]",
    derivative="zeros, with g added at the indices",
    notes="""
    `indices`, integers of any shape, replace the axis by their own axes; negative ones count from
    the end. Raises IndexError if one is out of bounds, DtypeError for floats and booleans.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.take([[1.0, 2.0], [3.0, 4.0]], [1, 1, 0], axis=1).tolist()
    [[2.0, 2.0, 1.0], [4.0, 4.0, 3.0]]
    """,
    forward=lambda k, x, indices, *, axis=None: _take(k, x, indices, axis),
    vjp={"x": lambda k, g, x_shape, indices, axis: _untake(k, g, indices, axis, x_shape)},
    methods=("take",),
    indices=("indices",),
    cases=[
        case((2, 3), np.array([[0, -1], [1, 1]]), axis=1),
        case((3, 2), np.array([2, 0, 2]), axis=-2),
        case((2, 3), np.array([5, 0, 5])),
        case((2, 3), np.array(1), axis=0),
        case((2, 3), np.array([], int), axis=0),
    ],
)


def _along(
    where: str, x_shape: tuple[int, ...], indices: Any, axis: Any, *, broadcast: bool
) -> tuple[Any, ...]:
    """The index of the elements x[i, indices[i, j], ...]: `axis` takes the indices, others run.

    The others run over the length of x, which is broadcast with that of the indices, or, without
    `broadcast`, over that of the indices.
    """
    raw = _integers(where, indices)
    count = len(x_shape)
    if raw.ndim != count:
        raise ShapeError(
            f"{where}: indices must have as many axes as x, got {describe(raw)}; x has shape "
            f"{x_shape}; for indices along one axis only use cr.take"
        )
    running = x_shape if broadcast else raw.shape
    grid = [np.arange(n).reshape((-1,) + (1,) * (count - i - 1)) for i, n in enumerate(running)]
    limits = [(n, x_shape[i]) for i, n in enumerate(raw.shape) if i != axis % count]
    if not broadcast and any(n > limit for n, limit in limits):
        raise ShapeError(
            f"{where}: along the other axes indices may not be longer than x, got "
            f"{describe(raw)}; x has shape {x_shape}, axis={axis}"
        )
    grid[axis % count] = raw
    return tuple(grid)


def _take_along_axis(k: Any, x: Any, indices: Any, axis: Any) -> Any:
    where = "take_along_axis"
    if axis is None:
        x, axis = k.reshape(x, -1), 0
    axis = axis_of(where, axis, x)
    return element(where, x, _along(where, x.shape, indices, axis, broadcast=True))


def _untake_along_axis(k: Any, g: Any, indices: Any, axis: Any, shape: tuple[int, ...]) -> Any:
    flat = (math.prod(shape),) if axis is None else shape
    index = _along("take_along_axis", flat, indices, axis or 0, broadcast=True)
    return k.reshape(k.scatter_index(g, index, flat), shape)


take_along_axis = operation(
    "take_along_axis",
    summary="The elements at integer indices along an axis; other axes are walked together.",
    formula="y[i, j] = x[i, indices[i, j]]",
    derivative="zeros, with g added at the indices",
    notes="""
    `indices`, integers, have as many axes as `x`; the other axes are broadcast, as in NumPy. With
    axis None `x` is flattened. Raises IndexError if an index is out of bounds, DtypeError for
    floats and booleans, ShapeError if the axes do not fit.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]])
    >>> cr.take_along_axis(x, cr.argmax(x, axis=1, keepdims=True), axis=1).tolist()
    [[3.0], [6.0]]
    """,
    forward=lambda k, x, indices, *, axis=-1: _take_along_axis(k, x, indices, axis),
    vjp={
        "x": lambda k, g, x_shape, indices, axis: _untake_along_axis(k, g, indices, axis, x_shape)
    },
    methods=("take_along_axis",),
    indices=("indices",),
    cases=[
        case((2, 3), np.array([[0, 0], [2, -1]]), axis=1),
        case((3, 2), np.array([[0, 2], [0, 1]]), axis=0),
        case((2, 3), np.array([[1, 1]]), axis=-1),
        case((1, 2), np.array([[0], [1], [1]]), axis=1),
        case((2, 2), np.array([3, 0, 3]), axis=None),
    ],
)

gather = operation(
    "gather",
    summary="The elements at integer indices along an axis; indices may be shorter along others.",
    formula="y[i, j] = x[i, indices[i, j]] for axis 1, at every i, j of the indices",
    derivative="zeros, with g added at the indices",
    notes="""
    `indices`, integers, have as many axes as `x`, along the other axes of any length up to that
    of `x` (PyTorch's gather; `take_along_axis` broadcasts instead). Negative ones count from the
    end. Raises IndexError if one is out of bounds, DtypeError for floats and booleans, ShapeError
    if the axes do not fit.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.gather([[1.0, 2.0], [3.0, 4.0]], [[1, 1, 0]], axis=1).tolist()
    [[2.0, 2.0, 1.0]]
    """,
    forward=lambda k, x, indices, *, axis: element(
        "gather",
        x,
        _along("gather", x.shape, indices, axis_of("gather", axis, x), broadcast=False),
    ),
    vjp={
        "x": lambda k, g, x_shape, indices, axis: k.scatter_index(
            g, _along("gather", x_shape, indices, axis, broadcast=False), x_shape
        )
    },
    methods=("gather",),
    indices=("indices",),
    cases=[
        case((2, 3), np.array([[2, 2, 0, -1]]), axis=1),
        case((3, 2), np.array([[1], [1], [0]]), axis=-2),
        case((2, 2, 2), np.array([[[1, 0]], [[0, 0]]]), axis=1),
        case((3,), np.array([], int), axis=0),
    ],
)


def _scatter_add(k: Any, x: Any, indices: Any, values: Any, axis: Any) -> Any:
    where, x = "scatter_add", x if is_array(x) else k.asarray(x)
    index = _along(where, x.shape, indices, axis_of(where, axis, x), broadcast=False)
    return _updated(k, where, x, values, index, k.index_add)


scatter_add = operation(
    "scatter_add",
    summary="x, with values added at integer indices along an axis: the transpose of gather.",
    formula="y = x; y[i, indices[i, j]] += values[i, j] for axis 1",
    derivative={"x": "g", "values": "gather(g, indices, axis)"},
    notes="""
    `indices` are those of `gather`; `values` are broadcast to their shape. Repeated indices add
    up, in the order of the values. The result has the dtype of `x`. Raises what gather raises.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.scatter_add(cr.zeros((2, 2)), [[1, 1], [0, 1]], [[1.0, 2.0], [3.0, 4.0]], 1).tolist()
    [[0.0, 3.0], [3.0, 4.0]]
    """,
    forward=lambda k, x, indices, values, *, axis: _scatter_add(k, x, indices, values, axis),
    vjp={
        "x": lambda k, g: g,
        "values": lambda k, g, indices, axis: g[
            _along("scatter_add", g.shape, indices, axis, broadcast=False)
        ],
    },
    methods=("scatter_add",),
    indices=("indices",),
    cases=[
        case((2, 3), np.array([[2, 2, 0, -1]]), (1, 4), axis=1),
        case((3, 2), np.array([[1], [1], [0]]), (3, 1), axis=-2),
        case((2, 2), np.array([[1, 1], [0, 1]]), (2, 1), axis=1),
    ],
)
