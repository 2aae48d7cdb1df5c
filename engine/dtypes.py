"""Which dtypes a Tensor may have, and the default for data that does not bring its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import DtypeError

_REFUSED = {
    "float16": "sums and squares overflow or vanish in it; use float32",
    "complex64": "complex tensors are not supported; use the real and imaginary parts",
    "complex128": "complex tensors are not supported; use the real and imaginary parts",
}

_default: np.dtype[Any] | None = None


def as_dtype(dtype: Any, where: str) -> np.dtype[Any]:
    """The NumPy dtype meant by `dtype`, if a Tensor may have it.

    Raises DtypeError for dtypes that are no numbers and for those refused with a reason.

    >>> as_dtype("float32", "tensor")
    dtype('float32')
    """
    try:
        result = np.dtype(dtype).newbyteorder("=")
    except TypeError as error:
        remedy = "use 'float32', 'float64', 'int64' or 'bool'"
        if type(dtype).__module__.partition(".")[0] == "torch":
            remedy += "; of a tensor of PyTorch, cr.from_dlpack(x.detach()) makes one that shares"
            remedy += " its memory"
        raise DtypeError(f"{where}: {dtype!r} is not a dtype; {remedy}") from error
    if result.kind in "biu" or result in (np.float32, np.float64):
        return result
    reason = _REFUSED.get(result.name, "it is not a dtype of numbers; use float32 or float64")
    raise DtypeError(f"{where}: dtype {result} is refused: {reason}")


def set_default_dtype(dtype: Any) -> None:
    """Sets the dtype of tensors made from Python floats, of `zeros` and its like, and of layers.

    Until it is called (and after `set_default_dtype(None)`), tensors made from Python floats are
    float64, as in NumPy, and layers are float32.

    Raises DtypeError unless `dtype` is float32, float64 or None.

    >>> set_default_dtype("float32")
    >>> default_dtype()
    dtype('float32')
    >>> set_default_dtype(None)
    """
    global _default
    if dtype is not None:
        dtype = as_dtype(dtype, "set_default_dtype")
        if dtype.kind != "f":
            raise DtypeError(f"set_default_dtype: {dtype} is no floating dtype; use float32")
    _default = dtype


def default_dtype() -> np.dtype[Any]:
    """The dtype of tensors made from Python floats (float64 unless set).

    >>> default_dtype()
    dtype('float64')
    """
    return np.dtype(np.float64) if _default is None else _default


def default_layer_dtype() -> np.dtype[Any]:
    """The dtype of a layer that is given none (float32 unless set).

    >>> default_layer_dtype()
    dtype('float32')
    """
    return np.dtype(np.float32) if _default is None else _default
