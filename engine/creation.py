"""Functions that make tensors; names and arguments are those of the Python array API standard."""

from __future__ import annotations

from typing import Any

from .arguments import shape_of
from .devices import get_device
from .dtypes import as_dtype, default_dtype
from .errors import DtypeError, ShapeError, describe
from .tensor import Tensor, to_array, wrap


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A Tensor of a number, (nested) list, array or Tensor, which is copied.

    Arguments: `dtype`, by default that of the data (Python floats take the default dtype);
    `requires_grad`: keep gradients with respect to it?

    Raises DtypeError for data that are no numbers and integers that require gradients, ShapeError
    for rows that differ in length.

    >>> import chainrule as cr
    >>> cr.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]], shape=(2, 2), dtype=int64)
    """
    return Tensor(data, dtype, requires_grad, device)


def _made(array: Any, requires_grad: bool, device: Any) -> Tensor:
    result = wrap(array, get_device(device))
    if requires_grad:
        result.requires_grad = True
    return result


def full(
    shape: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """A tensor of a shape whose elements all equal `fill_value`.

    >>> full((2,), 7.0).tolist()
    [7.0, 7.0]
    """
    where = get_device(device)
    value = to_array(fill_value, dtype, "full", where)
    return _made(where.xp.full(shape_of("full", shape), value), requires_grad, device)


def zeros(shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor of zeros, of the default dtype unless one is given.

    >>> zeros((2, 3)).shape
    (2, 3)
    """
    kind = default_dtype() if dtype is None else as_dtype(dtype, "zeros")
    return _made(get_device(device).xp.zeros(shape_of("zeros", shape), kind), requires_grad, device)


def ones(shape: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor of ones, of the default dtype unless one is given.

    >>> ones(3).tolist()
    [1.0, 1.0, 1.0]
    """
    kind = default_dtype() if dtype is None else as_dtype(dtype, "ones")
    return _made(get_device(device).xp.ones(shape_of("ones", shape), kind), requires_grad, device)


def _like(x: Any, dtype: Any, where: str) -> tuple[tuple[int, ...], Any, str]:
    source = x if isinstance(x, Tensor) else Tensor(x)
    return source.shape, source.dtype if dtype is None else as_dtype(dtype, where), source.device


def zeros_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape, dtype and on the device of another tensor.

    >>> zeros_like(tensor([1.5, 2.5])).tolist()
    [0.0, 0.0]
    """
    shape, kind, device = _like(x, dtype, "zeros_like")
    return zeros(shape, kind, requires_grad, device)


def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape, dtype and on the device of another tensor.

    >>> ones_like(tensor([1.5, 2.5])).tolist()
    [1.0, 1.0]
    """
    shape, kind, device = _like(x, dtype, "ones_like")
    return ones(shape, kind, requires_grad, device)


def full_like(x: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value in the shape, dtype and on the device of another tensor.

    >>> full_like(tensor([1.5, 2.5]), 4).tolist()
    [4.0, 4.0]
    """
    shape, kind, device = _like(x, dtype, "full_like")
    return full(shape, fill_value, kind, requires_grad, device)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """The numbers start, start + step, ... before stop; from 0 if only one bound is given.

    Raises ShapeError if `step` is 0.

    >>> arange(3).tolist(), arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    if step == 0:
        raise ShapeError("arange: step must not be 0")
    if stop is None:
        start, stop = 0, start
    if dtype is None and any(isinstance(each, float) for each in (start, stop, step)):
        dtype = default_dtype()
    kind = None if dtype is None else as_dtype(dtype, "arange")
    return _made(get_device(device).xp.arange(start, stop, step, kind), requires_grad, device)


def linspace(
    start: float,
    stop: float,
    num: int,
    dtype: Any = None,
    endpoint: bool = True,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """`num` numbers at equal distances from start to stop, with the end unless told otherwise.

    >>> linspace(0.0, 1.0, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    kind = default_dtype() if dtype is None else as_dtype(dtype, "linspace")
    array = get_device(device).xp.linspace(start, stop, num, dtype=kind, endpoint=endpoint)
    return _made(array, requires_grad, device)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    k: int = 0,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere.

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    kind = default_dtype() if dtype is None else as_dtype(dtype, "eye")
    shape = shape_of("eye", (n_rows, n_rows if n_cols is None else n_cols))
    return _made(get_device(device).xp.eye(*shape, k, kind), requires_grad, device)


def one_hot(labels: Any, num_classes: int, dtype: Any = None) -> Tensor:
    """A last axis of `num_classes` that is 1 at each label and 0 elsewhere.

    Arguments: `labels`, integers from 0 to num_classes - 1, of any shape.

    Raises DtypeError for labels that are no integers, ValueError for labels outside the classes.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    source = labels if isinstance(labels, Tensor) else Tensor(labels)
    if source.dtype.kind not in "iu":
        raise DtypeError(
            f"one_hot: labels must be integers, got {describe(source)}; use .astype('int64')"
        )
    raw = source._data
    if raw.size and not (raw.min() >= 0 and raw.max() < num_classes):
        wrong = raw[(raw < 0) | (raw >= num_classes)].reshape(-1)[0]
        raise ValueError(f"one_hot: label {wrong} is outside of the classes 0 to {num_classes - 1}")
    kind = default_dtype() if dtype is None else as_dtype(dtype, "one_hot")
    xp = source._device.xp
    return wrap(xp.eye(num_classes, dtype=kind)[raw], source._device)
