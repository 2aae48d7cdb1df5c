"""NumPy beside Tensors: NumPy's functions run the record of their name, or raise; never neither.

One number is taken out of the graph by `float(x)`, on purpose: so losses are logged. NumPy calls it
for `array[0] = x` too, which is the same thing; for `array[:1] = x` it asks for an array, and that
raises if the tensor requires gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import GradientError
from .record import RECORDS
from .tensor import Tensor

#: NumPy's name -> ours, where they differ.
_NAMES = {
    "absolute": "abs",
    "true_divide": "divide",
    "concatenate": "concat",
    "amax": "max",
    "amin": "min",
    "invert": "bitwise_invert",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "cumsum": "cumulative_sum",
    "cumprod": "cumulative_prod",
}
#: NumPy's name of an argument -> ours, where they differ.
_ARGUMENTS = {
    "clip": {"a_min": "min", "a_max": "max"},
    "std": {"ddof": "correction"},
    "var": {"ddof": "correction"},
}
_QUESTIONS = ("shape", "ndim", "size")


def _refuse(name: str) -> TypeError:
    return TypeError(
        f"numpy.{name} has no operation in chainrule, and would drop the gradient; use a "
        "function of chainrule, or x.numpy() if no gradient is wanted"
    )


def __array_ufunc__(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's ufuncs on Tensors: the record of that name."""
    record = RECORDS.get(_NAMES.get(ufunc.__name__, ufunc.__name__))
    out = kwargs.pop("out", None)
    if out is not None:
        raise TypeError(
            f"numpy.{ufunc.__name__}: cannot write a Tensor's result into {type(out[0]).__name__}; "
            "write array = array + x.numpy(), or keep the array as a Tensor"
        )
    if method != "__call__" or record is None or kwargs:
        raise _refuse(ufunc.__name__ + ("" if method == "__call__" else f".{method}"))
    return record.function(*inputs)


def __array_function__(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy's other functions on Tensors: the record of that name."""
    name = _NAMES.get(func.__name__, func.__name__)
    if name in _QUESTIONS:
        x: Any = args[0]
        if not x._device.on_host:  # its shape is known without a copy
            x = np.broadcast_to(np.zeros((), x.dtype), x.shape)
        else:
            x = x.numpy()
        return func(x, *args[1:], **kwargs)
    record = RECORDS.get(name)
    if func.__module__ == "numpy.linalg" and name in ("norm", "vector_norm"):
        return _norm(name, *args, **kwargs)
    if record is None or func.__module__ not in ("numpy", "numpy.linalg"):
        raise _refuse(func.__name__)
    if func in (np.trace, np.diagonal) and args and getattr(args[0], "ndim", 2) != 2:
        raise TypeError(
            f"numpy.{name}: of an array with more axes than two NumPy takes the first two, "
            f"chainrule the last two; use cr.{name}, or numpy.linalg.{name}"
        )
    if name == "einsum":
        kwargs.pop("optimize", None)  # a matter of speed, which ours decides by itself
    if name in _ARGUMENTS:
        kwargs = {_ARGUMENTS[name].get(key, key): value for key, value in kwargs.items()}
    return record.function(*args, **kwargs)


def _norm(name: str, x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """NumPy's norms of vectors; of matrices the Frobenius norm, which is that of all elements."""
    if name == "vector_norm":
        return RECORDS["norm"].function(x, 2 if ord is None else ord, axis, keepdims)
    along = x.ndim if axis is None else len(axis) if isinstance(axis, tuple) else 1
    if ord is not None and along != 1:
        raise TypeError(
            f"numpy.linalg.norm: there is no matrix norm of ord={ord!r} in chainrule; use "
            "cr.norm for the norm of the elements, or x.numpy() if no gradient is wanted"
        )
    return RECORDS["norm"].function(x, 2 if ord is None else ord, axis, keepdims)


def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """A NumPy array of the elements, if no gradient is dropped by it."""
    if self.requires_grad:
        raise GradientError(
            "numpy.asarray: this tensor requires gradients, which an array would drop; use "
            "x.numpy() for a read-only view, or x.detach()"
        )
    result = self.numpy()
    if dtype is not None and result.dtype != dtype:
        if copy is False:
            raise ValueError(f"numpy.asarray: {result.dtype} to {dtype} needs a copy; allow it")
        return result.astype(dtype)
    return result.copy() if copy else result


for _hook in (__array_ufunc__, __array_function__, __array__):
    setattr(Tensor, _hook.__name__, _hook)
