"""Operations that join tensors, cut them into pieces, and repeat their elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import axis_of, frozen, integer, shape_of
from ..cases import case
from ..definitions import composition, operation
from ..errors import DtypeError, ShapeError, describe
from ..indexing import raw_index
from ..placing import on_device
from ..tensor import is_array


def _concat(k: Any, tensors: Any, axis: Any) -> Any:
    if axis is not None:
        if not tensors[0].ndim:
            raise ShapeError(
                "concat: tensors without axes cannot be joined along one; use cr.stack, or "
                "axis=None"
            )
        axis = axis_of("concat", axis, tensors[0], of="tensors[0]")
    return k.concat(tensors, axis=axis)


concat = operation(
    "concat",
    summary="Tensors joined along an axis that they have; flattened first if axis is None.",
    formula="y = [x0, x1, ...]",
    derivative="g, cut where the tensors were joined",
    notes="""
    `tensors` is a list or tuple of them. Raises ShapeError if their other axes differ.
    """,
    forward=lambda k, *tensors, axis=0: _concat(k, tensors, axis),
    joint=lambda k, g, needed, tensors_shape, axis: _cut(k, g, tensors_shape, axis),
    cases=[
        case((2, 1), (2, 3), axis=1),
        case((2, 1), (2, 0), (2, 3), axis=-1),
        case((2, 1), (), (3,), axis=None),
        case((2,), axis=0),
    ],
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
    notes="""
    `tensors` is a list or tuple of them; `axis` is where the result has the new axis. Raises
    ShapeError if their shapes differ.
    """,
    forward=lambda k, *tensors, axis=0: k.stack(
        tensors, axis=axis_of("stack", axis, tensors[0], new=1, of="tensors[0]")
    ),
    joint=lambda k, g, needed, tensors_shape, axis: [
        g[(slice(None),) * (axis % g.ndim) + (i,)] for i in range(len(tensors_shape))
    ],
    cases=[
        case((2,), (2,), (2,), axis=-1),
        case((2, 2), (2, 2), axis=1),
        case((), ()),
        case((0, 2), (0, 2), axis=0),
    ],
)

# Cutting ------------------------------------------------------------------------------------


def _pieces(x: Any, indices_or_sections: Any, axis: Any) -> tuple[Any, ...]:
    where, cuts = "split", frozen(indices_or_sections)
    axis = axis_of(where, axis, x)
    length = x.shape[axis]
    if isinstance(cuts, tuple):
        points = [integer(where, f"indices_or_sections[{i}]", each) for i, each in enumerate(cuts)]
    else:
        count = integer(where, "indices_or_sections", cuts, at_least=1)
        if length % count:
            even = length // count + 1
            raise ShapeError(
                f"{where}: axis {axis} of length {length} cannot be cut into {count} equal "
                f"sections; x has {describe(x)}; give the points where to cut, such as "
                f"{list(range(even, length, even))}"
            )
        points = [i * (length // count) for i in range(1, count)]
    before = (slice(None),) * axis
    return tuple(
        x[(*before, slice(start, end))]
        for start, end in zip([0, *points], [*points, length], strict=True)
    )


split = composition(
    "split",
    summary="A tuple of the pieces of x, cut along an axis.",
    formula="y_i = x[points[i] : points[i + 1]]",
    derivative="g_i, where y_i was",
    notes="""
    `indices_or_sections` is the number of equal pieces, or a list of the points where to cut.
    Raises ShapeError if the axis does not divide into so many.
    """,
    example="""
    >>> import chainrule as cr
    >>> [each.tolist() for each in cr.split([1.0, 2.0, 3.0, 4.0], [1, 3])]
    [[1.0], [2.0, 3.0], [4.0]]
    """,
    forward=lambda k, x, *, indices_or_sections, axis=0: _pieces(x, indices_or_sections, axis),
    methods=("split",),
    cases=[
        case((2, 4), indices_or_sections=2, axis=-1),
        case((4,), indices_or_sections=[1, 1, 3]),
        case((2, 3), indices_or_sections=(-1, 5), axis=1),
    ],
)


def _unstacked(x: Any, axis: Any) -> tuple[Any, ...]:
    axis = axis_of("unstack", axis, x)
    return tuple(x[(slice(None),) * axis + (i,)] for i in range(x.shape[axis]))


unstack = composition(
    "unstack",
    summary="A tuple of the slices of x along an axis, which they have no more.",
    formula="y_i = x[i]",
    derivative="g_i, where y_i was",
    example="""
    >>> import chainrule as cr
    >>> [each.tolist() for each in cr.unstack([[1.0, 2.0], [3.0, 4.0]], axis=1)]
    [[1.0, 3.0], [2.0, 4.0]]
    """,
    forward=lambda k, x, *, axis=0: _unstacked(x, axis),
    methods=("unstack",),
    cases=[case((2, 3)), case((2, 3), axis=-1)],
)

# Repeating ----------------------------------------------------------------------------------


def _untile(k: Any, g: Any, reps: Any, shape: tuple[int, ...]) -> Any:
    """The sum over the copies: axis i of g is cut into (copies, length) of axis i of x."""
    counts = reps if isinstance(reps, tuple) else (reps,)
    ndim = max(len(counts), len(shape))
    counts = (1,) * (ndim - len(counts)) + counts
    lengths = (1,) * (ndim - len(shape)) + shape
    cut = tuple(n for pair in zip(counts, lengths, strict=True) for n in pair)
    return k.reshape(k.sum(k.reshape(g, cut), axis=tuple(range(0, 2 * ndim, 2))), shape)


tile = operation(
    "tile",
    summary="Copies of x side by side: reps[i] of them along axis i, counted from the last.",
    formula="y[i + m n] = x[i] for an axis of length n",
    derivative="g, summed over the copies",
    notes="""
    `reps` is an int or a tuple of ints; if it is longer than x has axes, x gets new ones in front.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.tile([1.0, 2.0], (2, 2)).tolist()
    [[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]
    """,
    forward=lambda k, x, *, reps: k.tile(x, shape_of("tile", reps, name="reps")),
    vjp=lambda k, g, x_shape, reps: _untile(k, g, reps, x_shape),
    methods=("tile",),
    freeze={"reps": frozen},
    cases=[
        case((2,), reps=2),
        case((2, 2), reps=(2, 3)),
        case((2, 2), reps=(2,)),
        case((2,), reps=(2, 1, 2)),
        case((2, 1), reps=(0, 2)),
        case((), reps=(2, 1)),
        case((2,), reps=()),
    ],
)


def _counts(repeats: Any, length: int) -> Any:
    """How often to repeat each of `length` elements: a number, or an array of so many."""
    where, counts = "repeat", np.asarray(repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1:
        raise DtypeError(
            f"{where}: repeats must be an integer, or one for each element, got {describe(repeats)}"
        )
    if counts.size and counts.min() < 0:
        raise ShapeError(f"{where}: repeats must not be negative, got {int(counts.min())}")
    if counts.size == 1:
        return integer(where, "repeats", counts.reshape(-1)[0])
    if len(counts) != length:
        raise ShapeError(
            f"{where}: repeats must be one integer, or {length} of them, one for each element "
            f"along the axis, got {len(counts)}"
        )
    return counts


def _repeated(k: Any, x: Any, repeats: Any, axis: Any) -> Any:
    if axis is None:
        x, axis = k.reshape(x, (-1,)), 0
    axis = axis_of("repeat", axis, x)
    counts = _counts(repeats, x.shape[axis])
    return k.repeat(x, counts.tolist() if on_device(x) and is_array(counts) else counts, axis)


def _unrepeat(k: Any, g: Any, repeats: Any, axis: Any, shape: tuple[int, ...]) -> Any:
    flat = (math.prod(shape),) if axis is None else shape
    axis = 0 if axis is None else axis % len(flat)
    counts = _counts(repeats, flat[axis])
    if type(counts) is int:
        cut = (*flat[: axis + 1], counts, *flat[axis + 1 :])
        return k.reshape(k.sum(k.reshape(g, cut), axis=axis + 1), shape)
    sources = np.repeat(np.arange(flat[axis]), counts)
    return k.reshape(k.scatter_index(g, (slice(None),) * axis + (sources,), flat), shape)


repeat = operation(
    "repeat",
    summary="Each element repeated along an axis; of x flattened if axis is None.",
    formula="y = [x[0], x[0], ..., x[1], x[1], ...]",
    derivative="g, summed over the copies",
    notes="""
    `repeats` is an integer, or integers, one for each element along the axis.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.repeat([1.0, 2.0], 2).tolist(), cr.repeat([1.0, 2.0], [1, 3]).tolist()
    ([1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0])
    """,
    forward=lambda k, x, *, repeats, axis=None: _repeated(k, x, repeats, axis),
    vjp=lambda k, g, x_shape, repeats, axis: _unrepeat(k, g, repeats, axis, x_shape),
    methods=("repeat",),
    freeze={"repeats": raw_index},
    cases=[
        case((2, 3), repeats=2, axis=1),
        case((2, 2), repeats=3),
        case((2, 3), repeats=[2, 0, 1], axis=-1),
        case((2, 2), repeats=[0, 1, 2, 1]),
        case((2, 3), repeats=[2], axis=0),
        case((2, 1), repeats=0, axis=0),
        case((), repeats=2),
    ],
)
