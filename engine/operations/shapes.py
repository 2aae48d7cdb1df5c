"""Operations that arrange elements: shape, order, joining and indexing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..cases import case
from ..indexing import raw_index
from ..record import operation

reshape = operation(
    "reshape",
    summary="The same elements in another shape; one length may be -1.",
    formula="y = x, renumbered",
    derivative="g, renumbered back",
    forward=lambda k, x, *, shape: k.reshape(x, shape),
    vjp=lambda k, g, x_shape: k.reshape(g, x_shape),
    view=True,
    cases=[case((2, 3), shape=(3, -1))],
)

permute_dims = operation(
    "permute_dims",
    summary="The axes in another order: axis i of the result is axis axes[i] of x.",
    formula="y[i_a0, i_a1, ...] = x[i_0, i_1, ...]",
    derivative="g, permuted back",
    forward=lambda k, x, *, axes: k.permute_dims(x, axes),
    vjp=lambda k, g, axes: k.permute_dims(g, _inverse(axes)),
    view=True,
    cases=[case((2, 3, 1), axes=(2, 0, -2))],
)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    positive = [each % len(axes) for each in axes]
    return tuple(positive.index(i) for i in range(len(axes)))


matrix_transpose = operation(
    "matrix_transpose",
    summary="The last two axes exchanged.",
    formula="y[..., j, i] = x[..., i, j]",
    derivative="g, exchanged back",
    forward=lambda k, x: k.matrix_transpose(x),
    vjp=lambda k, g: k.matrix_transpose(g),
    view=True,
    methods=("matrix_transpose",),
    cases=[case((2, 2, 3))],
)

expand_dims = operation(
    "expand_dims",
    summary="A new axis of length 1.",
    formula="y = x",
    derivative="g, in the shape of x",
    forward=lambda k, x, *, axis: k.expand_dims(x, axis),
    vjp=lambda k, g, x_shape: k.reshape(g, x_shape),
    view=True,
    methods=("expand_dims",),
    cases=[case((2, 3), axis=1), case((2, 3), axis=-2)],
)

squeeze = operation(
    "squeeze",
    summary="Without the axes of length 1: all of them, or those named.",
    formula="y = x",
    derivative="g, in the shape of x",
    forward=lambda k, x, *, axis=None: k.squeeze(x, axis),
    vjp=lambda k, g, x_shape: k.reshape(g, x_shape),
    view=True,
    methods=("squeeze",),
    cases=[case((2, 1, 1)), case((1, 2, 1), axis=-1)],
)

broadcast_to = operation(
    "broadcast_to",
    summary="Repeated along axes of length 1, and new ones in front, to a shape.",
    formula="y[..., i, ...] = x[..., 0, ...]",
    derivative="g, summed over the repeated axes",
    forward=lambda k, x, *, shape: k.broadcast_to(x, shape),
    vjp=lambda k, g: g,
    view=True,
    methods=("broadcast_to",),
    cases=[case((2, 1), shape=(3, 2, 2)), case((), shape=(2,))],
)

concat = operation(
    "concat",
    summary="Tensors joined along an axis that they have.",
    formula="y = [x0, x1, ...]",
    derivative="g, cut where the tensors were joined",
    forward=lambda k, *tensors, axis=0: k.concat(tensors, axis=axis),
    joint=lambda k, g, needed, tensors_shape, axis: _cut(k, g, tensors_shape, axis),
    cases=[case((2, 1), (2, 3), axis=1), case((2, 1), (2, 0), (2, 3), axis=-1)],
)


def _cut(k: Any, g: Any, shapes: tuple[tuple[int, ...], ...], axis: int | None) -> list[Any]:
    """The pieces of g that came from tensors of these shapes; axis None: they were flattened."""
    pieces, start = [], 0
    before = () if axis is None else (slice(None),) * (axis % g.ndim)
    for shape in shapes:
        end = start + (math.prod(shape) if axis is None else shape[axis])
        pieces.append(k.reshape(g[(*before, slice(start, end))], shape))
        start = end
    return pieces


stack = operation(
    "stack",
    summary="Tensors of one shape joined along a new axis.",
    formula="y[i] = x_i",
    derivative="∂/∂x_i = g[i]",
    forward=lambda k, *tensors, axis=0: k.stack(tensors, axis=axis),
    joint=lambda k, g, needed, tensors_shape, axis: [
        g[(slice(None),) * (axis % g.ndim) + (i,)] for i in range(len(tensors_shape))
    ],
    cases=[case((2,), (2,), (2,), axis=-1)],
)

getitem = operation(
    "getitem",
    summary="The elements at an index, as NumPy understands it; repeated indices add up.",
    formula="y = x[index]",
    derivative="zeros, with g added at the index",
    forward=lambda k, x, *, index: x[index],
    vjp=lambda k, g, x_shape, index: k.scatter_index(g, index, x_shape),
    view=True,
    cases=[
        case((3, 2), index=[0, 0, 2]),
        case((3, 4), index=(slice(None, None, -1), slice(1, None, 2))),
        case((3,), index=np.array([True, False, True])),
        case((3, 2), index=(Ellipsis, None, 1)),
        case((3, 2), index=(np.array([[0], [2]]), np.array([1, 1]))),
    ],
)

scatter_index = operation(
    "scatter_index",
    summary="Zeros of a shape, to which values are added at an index; the VJP of indexing.",
    formula="y = 0; y[index] += values",
    derivative="g[index]",
    forward=lambda k, values, *, index, shape: k.scatter_index(values, index, shape),
    vjp=lambda k, g, index: g[index],
    cases=[
        case((3,), index=np.array([0, 0, 2]), shape=(4,)),
        case((2,), index=slice(1, 3), shape=(4,)),
    ],
)

take_along_axis = operation(
    "take_along_axis",
    summary="The elements at integer indices along an axis; other axes are walked together.",
    formula="y[i, j] = x[i, indices[i, j]]",
    derivative="zeros, with g added at the indices",
    forward=lambda k, x, indices, *, axis=-1: k.take_along_axis(x, indices, axis),
    vjp={
        "x": lambda k, g, x_shape, indices, axis: k.scatter_index(
            g, along_axis(k, indices, axis, x_shape), x_shape
        )
    },
    cases=[
        case((2, 3), np.array([[0, 0], [2, 1]]), axis=1),
        case((3, 2), np.array([[0, 2], [0, 1]]), axis=0),
    ],
)


def along_axis(k: Any, indices: Any, axis: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The full index of the elements that `take_along_axis` takes."""
    raw = raw_index(indices)
    grid = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - i - 1)) for i, n in enumerate(shape)]
    grid[axis % len(shape)] = raw
    return tuple(grid)
