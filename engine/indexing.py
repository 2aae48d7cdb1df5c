"""Indices of tensors: what may stand in `x[...]`, what was wrong with it, and changing elements."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .devices import state
from .errors import DeviceError, DtypeError, GradientError, ShapeError, describe
from .kernels.arrays import never_repeats
from .placing import on_device
from .record import RECORDS
from .tape import mark_changed
from .tensor import Tensor, as_operand, is_array, together


def raw_index(index: Any) -> Any:
    """An index with arrays for Tensors and lists, and copies of arrays.

    What a caller does to his own index later does not reach the gradient.

    Raises ShapeError for a list whose rows differ in length.
    """
    kind = type(index)
    if kind is int or index is None or index is Ellipsis:
        return index
    if kind is slice:
        return slice(_bound(index.start), _bound(index.stop), _bound(index.step))
    if isinstance(index, tuple):
        return tuple([raw_index(each) for each in index])
    if kind is Tensor:
        return index._data.copy()
    if isinstance(index, (list, range)):
        return _listed(index)
    return index.copy() if isinstance(index, np.ndarray) else index


def _bound(bound: Any) -> Any:
    return operator.index(bound) if hasattr(bound, "dtype") else bound


def _listed(index: Any) -> Any:
    """An index array of a list; an empty one picks nothing, so it is of integers."""
    try:
        array = np.array(index)
    except ValueError as error:
        raise ShapeError(f"index: the rows of the list differ in length: {error}") from error
    return array if array.size else array.astype(np.int64)


def element(where: str, x: Any, index: Any) -> Any:
    """`x[index]` of an array.

    Index arrays of the host are checked before they are sent to a GPU. Those that are there already
    are not read back: what they look up out of bounds is NaN, if x is floating.

    Raises IndexError, ShapeError or DtypeError that say which part of the index does not fit.
    """
    if type(x) is not np.ndarray and on_device(x):
        _refuse(where, x, index)
        return lost(x[index], index, x.shape)
    try:
        return x[index]
    except (IndexError, TypeError, ValueError) as error:
        _refuse(where, x, index)
        raise error


def rows_at(where: str, k: Any, x: Any, index: Any) -> Any:
    """`x[index]` for an array of integers: by the kernel for rows, if `k` has one of its own.

    Raises what `element` raises.
    """
    if "gather_rows" not in getattr(k, "_faster", ()):
        return element(where, x, (index,))
    _refuse(where, x, (index,))
    return k.gather_rows(x, index)


def lost(y: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """y, what lies (or shall lie) at an index of an array of `shape`, but NaN where that is none.

    CuPy takes indices that are out of bounds from the other end, without a word.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    used = sum(map(_consumed, parts))
    inside, axis, places, behind = None, 0, [], []
    for part in parts:
        if on_device(part) and part.dtype.kind != "b":
            size = shape[axis]
            here = (part >= -size) & (part < size)
            inside = here if inside is None else inside & here
        axes = len(shape) - used if part is Ellipsis else _consumed(part)
        if part is None or part is Ellipsis or isinstance(part, slice):
            behind.append(1 if part is None else axes)
        else:
            places.append(len(behind))
        axis += axes
    if inside is None or y.dtype.kind != "f":
        return y
    behind.append(len(shape) - axis)
    # Index arrays next to each other put their axes where they stand, others in front.
    after = sum(behind[places[0] :] if places[0] == places[-1] else behind)
    nan = y.dtype.type("nan")
    return np.where(inside[(..., *[None] * after)], y, nan)  # CuPy's own, for its arrays


def _refuse(where: str, x: Any, index: Any) -> None:
    """Raises the error that tells what is wrong with an index, if that can be found."""
    told = f"{where}: x has {describe(x)}"
    parts = [_part(told, each) for each in (index if isinstance(index, tuple) else (index,))]
    lengths = [_consumed(each) for each in parts]
    if sum(each is Ellipsis for each in parts) > 1:
        raise IndexError(f"{told}; give one ellipsis (...) at most")
    if sum(lengths) > x.ndim:
        raise IndexError(
            f"{told}: an index for {sum(lengths)} axes is too much for {x.ndim}; leave out "
            "what is too many, or add axes with None"
        )
    if not on_device(x) and any(map(on_device, parts)):
        raise DeviceError(f"{told}, and is on the CPU, but the index is not; index.cpu() is")
    axis, arrays = 0, []
    for part, length in zip(parts, lengths, strict=True):
        if part is Ellipsis:
            axis += x.ndim - sum(lengths)
        elif is_array(part) and part.dtype.kind == "b":
            if part.shape != x.shape[axis : axis + part.ndim]:
                raise ShapeError(
                    f"{told}; a mask from axis {axis} on must have shape "
                    f"{x.shape[axis : axis + part.ndim]}, got {describe(part)}; a mask of another "
                    "shape may be broadcast first, with cr.broadcast_to"
                )
            if not on_device(part):
                arrays.append((int(np.count_nonzero(part)),) if part.ndim else ())
        elif on_device(part):
            arrays.append(part.shape)
        elif is_array(part):
            size = x.shape[axis]
            wrong = part[(part < -size) | (part >= size)]
            if wrong.size:
                allowed = f"give {-size} to {size - 1}" if size else "it has no elements"
                raise IndexError(
                    f"{told}; index {wrong.reshape(-1)[0]} is out of bounds for axis {axis} of "
                    f"length {size}; {allowed}"
                )
            arrays.append(part.shape)
        axis += length
    try:
        np.broadcast_shapes(*arrays)
    except ValueError:
        raise ShapeError(
            f"{told}; index arrays of shapes {', '.join(map(str, arrays))} cannot be broadcast "
            "together; to take every combination, give them as np.ix_ does: (n, 1) beside (m,)"
        ) from None


