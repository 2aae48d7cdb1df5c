"""Reductions along `axis`: an int, a tuple of ints, or None for all; `keepdims` keeps them as 1.

A right call of `sum`, `mean` or `max` pays for a check of types only: NumPy itself finds an axis
that is not there, and its error is retold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import axes_of as named_axes
from ..arguments import integer
from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from ..placing import certain, on_device


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes meant by `axis`, which has been checked, counted from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(each % ndim for each in axes) if ndim else ()


def checked_axes(name: str, x: Any, axis: Any) -> tuple[int, ...]:
    """The axes meant by `axis`, counted from 0; as in NumPy, 0 and -1 mean none if x is 0-d.

    Raises ShapeError, DtypeError for axes that x does not have, and for what is no axis.
    """
    if not x.ndim and type(axis) is int and axis in (0, -1):
        return ()
    return named_axes(name, axis, x)


def spread(k: Any, value: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduced value, repeated along the axes of `shape` over which it had been reduced."""
    if not keepdims and axis is not None:
        axes = axes_of(axis, len(shape))
        value = k.reshape(value, tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return k.broadcast_to(value, shape)


def count(shape: tuple[int, ...], axis: Any) -> int:
    """How many elements are reduced to one."""
    return math.prod([shape[each] for each in axes_of(axis, len(shape))])


def floating(x: Any) -> Any:
    """Integers and booleans as float64; everything else as it is."""
    return x * 1.0 if x.dtype.kind in "biu" else x


def reduction(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """A forward function: `compute(k, x, axis, keepdims)`, or an error that says what is wrong."""

    def forward(k: Any, x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
        if type(keepdims) is not bool or not (axis is None or type(axis) is int):
            axis, keepdims = _as_numpy_takes_them(name, x, axis, keepdims)
        if not x.ndim and axis in (0, -1):
            axis = None  # which NumPy takes, and CuPy does not
        try:
            return compute(k, x, axis, keepdims)
        except (ValueError, TypeError, IndexError) as error:
            raise _told(error, name, x, axis) from error

    return forward


def _as_numpy_takes_them(name: str, x: Any, axis: Any, keepdims: Any) -> tuple[Any, bool]:
    """`axis` and `keepdims`, checked: NumPy would take a Tensor as axis, and keepdims=2."""
    if not isinstance(keepdims, (bool, np.bool_)):
        raise DtypeError(
            f"{name}: keepdims must be True or False, got {describe(keepdims)}; several axes are "
            f"given as one tuple, axis=(0, 1); x has {describe(x)}"
        )
    if isinstance(axis, (tuple, list)):
        axis = named_axes(name, axis, x)
    elif axis is not None:
        axis = integer(name, "axis", axis)
    return axis, bool(keepdims)


def _told(error: Exception, name: str, x: Any, axis: Any) -> Exception:
    """The error to raise in place of NumPy's; one of our own as it is."""
    if isinstance(error, (ShapeError, DtypeError)):
        return error
    if isinstance(axis, tuple) and isinstance(error, TypeError):
        return DtypeError(
            f"{name}: axis must be one integer, or None for all elements, got {axis}; x has "
            f"{describe(x)}"
        )
    checked_axes(name, x, axis)
    return _nothing(name, x, axis) if x.size == 0 else error


def _nothing(name: str, x: Any, axis: Any) -> ShapeError:
    """The error of a reduction that has no value because it has no elements."""
    return ShapeError(
        f"{name}: there is no {name} of no elements: x has {describe(x)}, axis={axis}; reduce "
        "along another axis, or leave empty arrays out"
    )


# Sums and means -----------------------------------------------------------------------------


_sums = reduction("sum", lambda k, x, axis, keepdims: k.sum(x, axis, keepdims))


def _sum(k: Any, x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    if axis is None and keepdims is False:
        return k.sum(x)  # which nothing can be wrong with
    return _sums(k, x, axis=axis, keepdims=keepdims)


sum = operation(
    "sum",
    summary="The sum of the elements along axes.",
    formula="y = Σ_i x[i]",
    derivative="∂y/∂x[i] = 1",
    forward=_sum,
    vjp=lambda k, g, x_shape, axis, keepdims: (
        k.broadcast_to(g, x_shape) if axis is None else spread(k, g, x_shape, axis, keepdims)
    ),
    notes="""
    Booleans are counted, and small integers summed, in 64 bits. The sum of nothing is 0.

    Raises ShapeError for an axis that x does not have or that is named twice, and DtypeError for
    one that is no integer.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x.sum(axis=1).tolist(), x.sum(axis=(0, 1), keepdims=True).tolist()
    ([3.0, 7.0], [[10.0]])
    """,
    methods=("sum",),
    cases=[
        case((2, 3), axis=1),
        case((2, 3), axis=None),
        case((2, 3), axis=(0, -1), keepdims=True),
        case((2, 3), axis=[1]),
        case((2, 3), axis=()),
        case((0, 3), axis=0),
        case(()),
        case((), axis=-1),
    ],
)


def _mean(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    total = k.sum(floating(x), axis, keepdims)
    n = x.size if axis is None else count(x.shape, axis)
    if not n and total.size:
        raise _nothing("mean", x, axis)
    return total / n if n else total


mean = operation(
    "mean",
    summary="The mean of the elements along axes.",
    formula="y = Σ_i x[i] / n",
    derivative="∂y/∂x[i] = 1 / n",
    forward=reduction("mean", _mean),
    vjp=lambda k, g, x_shape, axis, keepdims: spread(
        k, g / (count(x_shape, axis) or 1), x_shape, axis, keepdims
    ),
    notes="""
    The mean of integers and booleans is float64. Raises ShapeError where there is nothing to
    average (NumPy warns and gives NaN), and errors for `axis` as `sum` does.
    """,
    methods=("mean",),
    cases=[
        case((2, 3), axis=0),
        case((2, 3), axis=None, keepdims=True),
        case((2, 1, 3), axis=(0, -1)),
        case((), axis=0),
        case((0, 0), axis=0),
    ],
)


# Extremes -----------------------------------------------------------------------------------


def share(k: Any, g: Any, y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """The gradient of an extreme value, shared equally among the elements that equal it."""
    extreme = spread(k, y, x.shape, axis, keepdims)
    # Where the extreme is NaN, the NaN elements are those that equal it.
    hit = k.where(extreme == extreme, x == extreme, x != x).astype(x.dtype)
    hits = k.sum(hit, axis=axes_of(axis, x.ndim), keepdims=True)
    return spread(k, g, x.shape, axis, keepdims) * (hit / hits)


def _max(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return k.max(x, axis=axis, keepdims=keepdims)


def _min(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return x.min(axis=axis, keepdims=keepdims)


_EXTREME = """
Equal {0} elements share the gradient equally (PyTorch's `{1}`), so that permuted elements have
permuted gradients. NaN counts as the {0}, and gets the gradient. Raises ShapeError where there
are no elements, and errors for `axis` as `sum` does.
"""

max = operation(
    "max",
    summary="The largest element along axes; equal largest ones share the gradient.",
    formula="y = max_i x[i]",
    derivative="∂y/∂x[i] = [x[i] = y] / (number of elements equal to y)",
    forward=reduction("max", _max),
    vjp=share,
    notes=_EXTREME.format("largest", "amax"),
    methods=("max",),
    cases=[
        case((2, 3), axis=1),
        case((2, 3)),
        case((4,), keepdims=True),
        case((2, 2, 2), axis=(0, -1)),
        case((), axis=-1),
    ],
)

min = operation(
    "min",
    summary="The smallest element along axes; equal smallest ones share the gradient.",
    formula="y = min_i x[i]",
    derivative="∂y/∂x[i] = [x[i] = y] / (number of elements equal to y)",
    forward=reduction("min", _min),
    vjp=share,
    notes=_EXTREME.format("smallest", "amin"),
    methods=("min",),
    cases=[case((3, 2), axis=0, keepdims=True), case((2, 3)), case((2, 2), axis=())],
)


def _argmax(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return k.argmax(x, axis=axis, keepdims=keepdims)


def _argmin(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return k.argmin(x, axis=axis, keepdims=keepdims)


_INDEX = """
The index is an int64; without `axis` it counts the elements of x, flattened. NaN counts as the
{0}. Raises ShapeError where there are no elements, and DtypeError for several axes.
"""

argmax = operation(
    "argmax",
    summary="The index of the largest element (the first of equals) along an axis.",
    forward=reduction("argmax", _argmax),
    notes=_INDEX.format("largest"),
    methods=("argmax",),
)

argmin = operation(
    "argmin",
    summary="The index of the smallest element (the first of equals) along an axis.",
    forward=reduction("argmin", _argmin),
    notes=_INDEX.format("smallest"),
    methods=("argmin",),
)

# Questions ----------------------------------------------------------------------------------


def _all(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return x.all(axis=axis, keepdims=keepdims)


def _any(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return x.any(axis=axis, keepdims=keepdims)


def _count_nonzero(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    if on_device(x):  # CuPy's has no keepdims
        return k.sum(x != 0, axis=axis, keepdims=keepdims)
    return k.count_nonzero(x, axis, keepdims=keepdims)


_all_of = operation(
    "all",
    summary="Are all elements along axes true (not 0)? NaN is; so are all of none.",
    forward=reduction("all", _all),
    methods=("all",),
)

_any_of = operation(
    "any",
    summary="Is any element along axes true (not 0)? NaN is.",
    forward=reduction("any", _any),
    methods=("any",),
)

count_nonzero = operation(
    "count_nonzero",
    summary="How many elements along axes are not 0: for booleans, how many are true.",
    forward=reduction("count_nonzero", _count_nonzero),
    example="""
    >>> import chainrule as cr
    >>> (cr.tensor([-1.0, 2.0, 3.0]) > 0).count_nonzero().item()
    2
    """,
    methods=("count_nonzero",),
)

# Products -----------------------------------------------------------------------------------


def merged(k: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """x with these axes moved to the end and made one."""
    kept = [i for i in range(x.ndim) if i not in axes]
    moved = k.permute_dims(x, (*kept, *axes))
    return k.reshape(moved, (*[x.shape[i] for i in kept], count(x.shape, axes)))


def _parted(k: Any, x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """What `merged` makes of an array of `shape`, taken back."""
    order = (*[i for i in range(len(shape)) if i not in axes], *axes)
    x = k.reshape(x, tuple(shape[i] for i in order))
    return k.permute_dims(x, tuple(order.index(i) for i in range(len(shape))))


def _prod_vjp(k: Any, g: Any, x: Any, axis: Any) -> Any:
    """g times the product of the other elements: of those before, and of those after."""
    axes = axes_of(axis, x.ndim)
    row = merged(k, x, axes)
    before = k.cumulative_prod(row, axis=-1, include_initial=True)[..., :-1]
    after = k.cumulative_prod(row[..., ::-1], axis=-1, include_initial=True)[..., :-1]
    g = k.reshape(g, (*row.shape[:-1], 1))
    return _parted(k, g * (before * after[..., ::-1]), axes, x.shape)


def _prod(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return x.prod(axis=axis, keepdims=keepdims)


prod = operation(
    "prod",
    summary="The product of the elements along axes.",
    formula="y = Π_i x[i]",
    derivative="∂y/∂x[i] = Π_(j ≠ i) x[j]",
    forward=reduction("prod", _prod),
    vjp=_prod_vjp,
    notes="""
    Nothing is divided by an element: those that are 0 have right gradients of every order. The
    product of nothing is 1. Errors for `axis` as `sum` has.
    """,
    methods=("prod",),
    cases=[
        case((2, 3), axis=1),
        case((2, 2)),
        case((2, 1, 2), axis=(-1, 0), keepdims=True),
        case((2,), axis=()),
        case((2, 0), axis=1),
        case((), axis=0),
        case((1,)),
    ],
)

# Exponentials -------------------------------------------------------------------------------


def _logsumexp(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    axes, x = checked_axes("logsumexp", x, axis), floating(x)
    if not count(x.shape, axes):
        return k.sum(x, axes, keepdims) - math.inf
    top = x.max(axis=axes, keepdims=True)
    infinite = abs(top) == math.inf
    shift, hit = k.where(infinite, 0.0, top), x == top
    # The largest elements count 1 each: log1p of the others, relative to them, loses no digits.
    rest = k.where(hit, 0.0, k.exp(k.where(hit | infinite, shift, x) - shift))
    hits = k.maximum(k.sum(hit.astype(x.dtype), axes, True), 1)
    y = k.log1p(k.sum(rest, axes, True) / hits) + k.log(hits) + top
    return y if keepdims else k.sum(y, axes, False)


def _logsumexp_vjp(k: Any, g: Any, y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    g, y = (spread(k, each, x.shape, axis, keepdims) for each in (g, y))
    if certain(k.all(abs(y) < math.inf)):
        return g * k.exp(x - y)
    infinite = y == math.inf
    hit = (x == math.inf).astype(x.dtype)
    hits = k.sum(hit, axis=axes_of(axis, x.ndim), keepdims=True)
    share = k.exp(k.where(infinite, 0.0, x) - k.where(abs(y) == math.inf, 0.0, y))
    return g * k.where(infinite, hit / k.maximum(hits, 1), share)


logsumexp = operation(
    "logsumexp",
    summary="The logarithm of the sum of the exponentials along axes; cannot overflow.",
    formula="y = log Σ_i exp(x[i])",
    derivative="∂y/∂x[i] = exp(x[i] - y)",
    forward=reduction("logsumexp", _logsumexp),
    vjp=_logsumexp_vjp,
    notes="""
    Of elements that are all -inf, or of none, it is -inf, with gradient 0. With elements that are
    inf it is inf, and they share the gradient equally: the limit for one of them (PyTorch gives
    NaN). Errors for `axis` as `sum` has.
    """,
    example="""
    >>> import chainrule as cr
    >>> round(cr.logsumexp(cr.tensor([1000.0, 1000.0])).item(), 4)
    1000.6931
    """,
    methods=("logsumexp",),
    cases=[
        case((2, 3), axis=1),
        case((2, 2), keepdims=True),
        case((2, 1, 2), axis=(0, -1)),
        case((2, 0), axis=0),
        case((), axis=0, symbolic=False),
        case((1,)),
    ],
)


_softmax = reduction(
    "softmax", lambda k, x, axis, _: k.softmax(floating(x), axis) if x.size else x * 1.0
)
_log_softmax = reduction(
    "log_softmax", lambda k, x, axis, _: k.log_softmax(floating(x), axis) if x.size else x * 1.0
)


softmax = operation(
    "softmax",
    summary="Positive numbers along an axis that sum to 1; cannot overflow.",
    formula="y[i] = exp(x[i]) / Σ_j exp(x[j])",
    derivative="∂y[i]/∂x[j] = y[i] ([i = j] - y[j])",
    forward=lambda k, x, *, axis=-1: _softmax(k, x, axis=axis),
    vjp=lambda k, g, y, axis: k.softmax_backward(g, y, axes_of(axis, y.ndim)),
    notes="""
    An element that is -inf gets 0, with gradient 0. Elements that are all -inf, and those beside
    one that is inf, have no softmax: the result is NaN. Errors for `axis` as `sum` has.
    """,
    methods=("softmax",),
    cases=[case((2, 3)), case((3, 2), axis=0), case((1,)), case((2, 0)), case(())],
)

log_softmax = operation(
    "log_softmax",
    summary="The logarithm of softmax along an axis, finite for finite numbers.",
    formula="y[i] = x[i] - log Σ_j exp(x[j])",
    derivative="∂y[i]/∂x[j] = [i = j] - exp(y[j])",
    forward=lambda k, x, *, axis=-1: _log_softmax(k, x, axis=axis),
    vjp=lambda k, g, y, axis: g - k.exp(y) * k.sum(g, axis=axes_of(axis, y.ndim), keepdims=True),
    notes="An element that is -inf stays so. Errors for `axis` as `sum` has.",
    methods=("log_softmax",),
    cases=[case((2, 3)), case((3, 2), axis=0), case((2, 2, 2), axis=1), case((2, 0))],
)
