"""Functions of NumPy that have a version of their own for BranchingArrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import branching
from .arrays import BranchingArray, plainly, real_part, wrapped
from .refusals import Unsupported, check_kept, lost

#: function -> the same for BranchingArrays.
OWN: dict[Any, Callable[..., Any]] = {}


def moved(func: Any, args: Any, kwargs: Any) -> Any:
    """The function of ordinary complex arrays: it moves elements, is linear, or orders them."""
    for each in args:
        check_all(each, func)
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


def check_all(value: Any, func: Any) -> None:
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
        check_all(each, np.where)
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
    return moved(np.pad, (array, pad_width, mode), named)


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
        axes = tuple(np.ndim(q) + each for each in branching.reduced(x.ndim, axis))
        result = np.expand_dims(result, axes)
    return result
