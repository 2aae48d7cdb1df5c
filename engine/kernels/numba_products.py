"""Products of matrices on the CPU: large ones in blocks that stay in vector registers.

Small products, and all on a processor whose vector registers are not known, are NumPy's. How fast
both are is in docs/performance.md. Which of them computes depends on the shape alone.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..offers import empty

#: Products of numbers: fewer are left to NumPy, whose OpenBLAS computes up to here on one thread.
#: Above, it wakes threads of its own, which spin for long on the cores that ours need.
SMALL, SMALL_VECTOR = 262_144, 9_216
#: What is computed here; in the machine's order of bytes, so these very objects.
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def matmul(a: Any, b: Any) -> Any:
    """The product of two matrices, as `numpy.matmul`."""
    if a.ndim == 2 and b.ndim == 2 and a.dtype == b.dtype and a.shape[1] == b.shape[0]:
        rows, columns = a.shape[0], b.shape[1]
        work = a.size * columns
        least = SMALL_VECTOR if rows == 1 or columns == 1 else SMALL
        if work > least and _suits(a) and _suits(b):
            multiply = _multiplier(a.dtype)
            if multiply is not None:
                c = empty((rows, columns), a.dtype)
                multiply(a, b, c, False)
                return c
    return np.matmul(a, b)


@functools.cache
def _multiplier(dtype: Any) -> Any:
    """The compiled product of (a, b, c, add), None where there is none."""
    from .compiled.products import multiplier

    return multiplier(dtype)


def _suits(x: Any) -> bool:
    """Are the numbers aligned ones of the machine's, and the rows or the columns contiguous?"""
    flags = x.flags
    return (flags.c_contiguous or flags.f_contiguous) and flags.aligned and x.dtype in DTYPES
