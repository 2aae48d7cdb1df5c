"""Operations that arrange elements: shape, order, joining, cutting and repeating."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import axes_of, axis_of, frozen, integer, shape_of
from ..cases import case
from ..definitions import composition, operation
from ..errors import DtypeError, ShapeError, describe
from ..indexing import raw_index
from ..tensor import Tensor


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
    return k.repeat(x, _counts(repeats, x.shape[axis]), axis)


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

# Moving -------------------------------------------------------------------------------------


def _shifts(shift: Any, axis: Any, x: Any) -> tuple[Any, Any]:
    """Checked shifts and axes, as many of one as of the other unless one is single."""
    where, shifts = "roll", shift if isinstance(shift, tuple) else (shift,)
    shifts = tuple(integer(where, "shift", each) for each in shifts)
    if axis is None:
        return sum(shifts), None
    axes = axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(axis_of(where, each, x) for each in axes)
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ShapeError(
            f"{where}: give one shift for each axis, got shift={shift!r}, axis={axis!r}"
        )
    return shifts, axes


def _rolled(k: Any, x: Any, shift: Any, axis: Any) -> Any:
    shifts, axes = _shifts(shift, axis, x)
    return k.roll(x, shifts, axes) if shifts != () != axes else k.roll(x, 0, None)


roll = operation(
    "roll",
    summary="Elements moved along axes; those that leave at one end come in at the other.",
    formula="y[i] = x[(i - shift) mod n]",
    derivative="g, moved back",
    notes="""
    `shift` and `axis` are ints or tuples of ints; with axis None x is rolled as if flat.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.roll([1.0, 2.0, 3.0], 1).tolist()
    [3.0, 1.0, 2.0]
    """,
    forward=lambda k, x, *, shift, axis=None: _rolled(k, x, shift, axis),
    vjp=lambda k, g, shift, axis: _rolled(
        k, g, tuple(-each for each in shift) if isinstance(shift, tuple) else -shift, axis
    ),
    methods=("roll",),
    freeze={"shift": frozen, "axis": frozen},
    cases=[
        case((2, 3), shift=1),
        case((2, 3), shift=-4, axis=-1),
        case((2, 3), shift=(1, 2), axis=(0, 1)),
        case((2, 3), shift=1, axis=(0, 1)),
        case((3,), shift=(1, 1), axis=(0, 0)),
        case((0, 2), shift=1, axis=0),
        case((2,), shift=1, axis=()),
    ],
)

flip = operation(
    "flip",
    summary="The elements in reverse order along axes: all of them, or those named.",
    formula="y[i] = x[n - 1 - i]",
    derivative="g, reversed",
    forward=lambda k, x, *, axis=None: k.flip(x, axes_of("flip", axis, x)),
    vjp=lambda k, g, axis: k.flip(g, axis),
    view=True,
    methods=("flip",),
    freeze={"axis": frozen},
    cases=[
        case((2, 3)),
        case((2, 3), axis=-1),
        case((2, 1, 2), axis=(0, -1)),
        case((2, 0), axis=0),
        case(()),
    ],
)

# Margins and triangles ----------------------------------------------------------------------

_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def _widths(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    """How many elements come before and after each axis, in any of NumPy's forms."""
    try:
        widths = np.asarray("tensor" if isinstance(pad_width, Tensor) else pad_width)
        if widths.size == 0:
            widths = np.zeros((0, 2), int)
        if widths.dtype.kind not in "iu":
            raise DtypeError(
                f"pad: pad_width must be an integer, or tuples of them, got {describe(pad_width)}"
            )
        pairs = np.broadcast_to(widths, (ndim, 2)).tolist()
    except ValueError as error:
        raise ShapeError(
            f"pad: pad_width must be an int, a pair (before, after), or a pair for each of the "
            f"{ndim} axes of x, got {pad_width!r}"
        ) from error
    if any(each < 0 for pair in pairs for each in pair):
        raise ShapeError(f"pad: pad_width must not be negative, got {pad_width!r}; cut with x[1:]")
    return tuple((before, after) for before, after in pairs)


def _sources(
    widths: tuple[tuple[int, int], ...], mode: str, shape: tuple[int, ...]
) -> tuple[Any, ...]:
    """The index of the elements of x of which the padded array is made."""
    kept = [np.arange(n) for n in shape]
    return np.ix_(
        *(np.pad(each, pair, mode=mode) for each, pair in zip(kept, widths, strict=True))  # type: ignore[call-overload]
    )


