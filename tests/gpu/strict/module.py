"""The namespace of the stand-in: what `cupy` is to a program."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from .arrays import SCALARS, StrictArray, operand, traffic, uploaded, wrapped
from .names import NAMES, bound
from .ufuncs import StrictUfunc, _loop

#: Functions that make arrays of no array, and those that answer questions, as Python objects.
_MAKING = {
    *("zeros", "ones", "empty", "full", "arange", "eye", "identity", "linspace", "tri", "logspace"),
    *("indices", "tril_indices", "triu_indices", "hamming", "kaiser"),
}
_TELLING = {
    *("size", "ndim", "shape", "can_cast", "result_type", "promote_types", "min_scalar_type"),
    *("may_share_memory", "shares_memory", "isscalar", "iscomplexobj", "isrealobj"),
    *("common_type", "get_printoptions", "base_repr", "binary_repr"),
}
#: Functions of several arrays in one list or tuple.
_OF_LISTS = {
    *("concatenate", "concat", "stack", "vstack", "hstack", "dstack", "column_stack", "block"),
}


def _raw(value: Any) -> Any:
    """An argument for NumPy's function: the stand-in's arrays unwrapped, NumPy's own refused."""
    if type(value) is StrictArray:
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) in (list, tuple):
        return type(value)([_raw(each) for each in value])
    return value


def _is_array(value: Any) -> bool:
    return type(value) is StrictArray


def _function(name: str) -> Callable[..., Any]:
    numpy: Any = np
    for each in name.split("."):
        numpy = getattr(numpy, each)

    def function(*args: Any, **kwargs: Any) -> Any:
        arguments = bound("functions", name, args, kwargs)
        first = arguments.args[0] if arguments.args else None
        if name in _OF_LISTS:
            if not isinstance(first, (list, tuple)) or not all(map(_is_array, first)):
                raise TypeError(f"cupy.{name}: only cupy arrays can be concatenated")
        elif name not in _MAKING | _TELLING and not (name == "einsum" or _is_array(first)):
            raise TypeError(f"cupy.{name}: expected cupy.ndarray, got {type(first)}")
        with np.errstate(all="ignore"):
            result = numpy(*map(_raw, args), **{key: _raw(each) for key, each in kwargs.items()})
        if name in _TELLING:
            return result
        if isinstance(result, tuple):
            return tuple([wrapped(np.asarray(each)) for each in result])
        if isinstance(result, list):
            return [wrapped(np.asarray(each)) for each in result]
        return wrapped(np.asarray(result))

    function.__name__ = name
    return function


def _method(name: str) -> Callable[..., Any]:
    """A function that calls the method of its name: it takes arrays of the stand-in only."""

    def function(*args: Any, **kwargs: Any) -> Any:
        given = dict(bound("functions", name, args, kwargs).arguments)
        array = given.pop(next(iter(given)))
        if type(array) is not StrictArray:
            raise TypeError(f"cupy.{name}: expected cupy.ndarray, got {type(array)}")
        if "newshape" in given:
            given.pop("copy", None)
            return array.reshape(given.pop("newshape"), **given)
        if name in ("sort",):
            array = array.copy()
            array.sort(**given)
            return array
        return getattr(array, name)(**given)

    return function


# What CuPy does in its own way ----------------------------------------------------------------


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> StrictArray:
    """An array of an array, or of numbers, which are copied from the host."""
    if subok:
        raise NotImplementedError
    if type(obj) is StrictArray:
        with np.errstate(all="ignore"):
            return wrapped(np.array(obj._a, dtype, copy=copy or None, order=order, ndmin=ndmin))
    return wrapped(np.array(uploaded(obj), dtype, order=order, ndmin=ndmin))


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> StrictArray:
    """The same, copied only if it must be."""
    if type(a) is StrictArray and copy is not True and (dtype is None or a.dtype == dtype):
        return a
    return array(a, dtype, copy, order)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, **_: Any) -> Any:
    """A copy on the host."""
    return a.get() if type(a) is StrictArray else np.asarray(a)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> StrictArray:
    """An array of one number; the number may be on the GPU."""
    value = operand(fill_value) if not isinstance(fill_value, np.ndarray) else fill_value
    kind = np.asarray(value).dtype if dtype is None else dtype
    return wrapped(np.full(shape, value, kind))


def empty(shape: Any, dtype: Any = float, order: str = "C") -> StrictArray:
    """What was there before: here a number that shows."""
    kind = np.dtype(dtype)
    return wrapped(np.full(shape, np.nan if kind.kind == "f" else 77, kind))


