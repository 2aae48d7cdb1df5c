"""The kernel set on which operation records run with BranchingArrays: the reference kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import REFERENCE, Kernels, cpu
from .arrays import COMPLEX, BranchingArray, plainly, wrapped


class _Arrays:
    """NumPy, but that new floating arrays are BranchingArrays of complex numbers.

    So code that makes an array and fills it, as the reference kernels do, keeps the slopes.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def array(self, values: Any, dtype: Any = None, **named: Any) -> Any:
        """A new array."""
        return _complex(np.array(plainly(values), _held(values, dtype), **named))

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """An array: a BranchingArray as it is."""
        if isinstance(values, BranchingArray):
            return values if dtype is None else values.astype(dtype)
        return _complex(np.asarray(values, dtype))

    def zeros(self, shape: Any, dtype: Any = np.float64) -> Any:
        """An array of 0."""
        return _complex(np.zeros(shape, dtype))

    def ones(self, shape: Any, dtype: Any = np.float64) -> Any:
        """An array of 1."""
        return _complex(np.ones(shape, dtype))

    def empty(self, shape: Any, dtype: Any = np.float64) -> Any:
        """An array of anything."""
        return _complex(np.empty(shape, dtype))

    def full(self, shape: Any, value: Any, dtype: Any = None) -> Any:
        """An array of one number."""
        return _complex(np.full(shape, plainly(value), _held(value, dtype)))


def _held(values: Any, dtype: Any) -> Any:
    """The dtype for the memory of what has one: complex for any floating one."""
    given = isinstance(values, BranchingArray) and dtype is not None
    return COMPLEX if given and np.dtype(dtype).kind == "f" else dtype


def _complex(x: Any) -> Any:
    """A floating array as a BranchingArray of complex numbers; another as it is."""
    return wrapped(x.astype(COMPLEX, copy=False)) if x.dtype.kind in "fc" else x


def cofactor(x: Any) -> Any:
    """The cofactors as determinants: singular values, which the reference takes, are not analytic.

    Each is a polynomial of the elements, so that matrices of any rank have a slope.
    """
    n, result = x.shape[-1], np.ones_like(x)
    for i in range(n):
        for j in range(n):
            rows, columns = [k for k in range(n) if k != i], [k for k in range(n) if k != j]
            minor = x[..., rows, :][..., columns]
            result[..., i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return result


def linear_recurrence(a: Any, b: Any, axis: int) -> Any:
    """The reference, with both as complex numbers: it writes into a copy of b."""
    arrays = (complex_kernels.asarray(a), complex_kernels.asarray(b))
    return REFERENCE["linear_recurrence"](complex_kernels, *arrays, axis)


#: The reference kernels on BranchingArrays. No device lists this set: no Tensor computes on it.
complex_kernels = Kernels(
    "complex", cpu, _Arrays(), {"cofactor": __name__, "linear_recurrence": __name__}
)
