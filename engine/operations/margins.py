"""Operations that move elements about, put margins around them, or keep a triangle."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import axes_of, axis_of, frozen, integer
from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from ..tensor import Tensor


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
