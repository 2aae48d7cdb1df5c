"""The complex step: f(x + i h v) has the slope of f along v in its imaginary part, times h.

Nothing is subtracted, so nothing cancels: with h = 1e-200 the slope is right to rounding. The
code of f must run on complex numbers, and do what it does on real ones: branch on the real part,
and never conjugate. A `BranchingArray` makes NumPy do so. What it cannot do it refuses, with
`Unsupported`; a slope that is wrong without a word would be worse than none.

Source: Squire & Trapp 1998, Using complex variables to estimate derivatives of real functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import describe
from . import branching
from .analytic import ANALYTIC, ASIS, NOTES
from .branching import note_extreme, note_order, note_steps, note_zero, rows

ndarray, COMPLEX, FLOAT = np.ndarray, np.dtype(np.complex128), np.dtype(np.float64)
_view, _descriptor = ndarray.view, ndarray.dtype.__get__  # type: ignore[attr-defined]

#: The step. Its square is 0 in float64: the square of a number whose real part is 0 stays 0.
STEP = 1e-200


class Unsupported(TypeError):  # noqa: N818 - the name says what is the matter
    """What the complex step cannot go through: the function is to be checked another way."""


class BranchingArray(ndarray):
    """An array of float64, or of complex numbers x + i h v that stand for it, that tells branches.

    It acts as the array of its real parts: its `dtype` is float64, branches follow the real part
    (and, where two are tied, the imaginary part: so the function goes on in the direction v),
    `conj` is the identity. Raises Unsupported for what would lose the imaginary part (`float(x)`,
    `x.item()`, `x.real`, writing into a real array), and for functions that are not known to act
    rightly. `np.asarray` makes an ordinary complex array of it, which no class can prevent; that
    is refused where it meets a BranchingArray again, and as a result of `complex_slope`.

    >>> x = lift(np.array([3.0, -4.0]), np.array([1.0, 0.0]))
    >>> slope_of(np.linalg.norm(x))
    array(0.6)
    """

    # Arrays are compared and computed here, rather than by a subclass of another kind.
    __array_priority__ = 1000.0
    __slots__ = ()

    @property
    def dtype(self) -> Any:  # type: ignore[override]
        """float64: the dtype of what the array stands for."""
        return FLOAT

    # Functions of NumPy ----------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        plain, moves = [], False
        for each in inputs:
            if isinstance(each, BranchingArray):
                each = _view(each, ndarray)
                moves = moves or each.dtype is COMPLEX or each.dtype.kind == "c"
            elif isinstance(each, (ndarray, np.generic, complex)):
                _check_kept(each, ufunc.__name__)
            plain.append(each)
        if branching.thread.branches is not None:
            _note(ufunc, method, plain, kwargs)
        kwargs.pop("subok", None)
        if moves:
            result = _complex_ufunc(ufunc, method, plain, out, kwargs)
        else:
            into = {} if out is None else {"out": tuple(plainly(each) for each in out)}
            result = getattr(ufunc, method)(*plain, **into, **kwargs)
        if out is not None:
            return out[0] if len(out) == 1 else out
        return wrapped(result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from .array_functions import apply

        return apply(func, args, kwargs)

    # Elements --------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        result = ndarray.__getitem__(self, index)
        return result if type(result) is BranchingArray else wrapped(result)

    def __setitem__(self, index: Any, value: Any) -> None:
        given = plainly(value)
        if isinstance(given, (list, tuple)):
            given = plainly(np.stack([wrapped(np.asarray(each)) for each in given]))
        if _descriptor(self).kind != "c" and np.iscomplexobj(given):
            raise _lost("writing into an array that was not lifted")
        if isinstance(given, (ndarray, np.generic, complex)) and given is value:
            _check_kept(given, "assignment")
        _view(self, ndarray)[index] = given

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __bool__(self) -> bool:
        plain = _view(self, ndarray)
        if branching.thread.branches is not None and self.size == 1:
            note_zero(branching.thread.branches, plain, np.not_equal)
        return bool(plain)

    def __float__(self) -> float:
        return float(self._held("float(x)"))

    def __complex__(self) -> complex:
        return complex(self._held("complex(x)"))

    def __int__(self) -> int:
        return int(self.astype(np.int64))

    def __repr__(self) -> str:
        return repr(real_part(self))

    def __str__(self) -> str:
        return str(real_part(self))

    def __format__(self, text: str) -> str:
        return format(real_part(self)[()], text)

    def __reduce__(self) -> Any:
        raise _lost("pickling")

    def _held(self, what: str) -> Any:
        """The plain array, if it is real; else what was asked for would lose its direction."""
        if _descriptor(self).kind == "c":
            raise _lost(what)
        return _view(self, ndarray)

    @property
    def real(self) -> Any:  # type: ignore[override]
        """Refused: use `real_part`."""
        return self._held("x.real")

    @property
    def imag(self) -> Any:  # type: ignore[override]
        """Refused: use `imaginary_part`."""
        return self._held("x.imag").imag

    @property
    def flat(self) -> Any:  # type: ignore[override]
        """The elements one after the other, as a view."""
        if not _view(self, ndarray).flags.c_contiguous:
            raise Unsupported("complex step: x.flat of an array that is not contiguous")
        return self.reshape(-1)

    def item(self, *index: Any) -> Any:  # type: ignore[override]
        """The element as a number, of a real array only."""
        return self._held("x.item()").item(*index)

    def tolist(self) -> Any:
        """The elements as numbers, of a real array only."""
        return self._held("x.tolist()").tolist()

    def tobytes(self, *given: Any, **named: Any) -> Any:
        """The memory, of a real array only."""
        return self._held("x.tobytes()").tobytes(*given, **named)

    def view(self, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        """The array itself, seen anew; of another type or dtype only if it is real."""
        if given or named:
            return _view(self._held("x.view()"), *given, **named)
        return _view(self)

    def astype(self, dtype: Any, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        """Rounded to a floating dtype, still held in the same; integers and booleans are plain."""
        kind, plain = np.dtype(dtype), _view(self, ndarray)
        if plain.dtype.kind != "c":
            return wrapped(plain.astype(dtype, *given, **named))
        if kind.kind == "f":
            result = self.copy()
            if kind != FLOAT:
                _view(result, ndarray).real = plain.real.astype(kind)
            return result
        if kind.kind not in "biu":
            raise Unsupported(f"complex step: x.astype({kind})")
        if branching.thread.branches is not None:
            self._note_whole(kind)
        return (plain != 0) if kind.kind == "b" else plain.real.astype(kind)

    def _note_whole(self, kind: Any) -> None:
        plain = _view(self, ndarray)
        seen: Any = branching.thread.branches
        if kind.kind == "b":
            note_zero(seen, plain, np.not_equal)
        else:
            NOTES[np.trunc](seen, plain)

    # Methods that are not ufuncs ---------------------------------------------------------------

    def conj(self) -> Any:
        """A copy: the conjugate of a real number is the number."""
        return self.copy()

    conjugate = conj

    def fill(self, value: Any) -> None:
        """Writes a number into every element."""
        self[...] = value

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:  # type: ignore[override]
        """Where the largest element is."""
        return self._place(np.argmax, axis, out, keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:  # type: ignore[override]
        """Where the smallest element is."""
        return self._place(np.argmin, axis, out, keepdims)

    def _place(self, function: Any, axis: Any, out: Any, keepdims: bool) -> Any:
        plain = _view(self, ndarray)
        if branching.thread.branches is not None:
            note_extreme(branching.thread.branches, plain, axis, function is np.argmax)
        return function(plain, axis, out, keepdims=keepdims)

    def argsort(self, axis: Any = -1, kind: Any = None, order: Any = None, **named: Any) -> Any:
        """The indices that sort the array."""
        self._note_order(axis)
        return _view(self, ndarray).argsort(axis, kind, order, **named)

    def argpartition(self, kth: Any, axis: Any = -1, *given: Any) -> Any:  # type: ignore[override]
        """The indices that put the element at `kth` where sorting would."""
        self._note_order(axis)
        return _view(self, ndarray).argpartition(kth, axis, *given)

    def sort(self, axis: Any = -1, kind: Any = None, order: Any = None, **named: Any) -> None:
        """Sorts in place."""
        self._note_order(axis)
        _view(self, ndarray).sort(axis, kind, order, **named)

    def partition(self, kth: Any, axis: Any = -1, *given: Any) -> None:  # type: ignore[override]
        """Sorts in place as far as the element at `kth` needs."""
        self._note_order(axis)
        _view(self, ndarray).partition(kth, axis, *given)

    def _note_order(self, axis: Any) -> None:
        if branching.thread.branches is not None:
            note_order(branching.thread.branches, _view(self, ndarray), axis)

    def searchsorted(self, values: Any, side: Any = "left", sorter: Any = None) -> Any:  # type: ignore[override]
        """Where values would have to stand in this sorted array."""
        places = _view(self, ndarray).searchsorted(plainly(values), side, sorter)
        if branching.thread.branches is not None:
            note_steps(branching.thread.branches, places, np.isin(real_part(values), self._parts()))
        return places

    def _parts(self) -> Any:
        return _view(self, ndarray).real

    def nonzero(self) -> Any:
        """Where elements are not 0."""
        return (self != 0).nonzero()

    def round(self, decimals: Any = 0, out: Any = None) -> Any:  # type: ignore[override]
        """Rounded: constant between the halves."""
        scaled = real_part(self) * 10.0**decimals
        if branching.thread.branches is not None:
            NOTES[np.rint](branching.thread.branches, scaled)
        rounded = real_part(self).round(decimals).astype(_descriptor(self))
        if out is None:
            return wrapped(rounded)
        out[...] = rounded
        return out

    def dot(self, other: Any, out: Any = None) -> Any:  # type: ignore[override]
        """The product as `np.dot` has it."""
        return np.dot(self, other) if out is None else np.dot(self, other, out)

    def take(self, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        """Elements at indices."""
        return wrapped(_view(self, ndarray).take(*given, **named))

    def trace(self, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        """The sum of the diagonal."""
        return wrapped(_view(self, ndarray).trace(*given, **named))


def plainly(value: Any) -> Any:
    """A value with ordinary arrays in place of BranchingArrays, also within lists and tuples."""
    if isinstance(value, BranchingArray):
        return _view(value, ndarray)
    if type(value) in (list, tuple):
        return type(value)([plainly(each) for each in value])
    return value


def wrapped(value: Any) -> Any:
    """A value with BranchingArrays in place of floating and complex arrays and scalars."""
    if isinstance(value, BranchingArray):
        return value
    if isinstance(value, (ndarray, np.generic)):
        if value.dtype.kind not in "fc":
            return value
        return _view(np.asarray(value), BranchingArray)
    if isinstance(value, tuple):
        parts = [wrapped(each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return [wrapped(each) for each in value] if type(value) is list else value


def _lost(what: str) -> Unsupported:
    return Unsupported(
        f"complex step: {what} would lose the imaginary part, which holds the slope; stay with "
        "arrays and np functions of them (np.zeros_like(x), not np.zeros(x.shape), to be filled)"
    )


def _check_kept(value: Any, name: str) -> None:
    """Raises Unsupported for an ordinary complex array or number: it has lost its class."""
    if isinstance(value, complex) or value.dtype.kind == "c":
        raise Unsupported(
            f"complex step: {name} met an ordinary complex array, in which np.asarray or the like "
            "has lost what makes it branch on the real part; use np.asanyarray, or leave it out"
        )


def _note(ufunc: Any, method: str, plain: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Tells the watch of the branches of a ufunc that is about to run."""
    seen: Any = branching.thread.branches
    if method == "__call__":
        note = NOTES.get(ufunc)
        if note is not None:
            note(seen, *plain)
    elif ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        largest = ufunc in (np.maximum, np.fmax)
        if method == "reduce":
            note_extreme(seen, plain[0], kwargs.get("axis", 0), largest)
        elif method == "accumulate":
            x = np.moveaxis(plain[0], kwargs.get("axis", 0), 0)
            branching.note_pair(seen, ufunc.accumulate(x)[:-1], x[1:])
        elif method == "at":
            branching.note_pair(seen, plain[0][plain[1]], plain[2])
        elif method == "outer":
            branching.note_pair(seen, *_apart(*plain))
    elif method == "outer" and ufunc in NOTES:
        NOTES[ufunc](seen, *_apart(*plain))


