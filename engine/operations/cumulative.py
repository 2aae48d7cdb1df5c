"""Running sums and products along an axis, and the recurrence through which products go back."""

from __future__ import annotations

from typing import Any

from ..arguments import axis_of, boolean
from ..cases import case
from ..definitions import operation
from ..errors import ShapeError, describe


def _running_axis(name: str, x: Any, axis: Any) -> int:
    """The axis along which to go; None means the only one."""
    if axis is None and x.ndim != 1:
        raise ShapeError(
            f"{name}: give an axis: x has {describe(x)}, and only one of a single axis does "
            "without; to run through all elements write x.flatten() first"
        )
    return axis_of(name, 0 if axis is None else axis, x)


def _along(axis: int, ndim: int, start: int | None, stop: int | None, step: int = 1) -> Any:
    """The index of a slice along one axis."""
    return (slice(None),) * (axis % ndim) + (slice(start, stop, step),)


def _backwards(axis: int, ndim: int) -> Any:
    return _along(axis, ndim, None, None, -1)


def _cumulative_sum_vjp(k: Any, g: Any, axis: int | None, include_initial: bool) -> Any:
    axis = axis or 0
    back = _backwards(axis, g.ndim)
    if include_initial:
        g = g[_along(axis, g.ndim, 1, None)]
    return k.cumulative_sum(g[back], axis=axis)[back]


_AXIS = """
`axis` may be left out if x has one axis. With `include_initial` the result begins with {0}, and
is longer by one. Booleans and small integers are {1} in 64 bits. Raises ShapeError for an axis
that x does not have, or that is missing.
"""

cumulative_sum = operation(
    "cumulative_sum",
    summary="The sum of the elements up to each one, along an axis.",
    formula="y[i] = Σ_(j ≤ i) x[j]",
    derivative="∂y[i]/∂x[j] = [j ≤ i]",
    forward=lambda k, x, *, axis=None, include_initial=False: k.cumulative_sum(
        x,
        _running_axis("cumulative_sum", x, axis),
        boolean("cumulative_sum", "include_initial", include_initial),
    ),
    vjp=_cumulative_sum_vjp,
    notes=_AXIS.format(0, "summed"),
    example="""
    >>> import chainrule as cr
    >>> cr.cumulative_sum(cr.tensor([1.0, 2.0, 3.0]), include_initial=True).tolist()
    [0.0, 1.0, 3.0, 6.0]
    """,
    methods=("cumulative_sum", "cumsum"),
    cases=[
        case((3,)),
        case((2, 3), axis=0),
        case((2, 2, 2), axis=-2, include_initial=True),
        case((0,), include_initial=True),
        case((2, 0), axis=0),
        case((1,)),
    ],
)


def _cumulative_prod_vjp(k: Any, g: Any, x: Any, axis: int | None, include_initial: bool) -> Any:
    """For x[i]: the product of what is before it, times Σ_(j ≥ i) g[j] Π_(i < m ≤ j) x[m].

    The sums obey s[i] = g[i] + x[i + 1] s[i + 1]: no division, so zeros need no care.
    """
    axis = axis or 0
    after, back = _along(axis, x.ndim, 1, None), _backwards(axis, x.ndim)
    if include_initial:
        g = g[after]
    before = k.cumulative_prod(x, axis=axis, include_initial=True)[_along(axis, x.ndim, None, -1)]
    sums = k.linear_recurrence(x[after][back], g[back], axis=axis)
    return before * sums[back]


cumulative_prod = operation(
    "cumulative_prod",
    summary="The product of the elements up to each one, along an axis.",
    formula="y[i] = Π_(j ≤ i) x[j]",
    derivative="∂y[i]/∂x[j] = [j ≤ i] Π_(m ≤ i, m ≠ j) x[m]",
    forward=lambda k, x, *, axis=None, include_initial=False: k.cumulative_prod(
        x,
        _running_axis("cumulative_prod", x, axis),
        boolean("cumulative_prod", "include_initial", include_initial),
    ),
    vjp=_cumulative_prod_vjp,
    notes=_AXIS.format(1, "multiplied")
    + """
    Nothing is divided by an element: those that are 0 have right gradients of every order. The
    backward pass is a loop in Python along the axis.
    """,
    methods=("cumulative_prod", "cumprod"),
    cases=[
        case((3,)),
        case((2, 3), axis=0),
        case((2, 1, 2), axis=-1, include_initial=True),
        case((0,), include_initial=True),
        case((0,)),
        case((1,)),
    ],
)


def _linear_recurrence(k: Any, a: Any, b: Any, axis: Any) -> Any:
    axis = axis_of("linear_recurrence", axis, b)
    wanted = tuple(n - (i == axis and n > 0) for i, n in enumerate(b.shape))
    if a.shape != wanted:
        raise ShapeError(
            f"linear_recurrence: a must have shape {wanted}, one step less along axis={axis} than "
            f"b with {describe(b)}; a has {describe(a)}"
        )
    return k.linear_recurrence(a, b, axis)


def _linear_recurrence_vjp(k: Any, g: Any, needed: Any, a: Any, y: Any, axis: int) -> Any:
    """The gradient of b obeys the recurrence backwards: s[i] = g[i] + a[i] s[i + 1]."""
    back = _backwards(axis, y.ndim)
    sums = k.linear_recurrence(a[back], g[back], axis=axis)[back]
    if not needed[0]:
        return None, sums
    return sums[_along(axis, y.ndim, 1, None)] * y[_along(axis, y.ndim, None, -1)], sums


linear_recurrence = operation(
    "linear_recurrence",
    summary="Numbers of which each is a multiple of the one before it, and something added.",
    formula="y[0] = b[0], y[i + 1] = a[i] y[i] + b[i + 1]",
    derivative={
        "a": "s[i + 1] y[i], with s as for b",
        "b": "s[i], with s[n] = g[n] at the end, s[i] = g[i] + a[i] s[i + 1]",
    },
    forward=lambda k, a, b, *, axis=-1: _linear_recurrence(k, a, b, axis),
    joint=_linear_recurrence_vjp,
    notes="""
    `b` has shape (..., n, ...), `a` (..., n - 1, ...), with n the length of `axis`. Moving
    averages, discounted returns and linear recurrent layers are such numbers; the gradient of
    `cumulative_prod` is computed by it. It is a loop in Python along the axis.

    Raises ShapeError if the shapes do not fit.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.linear_recurrence(cr.tensor([0.5, 0.5]), cr.tensor([8.0, 0.0, 1.0])).tolist()
    [8.0, 4.0, 3.0]
    """,
    cases=[
        case((2,), (3,)),
        case((2, 2), (3, 2), axis=0),
        case((0,), (1,)),
        case((0,), (0,)),
        case((2, 0), (2, 1)),
    ],
)
