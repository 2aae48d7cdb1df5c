"""NumPy's array functions (those that are not ufuncs) for BranchingArrays.

Three kinds are known: functions that only move elements, or are linear, or order them, run on the
ordinary complex arrays; some run in NumPy's own Python code, whose steps come back here; and some
have a version of their own. All others are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import branching
from .analytic import joined
from .arrays import (
    BranchingArray,
    plainly,
    real_part,
    wrapped,
)
from .refusals import Unsupported, check_kept, lost

_MOVING = """
    reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis expand_dims
    squeeze broadcast_to broadcast_arrays concatenate concat stack vstack hstack dstack
    column_stack block split array_split hsplit vsplit dsplit unstack tile repeat roll flip fliplr
    flipud rot90 tril triu diag diagonal diagflat trace take take_along_axis compress extract
    choose insert delete append resize atleast_1d atleast_2d atleast_3d copy
    zeros_like ones_like empty_like full_like sum prod cumsum cumprod cumulative_sum
    cumulative_prod nansum nanprod nancumsum nancumprod mean nanmean dot inner outer tensordot kron
    cross einsum convolve diff ediff1d trapezoid meshgrid shape ndim size
    may_share_memory shares_memory linalg.inv linalg.solve linalg.det linalg.matrix_power
    linalg.multi_dot linalg.matmul linalg.outer linalg.tensordot linalg.trace linalg.diagonal
    linalg.matrix_transpose linalg.cross polyval polyder polyadd polysub polymul apply_over_axes
    tril_indices_from triu_indices_from diag_indices_from
"""
_IN_STEPS = """
    std var average clip max min amax amin nanmax nanmin ptp any all
    argmax argmin argsort sort partition argpartition nonzero flatnonzero
    argwhere searchsorted round around fix gradient piecewise
    count_nonzero sinc isposinf isneginf