def _part(told: str, part: Any) -> Any:
    """One part of an index, with an array for what is no slice, None or ellipsis."""
    if part is None or part is Ellipsis:
        return part
    if isinstance(part, slice):
        for bound in (part.start, part.stop, part.step):
            if not (bound is None or hasattr(bound, "__index__")):
                raise DtypeError(f"{told}; a slice takes integers, got {describe(bound)}")
        if part.step is not None and operator.index(part.step) == 0:
            raise ShapeError(f"{told}; a slice with step 0 goes nowhere; give another step")
        return part
    array = part if on_device(part) else np.asarray(part)
    if array.dtype.kind not in "biu":
        cast = "; convert it with .astype('int64')" if array.dtype.kind == "f" else ""
        raise DtypeError(
            f"{told}; an index is made of integers, slices, None, ... and arrays of integers or "
            f"booleans, got {describe(part)}{cast}"
        )
    return array


def _consumed(part: Any) -> int:
    """How many axes of x a part of an index is for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if is_array(part) and part.dtype.kind == "b" else 1


def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    value = as_operand(value, "x[index] = value")
    tracked = self._node is not None or (isinstance(value, Tensor) and value._node is not None)
    if state.recording and tracked:
        raise GradientError(
            "x[index] = value: a tensor in a graph cannot be changed in place while recording; "
            "write x = x.at[index].set(value) for a new tensor, through which gradients flow, or "
            "change it in `with cr.no_grad():`"
        )
    raw, index = together(self._device, value, "x[index] = value"), raw_index(index)
    if repeats(self._data):
        raise ShapeError(
            f"x[index] = value: x has {describe(self)}, and repeats the memory of a smaller "
            "tensor (cr.broadcast_to); change a copy of it, as of x * 1"
        )
    try:
        if on_device(self._data):
            _refuse("x[index] = value", self._data, index)
        if on_device(self._data) and not never_repeats(index):
            self._data[...] = RECORDS["index_set"].function(self, value, index)._data
        else:
            self._data[index] = raw
    except (IndexError, ValueError, TypeError) as error:
        part = element("x[index] = value", self._data, index)
        raise ShapeError(
            f"x[index] = value: x[index] has {describe(part)}, value {describe(raw)}: {error}"
        ) from error
    mark_changed(self._storage)


def repeats(array: Any) -> bool:
    """Is one place of the memory the element at several indices?"""
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    return any(n > 1 and not step for n, step in zip(array.shape, array.strides, strict=True))


class At:
    """`x.at`: what makes, from an index, the functional updates of a tensor.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0, 3.0])
    >>> x.at[1].set(0.0).tolist(), x.at[[0, 0]].add(1.0).tolist(), x.tolist()
    ([1.0, 0.0, 3.0], [3.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    """

    __slots__ = ("_x",)

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Update:
        return Update(self._x, index)


class Update:
    """`x.at[index]`: new tensors that differ from x at an index."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Tensor, index: Any) -> None:
        self._x, self._index = x, raw_index(index)

    def set(self, values: Any) -> Tensor:
        """A copy of x with `values` at the index: see `chainrule.index_set`."""
        return RECORDS["index_set"].function(self._x, values, self._index)

    def add(self, values: Any) -> Tensor:
        """A copy of x to which `values` are added at the index: see `chainrule.index_add`."""
        return RECORDS["index_add"].function(self._x, values, self._index)


Tensor.__setitem__ = __setitem__  # type: ignore[method-assign]
Tensor.at = property(  # type: ignore[attr-defined]
    At, doc="Functional updates: `x.at[index].set(values)` and `x.at[index].add(values)`."
)