def _apart(a: Any, b: Any) -> tuple[Any, Any]:
    """Two arrays, shaped so that each element of one meets each of the other."""
    a, b = np.asarray(a), np.asarray(b)
    return a.reshape(a.shape + (1,) * b.ndim), b


def _complex_ufunc(
    ufunc: Any, method: str, plain: list[Any], out: Any, kwargs: dict[str, Any]
) -> Any:
    """A ufunc of complex numbers, acting as it does on real ones."""
    dtype = kwargs.pop("dtype", None)
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise Unsupported(f"complex step: np.{ufunc.__name__} with dtype={np.dtype(dtype)}")
    targets = None
    if out is not None:
        targets = tuple(plainly(each) for each in out)
    if ufunc in ASIS:
        if method == "at" and plain[0].dtype.kind != "c":
            raise _lost(f"np.{ufunc.__name__}.at on a real array")
        if targets is not None:
            kwargs["out"] = targets
            kwargs.pop("casting", None)
            if any(each.dtype.kind == "f" for each in targets if each is not None):
                raise _lost(f"out= of np.{ufunc.__name__}, a real array,")
        return getattr(ufunc, method)(*plain, **kwargs)
    function = ANALYTIC.get(ufunc)
    if function is None:
        raise Unsupported(f"complex step: np.{ufunc.__name__} is not known")
    kwargs.pop("casting", None)
    where = kwargs.pop("where", True)
    if method == "__call__" and not kwargs and where is True:
        result = function(*plain)
    elif method == "outer" and not kwargs and where is True:
        result = function(*_apart(*plain))
    elif method == "reduce" and where is True and kwargs.get("initial") is None:
        result = _folded(function, plain[0], kwargs.get("axis", 0), kwargs.get("keepdims", False))
    else:
        raise Unsupported(f"complex step: np.{ufunc.__name__}.{method} with {[*kwargs]}")
    if targets is not None:
        for target, each in zip(targets, result if len(targets) > 1 else (result,), strict=True):
            if target.dtype.kind == "f" and each.dtype.kind == "c":
                raise _lost(f"out= of np.{ufunc.__name__}, a real array,")
            target[...] = each
    return result


