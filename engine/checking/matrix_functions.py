"""Functions of NumPy on matrices, and norms, that have a version for BranchingArrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .analytic import joined
from .arrays import BranchingArray, plainly, wrapped
from .own_functions import OWN, own
from .refusals import Unsupported

__all__ = ["OWN"]


@own(np.linalg.vecdot)
def vecdot(a: Any, b: Any, *, axis: Any = -1) -> Any:
    """The sum of products along an axis."""
    return (a * b).sum(axis)


@own(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign of the determinant, and the logarithm of its size."""
    x = plainly(a)
    sign, size = np.linalg.slogdet(x.real)
    if x.dtype.kind != "c":
        return wrapped((sign, size))
    turned, _ = np.linalg.slogdet(x)
    angle = np.angle(turned * np.where(sign == 0, 1.0, sign))
    return wrapped((sign + 0j, joined(size, np.where(sign == 0, np.nan, angle))))


@own(np.linalg.cholesky)
def cholesky(a: Any, *, upper: bool = False) -> Any:
    """The triangular root, of the matrix that the lower (upper) triangle gives.

    With A = L Lᵀ + i h E it is L + i h L Φ(L⁻¹ E L⁻ᵀ), where Φ takes the lower triangle and halves
    the diagonal (Murray 2016, Differentiation of the Cholesky decomposition, eq. 8).
    """
    x = plainly(a)
    root = np.linalg.cholesky(x.real, upper=upper)
    if x.dtype.kind != "c":
        return wrapped(root)
    lower = np.swapaxes(root, -1, -2) if upper else root
    part = np.swapaxes(x.imag, -1, -2) if upper else x.imag
    part = np.tril(part) + np.swapaxes(np.tril(part, -1), -1, -2)
    inner = np.linalg.solve(lower, np.swapaxes(np.linalg.solve(lower, part), -1, -2))
    inner = np.tril(inner) * (1 - np.eye(x.shape[-1]) / 2)
    moved = lower @ inner
    return wrapped(joined(root, np.swapaxes(moved, -1, -2) if upper else moved))


@own(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """(Σ |x|^ord)^(1 / ord), the largest or smallest |x|, or how many are not 0."""
    if axis is None and x.ndim != 1:
        shape = (1,) * x.ndim if keepdims else ()
        return np.reshape(vector_norm(np.ravel(x), axis=-1, ord=ord), shape)
    size = abs(x)
    if ord == math.inf:
        return size.max(axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return size.min(axis=axis, keepdims=keepdims)
    if ord == 0:
        return wrapped((size != 0).sum(axis, keepdims=keepdims) + 0j)
    if ord == 1:
        return size.sum(axis, keepdims=keepdims)
    if ord == 2:
        return _root_of_squares(size, axis, keepdims)
    return (size**ord).sum(axis, keepdims=keepdims) ** (1.0 / ord)


def _root_of_squares(size: Any, axis: Any, keepdims: bool) -> Any:
    """√Σ x², with the norm of the direction as slope where all are 0."""
    total = np.sqrt((size * size).sum(axis, keepdims=keepdims))
    x, y = plainly(size), plainly(total)
    zero = y.real == 0
    if x.dtype.kind == "c" and zero.any():
        along = x.imag / (np.abs(x.imag).max(initial=0.0) or 1.0)
        length = np.sqrt((along * along).sum(axis, keepdims=keepdims))
        y.imag[zero] = np.asarray(length * np.abs(x.imag).max(initial=0.0))[zero]
    return total


@own(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors, and of matrices those that are made of elements."""
    x = x if isinstance(x, BranchingArray) else wrapped(np.asarray(x))
    if ord is None or (isinstance(ord, str) and ord == "fro"):
        return vector_norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis
    if not isinstance(axes, tuple) or len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2 or ord not in (1, -1, math.inf, -math.inf):
        raise Unsupported(f"complex step: np.linalg.norm of a matrix with ord={ord!r}")
    row, column = (each % x.ndim for each in axes)
    inner = row if abs(ord) == 1 else column
    outer = column if abs(ord) == 1 else row
    sums = abs(x).sum(inner, keepdims=True)
    result = (sums.max if ord > 0 else sums.min)(axis=outer, keepdims=True)
    return result if keepdims else np.squeeze(result, (row, column))
