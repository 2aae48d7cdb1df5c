"""The array of the stand-in."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import indexing
from .names import NAMES, bound

SCALARS = (bool, int, float, complex)


class Traffic:
    """How many arrays were copied: `down`, from the GPU to the host, and `up`, to the GPU."""

    def __init__(self) -> None:
        self.down = self.up = 0


traffic = Traffic()


class Pointer:
    """Where the memory begins."""

    def __init__(self, pointer: int) -> None:
        self.ptr = pointer


class Flags:
    """How the elements lie in memory; there is no `writeable`."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata


class StrictArray:
    """An array as `cupy.ndarray` is one. `_a` is the NumPy array that stands for the GPU's memory.

    Methods that are not written here are NumPy's, with CuPy's arguments.
    """

    __slots__ = ("_a",)
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, memory: np.ndarray[Any, Any]) -> None:
        assert type(memory) is np.ndarray
        self._a = memory

    # What it is -------------------------------------------------------------------------------

    @property
    def flags(self) -> Flags:
        return Flags(self._a.flags)

    @property
    def data(self) -> Pointer:
        return Pointer(self._a.__array_interface__["data"][0])

    @property
    def device(self) -> str:
        return "<stand-in for a GPU>"

    @property
    def base(self) -> StrictArray | None:
        return None if self._a.base is None else wrapped(np.asarray(self._a.base))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self._a.__array_interface__)

    def __getattr__(self, name: str) -> Any:
        if name in NAMES["attributes"]:
            return wrapped(getattr(self._a, name))
        if name in NAMES["methods"]:
            return Method(self, name)
        raise AttributeError(f"cupy.ndarray has no attribute {name!r}")

    # Copies to the host -----------------------------------------------------------------------

    def get(self) -> np.ndarray[Any, Any]:
        traffic.down += 1
        return self._a.copy()

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __format__(self, form: str) -> str:
        return format(self.get(), form)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[StrictArray]:
        if not self._a.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __copy__(self) -> StrictArray:
        return StrictArray(self._a.copy())

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return StrictArray(self._a.copy())

    # Elements ---------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> StrictArray:
        return StrictArray(indexing.get(self._a, parts_of(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        parts = parts_of(index)
        if isinstance(value, np.ndarray) and value.ndim and not any(map(is_host, parts)):
            same = value.shape == self._a.shape and value.dtype == self._a.dtype
            if not (type(index) is slice and index == slice(None) and same):
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        indexing.put(self._a, parts, assigned(value))

    # NumPy's functions on it ------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from .module import module

        if method != "__call__" or not hasattr(module, ufunc.__name__):
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        known = (StrictArray, np.ndarray, np.generic, *SCALARS)
        if not all(isinstance(each, known) for each in inputs):
            return NotImplemented
        return getattr(module, ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from .module import module

        place: Any = module
        for each in func.__module__.split(".")[1:]:
            place = getattr(place, each, None)
        ours = getattr(place, func.__name__, None)
        if ours is None or not all(each in (StrictArray, np.ndarray) for each in types):
            return NotImplemented
        return ours(*args, **kwargs)


def wrapped(value: Any) -> Any:
    """NumPy's arrays and scalars as arrays of the stand-in; anything else as it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(value))
    if type(value) is tuple and any(isinstance(each, np.ndarray) for each in value):
        return tuple([wrapped(each) for each in value])
    if isinstance(value, list):
        return [wrapped(each) for each in value]
    return value


def operand(value: Any) -> Any:
    """What a kernel computes with: an array of the stand-in, or a number."""
    if type(value) is StrictArray:
        return value._a
    if isinstance(value, (*SCALARS, np.generic)):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def uploaded(value: Any) -> Any:
    """An array of the host, or a list of such or of the stand-in's, as a NumPy array."""
    if type(value) is StrictArray:
        return value._a
    traffic.up += 1
    return np.asarray(_listed(value))


def _listed(value: Any) -> Any:
    if type(value) is StrictArray:
        return value._a
    if isinstance(value, (list, tuple)):
        return [_listed(each) for each in value]
    if not isinstance(value, (np.ndarray, np.generic, *SCALARS)):
        raise ValueError(f"Unsupported dtype object: {type(value)}")
    return value


def is_host(value: Any) -> bool:
    """Is it an array of NumPy's?"""
    return isinstance(value, np.ndarray)


def parts_of(index: Any) -> list[Any]:
    """The parts of an index: None, Ellipsis, slices, integers, and NumPy arrays."""
    found: list[Any] = []
    for each in index if isinstance(index, tuple) else (index,):
        scalar = np.isscalar(each) and not isinstance(each, (bool, np.bool_))
        if each is None or each is Ellipsis or isinstance(each, slice) or scalar:
            found.append(each)
            continue
        array = uploaded(each)
        if isinstance(each, (list, tuple)) and not array.size:
            array = array.astype(np.int32)
        found.append(array)
    return found


def assigned(value: Any) -> Any:
    """The right side of an assignment; an array of the host is copied."""
    return value._a if type(value) is StrictArray else uploaded(value)


_REDUCTIONS = {"all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"}


class Method:
    """A method of an array: NumPy's, with CuPy's arguments."""

    def __init__(self, array: StrictArray, name: str) -> None:
        self.array, self.name = array, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = bound("methods", self.name, args, kwargs).arguments
        if not self.array.ndim and self.name in _REDUCTIONS and type(given.get("axis")) is int:
            raise np.exceptions.AxisError(given["axis"], 0)  # NumPy takes 0 and -1
        if self.name in _SPECIAL:
            return _SPECIAL[self.name](self.array, **given)
        args = tuple(map(_argument, given.pop("shape", given.pop("axes", ()))))
        named = {key: _argument(each) for key, each in given.items()}
        if named.get("out") is None:
            named.pop("out", None)
        with np.errstate(all="ignore"):
            if self.name == "swapaxes":  # NumPy takes no names there
                args, named = tuple(named.values()), {}
            return wrapped(getattr(self.array._a, self.name)(*args, **named))


def _argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value._a if type(value) is StrictArray else value


def _astype(
    array: StrictArray,
    dtype: Any,
    order: str = "K",
    casting: Any = None,
    subok: Any = None,
    copy: bool = True,
) -> StrictArray:
    if casting is not None or subok is not None:
        raise TypeError("astype: casting and subok are not supported yet")
    with np.errstate(all="ignore"):
        return wrapped(array._a.astype(dtype, order=order, copy=copy))


def _sort(array: StrictArray, axis: int = -1, kind: Any = None) -> None:
    _kind(kind)
    if not array._a.ndim:
        raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")
    array._a.sort(axis=axis, kind="stable")


def _argsort(array: StrictArray, axis: Any = -1, kind: Any = None) -> StrictArray:
    _kind(kind)
    if not array._a.ndim:
        raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")
    return wrapped(array._a.argsort(axis=axis, kind="stable"))


def _kind(kind: Any) -> None:
    if kind not in (None, "stable"):
        raise ValueError(f"kind={kind!r} is not supported")


def _scatter(array: StrictArray, slices: Any, value: Any) -> None:
    indexing.add(array._a, parts_of(slices), assigned(value))


def _take(array: StrictArray, indices: Any, axis: Any = None, out: Any = None) -> StrictArray:
    flat = array._a.reshape(-1) if axis is None else array._a
    where = (slice(None),) * (0 if axis is None else axis % flat.ndim)
    return StrictArray(indexing.get(flat, [*where, np.asarray(assigned(indices))]))


_SPECIAL: dict[str, Callable[..., Any]] = {
    "astype": _astype,
    "sort": _sort,
    "argsort": _argsort,
    "take": _take,
    "scatter_add": _scatter,
    "put": lambda array, indices, values, mode="wrap": indexing.put(
        array._a.reshape(-1), [uploaded(indices)], assigned(values)
    ),
    "searchsorted": lambda array, v, side="left", sorter=None: wrapped(
        np.asarray(np.searchsorted(array._a, operand(v), side))
    ),
}


# Operators --------------------------------------------------------------------------------------

_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
_COMPARISONS = ("less", "less_equal", "equal", "not_equal", "greater", "greater_equal")


def _binary(name: str, swapped: bool = False, inplace: bool = False) -> Callable[..., Any]:
    def method(self: StrictArray, other: Any) -> Any:
        from .module import module

        if not isinstance(other, (StrictArray, np.ndarray, np.generic, *SCALARS)):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return getattr(module, name)(*pair, **({"out": self} if inplace else {}))

    return method


def _unary(name: str) -> Callable[..., Any]:
    def method(self: StrictArray) -> Any:
        from .module import module

        return getattr(module, name)(self)

    return method


for _short, _name in _OPERATORS.items():
    setattr(StrictArray, f"__{_short}__", _binary(_name))
    setattr(StrictArray, f"__r{_short}__", _binary(_name, swapped=True))
    if _short != "matmul":
        setattr(StrictArray, f"__i{_short}__", _binary(_name, inplace=True))
for _name, _short in zip(_COMPARISONS, ("lt", "le", "eq", "ne", "gt", "ge"), strict=True):
    setattr(StrictArray, f"__{_short}__", _binary(_name))
for _short, _name in (("neg", "negative"), ("abs", "absolute"), ("invert", "invert")):
    setattr(StrictArray, f"__{_short}__", _unary(_name))
StrictArray.__pos__ = lambda self: self  # type: ignore[attr-defined]
assert operator.index  # CuPy's arrays have no __index__