def _folded(function: Callable[..., Any], x: Any, axis: Any, keepdims: bool) -> Any:
    """A function of two numbers, applied along axes from one element to the next."""
    lanes = rows(x, axis)
    if not lanes.shape[-1]:
        raise Unsupported("complex step: reducing no elements")
    total = lanes[..., 0]
    for i in range(1, lanes.shape[-1]):
        total = function(total, lanes[..., i])
    if not keepdims:
        return total
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    kept = [each % x.ndim for each in axes]
    return total.reshape([1 if i in kept else n for i, n in enumerate(x.shape)])


# The step -----------------------------------------------------------------------------------


def lift(values: Any, direction: Any, step: float = STEP) -> BranchingArray:
    """values + i step direction, as a new BranchingArray."""
    values = np.asarray(values, np.float64)
    result = np.empty(values.shape, COMPLEX)
    result.real, result.imag = values, np.multiply(direction, step)
    return _view(result, BranchingArray)


def real_part(x: Any) -> Any:
    """The real part of a BranchingArray or number, as an ordinary array (a view)."""
    return np.asarray(plainly(x)).real


def imaginary_part(x: Any) -> Any:
    """The imaginary part of a BranchingArray, as an ordinary array (a view of a complex one)."""
    return np.asarray(plainly(x)).imag