def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> StrictArray:
    """The same, like another array."""
    return empty(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """x or y, by a condition, which must be an array."""
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return condition.nonzero()
    holds = condition.astype("?", copy=False)  # an AttributeError for a Python bool, as in CuPy
    inputs = [operand(x), operand(y)]
    before, _ = _loop("maximum", inputs)  # the same loops
    cast = [np.asarray(each).astype(char) for each, char in zip(inputs, before, strict=True)]
    return wrapped(np.asarray(np.where(holds._a, *cast)))


def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **limits: Any) -> Any:
    """As the method."""
    bound("functions", "clip", (a, a_min, a_max), {})
    if limits or type(a) is not StrictArray:
        raise TypeError(f"cupy.clip: {limits} for {type(a)}")
    return a.clip(a_min, a_max, out)


def broadcast_to(array: Any, shape: Any) -> StrictArray:
    """A view that may be written to, unlike NumPy's."""
    repeated = np.broadcast_to(operand(array), shape)
    return wrapped(np.lib.stride_tricks.as_strided(array._a, repeated.shape, repeated.strides))


def take_along_axis(a: Any, indices: Any, axis: Any) -> StrictArray:
    """By an index of arrays, which wraps."""
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if axis is None:
        a, axis = a.ravel(), 0
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    return a[_along(a, indices, axis)]


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """By an index of arrays, which wraps."""
    arr[_along(arr, indices, axis)] = values


def _along(a: StrictArray, indices: StrictArray, axis: int) -> tuple[Any, ...]:
    axis = axis % a.ndim
    running = [
        wrapped(np.arange(n).reshape((-1,) + (1,) * (a.ndim - i - 1)))
        for i, n in enumerate(a.shape)
    ]
    return (*running[:axis], indices, *running[axis + 1 :])


def matmul(x1: Any, x2: Any, *, out: Any = None, **options: Any) -> Any:
    """The product of matrices."""
    if options:
        raise TypeError(f"cupy.matmul: {options}")
    if not (_is_array(x1) and _is_array(x2)):
        raise TypeError(f"Unsupported type {type(x1)}, {type(x2)}")
    with np.errstate(all="ignore"):
        return wrapped(
            np.asarray(np.matmul(x1._a, x2._a, **({} if out is None else {"out": out._a})))
        )


def solve(a: Any, b: Any) -> Any:
    """Stacks are not broadcast: both must have the same shape before the last axis of b."""
    if b.ndim == 1:
        b = wrapped(np.broadcast_to(b._a, a.shape[:-1]))
        return _linalg("solve")(a, b[..., None])[..., 0]
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError("a must have (..., M, M) shape and b must have (..., M, K)")
    return _linalg("solve")(a, b)


class _Raising(threading.local):
    linalg = False


_raising = _Raising()


@contextmanager
def errstate(*, linalg: str = "ignore") -> Iterator[None]:
    """`cupyx.errstate`: are failures of linear algebra errors? If not, results are rubbish."""
    before, _raising.linalg = _raising.linalg, linalg == "raise"
    try:
        yield
    finally:
        _raising.linalg = before


def _linalg(name: str) -> Callable[..., Any]:
    compute = _function(f"linalg.{name}")

    def function(*args: Any, **kwargs: Any) -> Any:
        if not all(map(_is_array, args)):
            raise TypeError(f"cupy.linalg.{name}: expected cupy.ndarray")
        try:
            return compute(*args, **kwargs)
        except np.linalg.LinAlgError:
            if _raising.linalg:
                raise
            last = args[-1]
            return wrapped(np.full(last.shape, -12345.0, last.dtype))

    return function


_OWN: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        array,
        asarray,
        asnumpy,
        full,
        empty,
        empty_like,
        where,
        clip,
        broadcast_to,
        take_along_axis,
        put_along_axis,
        matmul,
    )
}
_OWN |= {"asanyarray": asarray, "concat": _function("concatenate")}
#: Functions of CuPy that only call the method.
_METHODS = {
    *("sum", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "all", "any", "mean", "var"),
    *("std", "reshape", "ravel", "repeat", "sort", "argsort", "cumsum", "cumprod", "swapaxes"),
    *("squeeze", "diagonal", "trace", "transpose"),
}


class Module(ModuleType):
    """`cupy`, and `cupy.linalg` with a prefix."""

    def __init__(self, name: str, prefix: str = "") -> None:
        super().__init__(name)
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        full_name = self._prefix + name
        if full_name in NAMES["ufuncs"]:
            value: Any = StrictUfunc(name)
        elif full_name in NAMES["functions"]:
            if self._prefix:
                value = solve if name == "solve" else _linalg(name)
            elif name in _METHODS:
                value = _method(name)
            else:
                value = _OWN.get(name) or _function(name)
        elif full_name == "ndarray":
            value = StrictArray
        elif full_name in NAMES["other"]:
            value = getattr(np.linalg if self._prefix else np, name)
        else:
            raise AttributeError(f"module 'cupy' has no attribute {full_name!r}")
        setattr(self, name, value)
        return value


module = Module("strict")
module.linalg = Module("strict.linalg", "linalg.")
assert SCALARS and traffic
#: As `cupyx` stands beside `cupy`.
sys.modules["strictx"] = beside = ModuleType("strictx")
beside.errstate = errstate  # type: ignore[attr-defined]