def _padded(k: Any, x: Any, pad_width: Any, mode: Any, constant_values: Any) -> Any:
    widths = _widths(pad_width, x.ndim)
    if not x.ndim:
        return x.copy()
    if mode not in _MODES:
        raise ShapeError(f"pad: mode must be one of {', '.join(_MODES)}, got {describe(mode)}")
    if mode == "constant":
        tensor = isinstance(constant_values, Tensor)
        if tensor or np.asarray(constant_values).dtype.kind not in "biuf":
            raise DtypeError(
                f"pad: constant_values must be numbers, got {describe(constant_values)}; to pad "
                "with tensors, which have gradients, join them with cr.concat"
            )
        return k.pad(x, widths, mode="constant", constant_values=constant_values)
    for axis, (length, pair) in enumerate(zip(x.shape, widths, strict=True)):
        if not length and any(pair):
            raise ShapeError(
                f"pad: axis {axis} has no elements that mode {mode!r} could repeat; x has "
                f"{describe(x)}; use mode 'constant'"
            )
    return x[_sources(widths, mode, x.shape)]


def _unpadded(k: Any, g: Any, pad_width: Any, mode: str, shape: tuple[int, ...]) -> Any:
    if not shape:
        return g
    widths = _widths(pad_width, len(shape))
    if mode == "constant":
        return g[tuple(slice(a, a + n) for n, (a, _) in zip(shape, widths, strict=True))]
    return k.scatter_index(g, _sources(widths, mode, shape), shape)


pad = operation(
    "pad",
    summary="x with margins: of a constant, or of its own elements.",
    formula="y[before + i] = x[i]",
    derivative="g at the place of x, and that of the margins where their elements come from",
    notes="""
    `pad_width` is an int, a pair (before, after), or a pair for each axis. `mode` says what the
    margins are made of: "constant" (`constant_values`, in the forms of pad_width), "edge" (the
    last element), "reflect" (mirrored, without the edge), "symmetric" (mirrored, with the edge) or
    "wrap" (the other end). An element that is met several times adds the gradients up.

    Raises ShapeError for widths that do not fit or are negative, and for an unknown mode.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.pad([1.0, 2.0, 3.0], (1, 2), "reflect").tolist()
    [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """,
    forward=lambda k, x, *, pad_width, mode="constant", constant_values=0: _padded(
        k, x, pad_width, mode, constant_values
    ),
    vjp=lambda k, g, x_shape, pad_width, mode: _unpadded(k, g, pad_width, mode, x_shape),
    methods=("pad",),
    freeze={"pad_width": frozen},
    cases=[
        case((2, 2), pad_width=1),
        case((2, 1), pad_width=((1, 0), (0, 2)), constant_values=0.5),
        case((2,), pad_width=(1, 2), constant_values=(0.25, -1.0)),
        case((0, 1), pad_width=1),
        case((), pad_width=()),
        case((2, 2), pad_width=((1, 2), (0, 1)), mode="edge"),
        case((3,), pad_width=(5, 4), mode="reflect"),
        case((1, 2), pad_width=2, mode="reflect"),
        case((2, 2), pad_width=((1, 3), (2, 0)), mode="symmetric"),
        case((3,), pad_width=(4, 7), mode="wrap"),
    ],
)


def _triangular(where: str, x: Any, k: Any) -> int:
    if x.ndim < 2:
        raise ShapeError(
            f"{where}: x must be a matrix, or a stack of them, got {describe(x)}; for a diagonal "
            "matrix multiply with cr.eye"
        )
    return integer(where, "k", k)


# The diagonal is called k, as in NumPy, and the namespace that computes therefore xp.

tril = operation(
    "tril",
    summary="The lower triangle of each matrix, 0 above diagonal k; the main diagonal is 0.",
    formula="y[..., i, j] = x[..., i, j] [j <= i + k]",
    derivative="g[..., i, j] [j <= i + k]",
    example="""
    >>> import chainrule as cr
    >>> cr.tril([[1.0, 2.0], [3.0, 4.0]]).tolist()
    [[1.0, 0.0], [3.0, 4.0]]
    """,
    forward=lambda xp, x, *, k=0: xp.tril(x, _triangular("tril", x, k)),
    vjp=lambda xp, g, k: xp.tril(g, k),
    methods=("tril",),
    cases=[case((2, 3)), case((2, 2, 2), k=-1), case((3, 2), k=1), case((0, 2), k=0)],
)

triu = operation(
    "triu",
    summary="The upper triangle of each matrix, 0 below diagonal k; the main diagonal is 0.",
    formula="y[..., i, j] = x[..., i, j] [j >= i + k]",
    derivative="g[..., i, j] [j >= i + k]",
    example="""
    >>> import chainrule as cr
    >>> cr.triu([[1.0, 2.0], [3.0, 4.0]], 1).tolist()
    [[0.0, 2.0], [0.0, 0.0]]
    """,
    forward=lambda xp, x, *, k=0: xp.triu(x, _triangular("triu", x, k)),
    vjp=lambda xp, g, k: xp.triu(g, k),
    methods=("triu",),
    cases=[case((2, 3)), case((2, 2, 2), k=-1), case((3, 2), k=1), case((0, 2), k=0)],
)