def slope_of(x: Any, step: float = STEP) -> Any:
    """The slope that a lifted result carries, as an ordinary array of float64.

    Raises Unsupported if x carries none: the imaginary part was lost on the way.
    """
    if not isinstance(x, BranchingArray) or _descriptor(x).kind != "c":
        given = describe(x)
        raise Unsupported(
            f"complex step: the result, with {given}, has no imaginary part: it is constant, or "
            "the function lost the part on the way (by np.asarray, float() or an array of float64)"
        )
    return imaginary_part(x) / step


@contextmanager
def strict() -> Iterator[None]:
    """Raises Unsupported where NumPy would only warn that an imaginary part is discarded."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            yield
        except np.exceptions.ComplexWarning as warning:
            raise _lost("writing into a real array, or converting to one,") from warning


def complex_slope(
    forward: Callable[..., Any],
    arrays: Sequence[Any],
    directions: Sequence[Any],
    step: float = STEP,
) -> tuple[Any, Any]:
    """The slope of a function along directions, and its value: both ordinary arrays of float64.

    `forward` takes one array for each of `arrays`, and returns one; `directions` has an array of
    the same shape for each (None: 0). Integer and boolean arrays are given to it as they are.
    Raises Unsupported if something on the way is not known, or loses the imaginary part.

    >>> slope, value = complex_slope(lambda x: np.abs(x).max(), [np.array([1.0, -3.0])], [[5, 7]])
    >>> float(slope), float(value)
    (-7.0, 3.0)
    """
    lifted = [
        lift(x, 0.0 if v is None else v, step) if np.asarray(x).dtype.kind == "f" else x
        for x, v in zip(arrays, directions, strict=True)
    ]
    with strict():
        result = forward(*lifted)
    return slope_of(result, step), real_part(result).copy()