"""


def _named(names: str) -> dict[Any, None]:
    found = {}
    for name in names.split():
        place: Any = np
        for part in name.split("."):
            place = getattr(place, part, None)
        if place is not None:
            found[place] = None
    return found


MOVING, IN_STEPS = _named(_MOVING), _named(_IN_STEPS)
#: function -> the same for BranchingArrays.
OWN: dict[Any, Callable[..., Any]] = {}


def apply(func: Any, args: Any, kwargs: Any) -> Any:
    """A function of NumPy, some of whose arguments are BranchingArrays.

    Raises Unsupported for one that is not known.
    """
    if not _moves((args, kwargs)) and func not in IN_STEPS and func not in OWN:
        return wrapped(func(*plainly(args), **{name: plainly(x) for name, x in kwargs.items()}))
    own = OWN.get(func)
    if own is not None:
        return own(*args, **kwargs)
    if func in MOVING:
        return _moved(func, args, kwargs)
    if func in IN_STEPS:
        return func._implementation(*args, **kwargs)
    module = getattr(func, "__module__", "numpy")
    raise Unsupported(f"complex step: {module}.{func.__name__} is not known")


def _moves(given: Any) -> bool:
    """Is there a complex BranchingArray among the arguments?"""
    if isinstance(given, BranchingArray):
        return plainly(given).dtype.kind == "c"
    if isinstance(given, dict):
        given = given.values()
    elif not isinstance(given, (list, tuple)):
        return False
    return any(map(_moves, given))


def _moved(func: Any, args: Any, kwargs: Any) -> Any:
    for each in args:
        _check_all(each, func)
    out = kwargs.get("out")
    if isinstance(out, np.ndarray) and not isinstance(out, BranchingArray):
        raise lost(f"out= of np.{func.__name__}, an ordinary array,")
    if kwargs.get("dtype") is not None:
        kind = np.dtype(kwargs["dtype"]).kind
        if kind == "f":
            kwargs = {**kwargs, "dtype": None}
        elif not func.__name__.endswith("_like"):
            raise Unsupported(f"complex step: np.{func.__name__} with dtype={kwargs['dtype']}")
    result = func(*map(plainly, args), **{name: plainly(each) for name, each in kwargs.items()})
    return out if out is not None else wrapped(result)


def _check_all(value: Any, func: Any) -> None:
    """Raises Unsupported for ordinary complex arrays among the first argument."""
    for each in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(each, (np.ndarray, np.generic)) and not isinstance(each, BranchingArray):
            check_kept(each, func.__name__)


def own(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a function as that which stands for NumPy's."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for each in functions:
            OWN[each] = function
        return function

    return enter


def _kind(x: Any) -> Any:
    return np.float64 if isinstance(x, BranchingArray) else x


@own(np.result_type)
def result_type(*given: Any) -> Any:
    """The dtype, with float64 for what stands for it."""
    return np.result_type(*map(_kind, given))


@own(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> Any:
    """Can float64 be cast?"""
    return np.can_cast(_kind(from_), _kind(to), casting)


@own(np.min_scalar_type)
def min_scalar_type(x: Any) -> Any:
    """float64."""
    return np.dtype(np.float64)


@own(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """False: it stands for real numbers."""
    return False


@own(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """True: it stands for real numbers."""
    return True


@own(np.isreal)
def isreal(x: Any) -> Any:
    """True for each: they stand for real numbers."""
    return np.ones(x.shape, bool)


@own(np.real_if_close)
def real_if_close(x: Any, tol: Any = 100) -> Any:
    """x."""
    return x


@own(np.array_equal)
def array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    """Are the numbers they stand for equal?"""
    return np.array_equal(real_part(a), real_part(b), equal_nan)


@own(np.allclose)
def allclose(a: Any, b: Any, *given: Any, **named: Any) -> bool:
    """Are the numbers they stand for close?"""
    return np.allclose(real_part(a), real_part(b), *given, **named)


@own(np.isclose)
def isclose(a: Any, b: Any, *given: Any, **named: Any) -> Any:
    """Which of the numbers they stand for are close?"""
    return np.isclose(real_part(a), real_part(b), *given, **named)


@own(np.where)
def where(condition: Any, *choices: Any) -> Any:
    """Elements of one or the other; where a condition holds, without them."""
    if isinstance(condition, BranchingArray):
        condition = condition.astype(bool)
    for each in choices:
        _check_all(each, np.where)
    return wrapped(np.where(condition, *map(plainly, choices)))


@own(np.select)
def select(conditions: Any, choices: Any, default: Any = 0) -> Any:
    """The elements of the first choice whose condition holds."""
    result = default
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        result = where(condition, choice, result)
    return result


@own(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """x, with numbers in place of NaN and infinities."""
    limit = np.finfo(np.float64).max
    result = np.where(np.isnan(x), nan, x)
    for infinity, number in ((np.inf, posinf), (-np.inf, neginf)):
        stand_in = np.copysign(limit, infinity) if number is None else number
        result = np.where(real_part(x) == infinity, stand_in, result)
    if copy:
        return result
    x[...] = result
    return x


@own(np.copyto)
def copyto(target: Any, source: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """Writes into an array."""
    given = plainly(source)
    if np.iscomplexobj(given) and not np.iscomplexobj(plainly(target)):
        raise lost("np.copyto into a real array")
    np.copyto(plainly(target), given, casting, where)


def _writing(func: Any) -> Callable[..., None]:
    """A function that writes into its first argument."""

    def function(target: Any, *given: Any, **named: Any) -> None:
        plain = [plainly(each) for each in (*given, *named.values())]
        if not np.iscomplexobj(plainly(target)) and any(
            isinstance(each, np.ndarray) and each.dtype.kind == "c" for each in plain
        ):
            raise lost(f"np.{func.__name__} into a real array")
        named = {name: plainly(each) for name, each in named.items()}
        func(plainly(target), *map(plainly, given), **named)

    return function


for _function in (np.put_along_axis, np.put, np.place, np.putmask, np.fill_diagonal):
    OWN[_function] = _writing(_function)


@own(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **named: Any) -> Any:
    """With a margin, of one of the kinds that only repeat elements, or of constants."""
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise Unsupported(f"complex step: np.pad with mode={mode!r}")
    return _moved(np.pad, (array, pad_width, mode), named)


@own(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """The sum of products; NumPy's takes the conjugate of a."""
    return np.dot(np.ravel(a), np.ravel(b))


