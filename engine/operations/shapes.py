"""Operations that give the same elements another shape, or other axes."""

from __future__ import annotations

from typing import Any

from ..arguments import axes_of, axis_of, frozen, shape_of
from ..cases import case
from ..definitions import composition, operation
from ..errors import DtypeError, ShapeError, describe


def _lengths(where: str, shape: Any, unknown: bool = False) -> Any:
    """A checked shape; what is wrong with the rest of a tuple, the array library says."""
    if type(shape) is tuple and (not shape or min(shape) >= -unknown):
        return shape
    return shape_of(where, shape, unknown=unknown)


reshape = operation(
    "reshape",
    summary="The same elements in another shape; one length may be -1.",
    formula="y = x, renumbered",
    derivative="g, renumbered back",
    notes="""
    The last axis runs fastest. Raises ShapeError if the number of elements would change.
    """,
    forward=lambda k, x, *, shape: k.reshape(x, _lengths("reshape", shape, unknown=True)),
    vjp=lambda k, g, x_shape: k.reshape(g, x_shape),
    view=True,
    cases=[
        case((2, 3), shape=(3, -1)),
        case((2, 3), shape=-1),
        case((1, 1), shape=()),
        case((), shape=(1, 1)),
        case((0, 2), shape=(3, 0)),
    ],
)


def _permuted(k: Any, x: Any, axes: Any) -> Any:
    try:
        if type(axes) is tuple:
            return k.permute_dims(x, axes)
    except (ValueError, TypeError):
        pass
    axes_of("permute_dims", axes, x, name="axes")
    raise ShapeError(
        f"permute_dims: axes must name each of the {x.ndim} axes of x once, in their new order, "
        f"got {describe(axes)}; x has {describe(x)}"
    )


permute_dims = operation(
    "permute_dims",
    summary="The axes in another order: axis i of the result is axis axes[i] of x.",
    formula="y[i_a0, i_a1, ...] = x[i_0, i_1, ...]",
    derivative="g, permuted back",
    forward=lambda k, x, *, axes: _permuted(k, x, axes),
    vjp=lambda k, g, axes: k.permute_dims(g, _inverse(axes)),
    view=True,
    freeze={"axes": frozen},
    cases=[case((2, 3, 1), axes=(2, 0, -2)), case((), axes=()), case((0, 2), axes=(1, 0))],
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
    cases=[case((2, 2, 3)), case((0, 2))],
)

swapaxes = operation(
    "swapaxes",
    summary="Two axes exchanged.",
    formula="y[..., j, ..., i, ...] = x[..., i, ..., j, ...]",
    derivative="g, exchanged back",
    forward=lambda k, x, *, axis1, axis2: k.swapaxes(
        x,
        axis_of("swapaxes", axis1, x, name="axis1"),
        axis_of("swapaxes", axis2, x, name="axis2"),
    ),
    vjp=lambda k, g, axis1, axis2: k.swapaxes(g, axis1, axis2),
    view=True,
    methods=("swapaxes",),
    cases=[case((2, 1, 3), axis1=0, axis2=-1), case((2, 2), axis1=1, axis2=1)],
)


transpose = composition(
    "transpose",
    summary="The axes in another order; in reverse if none is given, as in NumPy.",
    formula="y[..., j, i] = x[i, j, ...]",
    derivative="g, transposed back",
    forward=lambda k, x, *, axes=None: k.permute_dims(
        x, tuple(reversed(range(x.ndim))) if axes is None else axes
    ),
    notes="`cr.matrix_transpose` exchanges the last two axes of stacks of matrices.",
    view=True,
    cases=[case((2, 3)), case((2, 1, 3), axes=(1, 2, 0)), case(())],
)


def _moved(k: Any, x: Any, source: Any, destination: Any) -> Any:
    where = "moveaxis"
    origin = axes_of(where, source, x, name="source")
    target = axes_of(where, destination, x, name="destination")
    if len(origin) != len(target):
        raise ShapeError(
            f"{where}: source and destination must name as many axes, got {source!r} and "
            f"{destination!r}"
        )
    return k.moveaxis(x, origin, target)


