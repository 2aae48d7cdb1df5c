"""CuPy's ufuncs: NumPy's, computed in the dtypes for which CuPy has a loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import SCALARS, StrictArray, operand, parts_of, uploaded, wrapped
from .names import NAMES

_KINDS = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def _loop(name: str, inputs: list[Any]) -> tuple[str, str]:
    """The dtypes, as characters, in which CuPy computes with these inputs, and of the results.

    It is the first loop to which all can be cast safely. Python numbers take the dtype of what they
    meet, unless they are of a wider kind than all of it.
    """
    weak = [type(each) if type(each) in SCALARS else None for each in inputs]
    dtypes = [np.asarray(each).dtype for each in inputs]
    kinds = [_KINDS[each.kind] for each in dtypes]
    strong = [kind for kind, each in zip(kinds, weak, strict=True) if each is None]
    soft = [kind for kind, each in zip(kinds, weak, strict=True) if each is not None]
    if not strong or (soft and max(soft) > max(strong)):
        weak = [None] * len(inputs)
    for loop in NAMES["ufuncs"][name]["types"]:
        before, after = loop.split("->")
        for dtype, number, char in zip(dtypes, weak, before, strict=True):
            if np.can_cast(dtype, char):
                continue
            if number is None or np.result_type(number(0), np.dtype(char)) != np.dtype(char):
                break
        else:
            return before, after
    raise TypeError(f"Wrong type ({dtypes}) of arguments for cupy_{name}")


def _quotient(x: Any, y: Any) -> Any:
    return np.floor_divide(x, y) if x.dtype.kind in "biu" else np.floor(x / y)


def _power(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.power(x, y)
    odd = np.where(y % 2, x, 1)
    below = np.where(x == -1, odd, x == 1)
    return np.where(y < 0, below, np.power(x, np.maximum(y, 0)))


#: What CuPy computes in another way than NumPy: see the routines of its ufuncs.
_FORMULAS = {
    "floor_divide": _quotient,
    "remainder": lambda x, y: (x - _quotient(x, y) * y) * (1 if x.dtype.kind == "f" else y != 0),
    "power": _power,
}


class StrictUfunc:
    """One ufunc."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.known = NAMES["ufuncs"][name]
        self.numpy = getattr(np, name)

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind"
    ) -> Any:
        count = self.known["inputs"]
        if not count <= len(args) <= count + self.known["outputs"]:
            raise TypeError(f"Wrong number of arguments for cupy_{self.__name__}: {len(args)}")
        if len(args) > count:
            out = args[count]
        inputs = [operand(each) for each in args[:count]]
        before, after = _loop(self.__name__, inputs)
        if dtype is not None:
            before, after = np.dtype(dtype).char * count, np.dtype(dtype).char * len(after)
        with np.errstate(all="ignore"):
            cast = [np.asarray(x).astype(c) for x, c in zip(inputs, before, strict=True)]
            results = _FORMULAS.get(self.__name__, self.numpy)(*cast)
            results = results if isinstance(results, tuple) else (results,)
            results = tuple([np.asarray(x).astype(c) for x, c in zip(results, after, strict=True)])
            if out is not None:
                memory, (result,) = operand(out), results
                if not np.can_cast(result.dtype, memory.dtype, casting):
                    raise TypeError(
                        f"output (typecode '{result.dtype.char}') could not be coerced to "
                        f"provided output parameter (typecode '{memory.dtype.char}')"
                    )
                if np.broadcast_shapes(result.shape, memory.shape) != memory.shape:
                    raise ValueError("Out shape is mismatched")
                memory[...] = result
                return out
        return wrapped(results[0]) if len(results) == 1 else wrapped(results)

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        method = {"add": "sum", "multiply": "prod"}.get(self.__name__)
        if method is None:
            raise NotImplementedError(f"`cupy_{self.__name__}.reduce` is not supported yet")
        return getattr(_device(array), method)(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
        method = {"add": "cumsum", "multiply": "cumprod"}.get(self.__name__)
        if method is None:
            raise NotImplementedError(f"`cupy_{self.__name__}.accumulate` is not supported yet")
        return getattr(_device(array), method)(axis, dtype, out)

    def reduceat(
        self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None
    ) -> Any:
        if self.__name__ != "add":
            raise NotImplementedError(f"`cupy_{self.__name__}.reduceat` is not supported yet")
        return wrapped(np.add.reduceat(operand(array), operand(indices), axis, dtype))

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if not self.known["at"]:
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        if self.__name__ != "add":
            self.numpy.at(operand(a), tuple(parts_of(indices)), uploaded(b))
        else:
            _device(a).scatter_add(indices, b)

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        a, b = wrapped(uploaded(a)), wrapped(uploaded(b))
        return self(a.reshape(a.shape + (1,) * b.ndim), b, **kwargs)


def _device(array: Any) -> StrictArray:
    if type(array) is not StrictArray:
        raise TypeError(f"Unsupported type {type(array)}")
    return array