@own(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """The sums of products at shifts; NumPy's takes the conjugate of v."""
    return wrapped(np.correlate(plainly(a), np.conj(plainly(v)), mode))


@own(np.median)
def median(a: Any, axis: Any = None, **named: Any) -> Any:
    """The quantile 1/2."""
    return quantile(a, 0.5, axis, **named)


@own(np.percentile)
def percentile(a: Any, q: Any, axis: Any = None, **named: Any) -> Any:
    """The quantile q / 100."""
    return quantile(a, np.true_divide(q, 100), axis, **named)


@own(np.quantile)
def quantile(a: Any, q: Any, axis: Any = None, *, keepdims: bool = False, **named: Any) -> Any:
    """Between elements in order, at a fraction q of the way from the first to the last."""
    if named or isinstance(q, BranchingArray):
        raise Unsupported(f"complex step: np.quantile with {[*named] or 'q that varies'}")
    x = plainly(a)
    lanes = wrapped(branching.rows(x, axis))
    lanes = np.sort(lanes, -1)
    place = np.asarray(q) * (lanes.shape[-1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, lanes.shape[-1] - 1)
    result = lanes[..., low] + (lanes[..., high] - lanes[..., low]) * (place - low)
    unknown = np.isnan(plainly(lanes)).any(-1)
    if unknown.any():
        result[unknown] = np.nan
    result = np.moveaxis(result, range(unknown.ndim, result.ndim), range(np.ndim(q)))
    if keepdims:
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        result = np.expand_dims(result, tuple(np.ndim(q) + each % x.ndim for each in axes))
    return result


# Matrices -----------------------------------------------------------------------------------


@own(np.linalg.vecdot)
def vecdot(a: Any, b: Any, *, axis: Any = -1) -> Any:
    """The sum of products along an axis."""
    return (a * b).sum(axis)


@own(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign of the determinant, and the logarithm of its size."""
    x = plainly(a)
    sign, size = np.linalg.slogdet(x.real)
    if x.dtype.kind != "c":
        return wrapped((sign, size))
    turned, _ = np.linalg.slogdet(x)
    angle = np.angle(turned * np.where(sign == 0, 1.0, sign))
    return wrapped((sign + 0j, joined(size, np.where(sign == 0, np.nan, angle))))


@own(np.linalg.cholesky)
def cholesky(a: Any, *, upper: bool = False) -> Any:
    """The triangular root, of the matrix that the lower (upper) triangle gives.

    With A = L Lᵀ + i h E it is L + i h L Φ(L⁻¹ E L⁻ᵀ), where Φ takes the lower triangle and halves
    the diagonal (Murray 2016, Differentiation of the Cholesky decomposition, eq. 8).
    """
    x = plainly(a)
    root = np.linalg.cholesky(x.real, upper=upper)
    if x.dtype.kind != "c":
        return wrapped(root)
    lower = np.swapaxes(root, -1, -2) if upper else root
    part = np.swapaxes(x.imag, -1, -2) if upper else x.imag
    part = np.tril(part) + np.swapaxes(np.tril(part, -1), -1, -2)
    inner = np.linalg.solve(lower, np.swapaxes(np.linalg.solve(lower, part), -1, -2))
    inner = np.tril(inner) * (1 - np.eye(x.shape[-1]) / 2)
    moved = lower @ inner
    return wrapped(joined(root, np.swapaxes(moved, -1, -2) if upper else moved))


@own(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """(Σ |x|^ord)^(1 / ord), the largest or smallest |x|, or how many are not 0."""
    if axis is None and x.ndim != 1:
        shape = (1,) * x.ndim if keepdims else ()
        return np.reshape(vector_norm(np.ravel(x), axis=-1, ord=ord), shape)
    size = abs(x)
    if ord == math.inf:
        return size.max(axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return size.min(axis=axis, keepdims=keepdims)
    if ord == 0:
        return wrapped((size != 0).sum(axis, keepdims=keepdims) + 0j)
    if ord == 1:
        return size.sum(axis, keepdims=keepdims)
    if ord == 2:
        return _root_of_squares(size, axis, keepdims)
    return (size**ord).sum(axis, keepdims=keepdims) ** (1.0 / ord)


def _root_of_squares(size: Any, axis: Any, keepdims: bool) -> Any:
    """√Σ x², with the norm of the direction as slope where all are 0."""
    total = np.sqrt((size * size).sum(axis, keepdims=keepdims))
    x, y = plainly(size), plainly(total)
    zero = y.real == 0
    if x.dtype.kind == "c" and zero.any():
        along = x.imag / (np.abs(x.imag).max(initial=0.0) or 1.0)
        length = np.sqrt((along * along).sum(axis, keepdims=keepdims))
        y.imag[zero] = np.asarray(length * np.abs(x.imag).max(initial=0.0))[zero]
    return total


@own(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors, and of matrices those that are made of elements."""
    x = x if isinstance(x, BranchingArray) else wrapped(np.asarray(x))
    if ord is None or (isinstance(ord, str) and ord == "fro"):
        return vector_norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis
    if not isinstance(axes, tuple) or len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2 or ord not in (1, -1, math.inf, -math.inf):
        raise Unsupported(f"complex step: np.linalg.norm of a matrix with ord={ord!r}")
    row, column = (each % x.ndim for each in axes)
    inner = row if abs(ord) == 1 else column
    outer = column if abs(ord) == 1 else row
    sums = abs(x).sum(inner, keepdims=True)
    result = (sums.max if ord > 0 else sums.min)(axis=outer, keepdims=True)
    return result if keepdims else np.squeeze(result, (row, column))