moveaxis = operation(
    "moveaxis",
    summary="Axes moved to other places, the rest in their order.",
    formula="axis source[i] of x is axis destination[i] of y",
    derivative="g, moved back",
    notes="""
    `source` and `destination` are ints or tuples of ints.
    """,
    forward=lambda k, x, *, source, destination: _moved(k, x, source, destination),
    vjp=lambda k, g, source, destination: k.moveaxis(g, destination, source),
    view=True,
    methods=("moveaxis",),
    freeze={"source": frozen, "destination": frozen},
    cases=[
        case((2, 1, 3), source=0, destination=-1),
        case((2, 1, 3), source=(0, -1), destination=(1, 0)),
    ],
)

expand_dims = operation(
    "expand_dims",
    summary="New axes of length 1, at these places of the result.",
    formula="y = x",
    derivative="g, in the shape of x",
    notes="""
    `axis` is an int or a tuple of ints. Raises ShapeError if the result has no such axis.
    """,
    forward=lambda k, x, *, axis: k.expand_dims(x, _new_axes(axis, x)),
    vjp=lambda k, g, x_shape: k.reshape(g, x_shape),
    view=True,
    methods=("expand_dims",),
    cases=[
        case((2, 3), axis=1),
        case((2, 3), axis=-2),
        case((2, 3), axis=(0, -1)),
        case((), axis=0),
        case((0, 2), axis=()),
    ],
)


def _new_axes(axis: Any, x: Any) -> tuple[int, ...]:
    if axis is None:
        raise DtypeError("expand_dims: axis must be an int or a tuple of ints, got None")
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    return axes_of("expand_dims", axis, x, new=count)


def _single(axis: Any, x: Any) -> Any:
    """The axes to be left out, all of them of length 1; None for all such."""
    if axis is None:
        return None
    axes = axes_of("squeeze", axis, x)
    for each in axes:
        if x.shape[each] != 1:
            raise ShapeError(
                f"squeeze: axis {each} has length {x.shape[each]}, not 1; x has {describe(x)}; "
                f"to take one of its elements use cr.take(x, 0, axis={each})"
            )
    return axes


squeeze = operation(
    "squeeze",
    summary="Without the axes of length 1: all of them, or those named.",
    formula="y = x",
    derivative="g, in the shape of x",
    notes="""
    `axis` is an int, a tuple of ints, or None. Raises ShapeError for an axis of another length.
    """,
    forward=lambda k, x, *, axis=None: k.squeeze(x, _single(axis, x)),
    vjp=lambda k, g, x_shape: k.reshape(g, x_shape),
    view=True,
    methods=("squeeze",),
    cases=[
        case((2, 1, 1)),
        case((1, 2, 1), axis=-1),
        case((1, 2, 1), axis=(0, -1)),
        case((1, 0), axis=0),
        case(()),
    ],
)


def _broadcast(k: Any, x: Any, shape: Any) -> Any:
    try:
        return k.broadcast_to(x, shape)
    except ValueError:
        raise ShapeError(
            f"broadcast_to: x has {describe(x)}, which cannot be repeated to {shape}: counted "
            "from the last, each axis of x must have the length asked for, or 1"
        ) from None


broadcast_to = operation(
    "broadcast_to",
    summary="Repeated along axes of length 1, and new ones in front, to a shape.",
    formula="y[..., i, ...] = x[..., 0, ...]",
    derivative="g, summed over the repeated axes",
    notes="""
    The result shares the memory of `x`. Raises ShapeError if another axis would have to change.
    """,
    forward=lambda k, x, *, shape: _broadcast(k, x, _lengths("broadcast_to", shape)),
    vjp=lambda k, g: g,
    view=True,
    methods=("broadcast_to",),
    cases=[
        case((2, 1), shape=(3, 2, 2)),
        case((), shape=(2,)),
        case((2, 1), shape=(2, 0)),
        case((3,), shape=3),
    ],
)
