"""Arrays that stand for real ones in the complex step, and that tell which branches they took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from . import branching
from .analytic import ANALYTIC, ASIS
from .branching import note_extreme, note_order, note_steps, note_zero
from .notes import NOTES
from .refusals import Unsupported, check_kept, lost
from .ufuncs import complex_ufunc, note

COMPLEX, FLOAT = np.dtype(np.complex128), np.dtype(np.float64)
_view: Any = np.ndarray.view
_descriptor: Any = np.ndarray.dtype.__get__
_COMPLEX_TYPES = (ndarray, np.generic, complex)


class BranchingArray(ndarray[Any, Any]):
    """An array of float64, or of complex numbers x + i h v that stand for it, that tells branches.

    It acts as the array of its real parts: its `dtype` is float64, branches follow the real part
    (and, where two are tied, the imaginary part: so the function goes on in the direction v),
    `conj` is the identity. Raises Unsupported for what would lose the imaginary part (`float(x)`,
    `x.item()`, `x.real`, writing into a real array), and for functions that are not known to act
    rightly. `np.asarray` makes an ordinary complex array of it, which no class can prevent; that
    is refused where it meets a BranchingArray again, and as a result of `complex_slope`.

    >>> from chainrule.engine.checking.complexes import lift, slope_of
    >>> x = lift(np.array([3.0, -4.0]), np.array([1.0, 0.0]))
    >>> slope_of(np.linalg.norm(x))
    np.float64(0.6)
    """

    __slots__ = ()

    @property
    def dtype(self) -> Any:
        """The dtype of what the array stands for: float64 if it is complex."""
        own = _descriptor(self)
        return FLOAT if own.kind == "c" else own

    # Functions of NumPy ----------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        plain, moves = [], False
        for each in inputs:
            kind = type(each)
            if kind is BranchingArray:
                each = _view(each, ndarray)
                moves = moves or each.dtype.kind == "c"
            elif kind is not float and kind is not int and isinstance(each, _COMPLEX_TYPES):
                check_kept(each, ufunc.__name__)
            plain.append(each)
        if branching.thread.branches is not None:
            note(ufunc, method, plain, kwargs)
        if kwargs:
            kwargs.pop("subok", None)
        if moves and method == "__call__" and out is None and not kwargs:
            function = ufunc if ufunc in ASIS else ANALYTIC.get(ufunc)
            if function is not None:
                return wrapped(function(*plain))
        if moves:
            into = None if out is None else tuple(map(plainly, out))
            result = complex_ufunc(ufunc, method, plain, into, kwargs)
        else:
            if out is not None:
                kwargs["out"] = tuple(map(plainly, out))
            result = getattr(ufunc, method)(*plain, **kwargs)
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
            raise lost("writing into an array that was not lifted")
        if isinstance(given, (ndarray, np.generic, complex)) and given is value:
            check_kept(given, "assignment")
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
        raise lost("pickling")

    def _held(self, what: str) -> Any:
        """The plain array, if it is real; else what was asked for would lose its direction."""
        if _descriptor(self).kind == "c":
            raise lost(what)
        return _view(self, ndarray)

    @property  # type: ignore[misc]
    def real(self) -> Any:
        """Refused: use `real_part`."""
        return self._held("x.real")

    @property  # type: ignore[misc]
    def imag(self) -> Any:
        """Refused: use `imaginary_part`."""
        return self._held("x.imag").imag

    @property
    def flat(self) -> Any:
        """The elements one after the other, as a view."""
        if not _view(self, ndarray).flags.c_contiguous:
            raise Unsupported("complex step: x.flat of an array that is not contiguous")
        return self.reshape(-1)

    def item(self, *index: Any) -> Any:
        """The element as a number, of a real array only."""
        return self._held("x.item()").item(*index)

    def tolist(self) -> Any:
        """The elements as numbers, of a real array only."""
        return self._held("x.tolist()").tolist()

    def tobytes(self, *given: Any, **named: Any) -> Any:
        """The memory, of a real array only."""
        return self._held("x.tobytes()").tobytes(*given, **named)

    def byteswap(self, inplace: bool = False) -> Any:
        """The memory in another order, of a real array only."""
        return self._held("x.byteswap()").byteswap(inplace)

    def view(self, *given: Any, **named: Any) -> Any:
        """The array itself, seen anew; of another type or dtype only if it is real."""
        if given or named:
            return _view(self._held("x.view()"), *given, **named)
        return _view(self)

    def astype(self, dtype: Any, *given: Any, **named: Any) -> Any:
        """Rounded to a floating dtype, still held in the same; integers and booleans are plain."""
        kind, plain = np.dtype(dtype), _view(self, ndarray)
        seen = branching.thread.branches
        if seen is not None and kind.kind == "b":
            note_zero(seen, plain, np.not_equal)
        elif seen is not None and kind.kind in "iu":
            NOTES[np.trunc](seen, plain)
        if plain.dtype.kind != "c":
            return wrapped(plain.astype(dtype, *given, **named))
        if kind.kind == "f":
            result = self.copy()
            if kind != FLOAT:
                _view(result, ndarray).real = plain.real.astype(kind)
            return result
        if kind.kind not in "biu":
            raise Unsupported(f"complex step: x.astype({kind})")
        return (plain != 0) if kind.kind == "b" else plain.real.astype(kind)

    # Methods that are not ufuncs ---------------------------------------------------------------

    def fill(self, value: Any) -> None:
        """Writes a number into every element."""
        self[...] = value

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """Where the largest element is."""
        return self._place(np.argmax, axis, out, keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
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

    def argpartition(self, kth: Any, axis: Any = -1, *given: Any, **named: Any) -> Any:
        """The indices that put the element at `kth` where sorting would."""
        self._note_order(axis)
        return _view(self, ndarray).argpartition(kth, axis, *given, **named)

    def sort(self, axis: Any = -1, kind: Any = None, order: Any = None, **named: Any) -> None:
        """Sorts in place."""
        self._note_order(axis)
        _view(self, ndarray).sort(axis, kind, order, **named)

    def partition(self, kth: Any, axis: Any = -1, *given: Any, **named: Any) -> None:
        """Sorts in place as far as the element at `kth` needs."""
        self._note_order(axis)
        _view(self, ndarray).partition(kth, axis, *given, **named)

    def _note_order(self, axis: Any) -> None:
        if branching.thread.branches is not None:
            note_order(branching.thread.branches, _view(self, ndarray), axis)

    def searchsorted(self, values: Any, side: Any = "left", sorter: Any = None) -> Any:
        """Where values would have to stand in this sorted array."""
        places = _view(self, ndarray).searchsorted(plainly(values), side, sorter)
        if branching.thread.branches is not None:
            tied = np.isin(real_part(values), real_part(self))
            note_steps(branching.thread.branches, places, tied)
        return places

    def nonzero(self) -> Any:
        """Where elements are not 0."""
        return np.not_equal(self, 0).nonzero()

    def round(self, decimals: Any = 0, out: Any = None) -> Any:
        """Rounded: constant between the halves."""
        if branching.thread.branches is not None:
            NOTES[np.rint](branching.thread.branches, real_part(self) * 10.0**decimals)
        rounded = real_part(self).round(decimals).astype(_descriptor(self))
        if out is None:
            return wrapped(rounded)
        out[...] = rounded
        return out

    def dot(self, other: Any, out: Any = None) -> Any:
        """The product as `np.dot` has it."""
        return np.dot(self, other) if out is None else np.dot(self, other, out)

    def take(self, *given: Any, **named: Any) -> Any:
        """Elements at indices."""
        return wrapped(_view(self, ndarray).take(*given, **named))

    def trace(self, *given: Any, **named: Any) -> Any:
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
    kind = type(value)
    if kind is ndarray:
        return _view(value, BranchingArray) if value.dtype.kind in "fc" else value
    if kind is BranchingArray:
        return value
    if isinstance(value, np.generic):
        return _view(np.asarray(value), BranchingArray) if value.dtype.kind in "fc" else value
    if isinstance(value, tuple):
        parts = [wrapped(each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return [wrapped(each) for each in value] if type(value) is list else value


def real_part(x: Any) -> Any:
    """The real part of a BranchingArray or number, as an ordinary array (a view)."""
    return np.asarray(plainly(x)).real


def imaginary_part(x: Any) -> Any:
    """The imaginary part of a BranchingArray, as an ordinary array (a view of a complex one)."""
    return np.asarray(plainly(x)).imag
