"""Products of matrices on the CPU: large ones in blocks that stay in vector registers.

Small products, and all on a processor whose vector registers are not known, are NumPy's. How fast
both are is in docs/performance.md. Which of them computes depends on the shape alone.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..offers import empty
from . import blocks

#: Products of numbers: fewer are left to NumPy, whose OpenBLAS computes up to here on one thread.
#: Above, it wakes threads of its own, which spin for long on the cores that ours need. Of a single
#: row half as many, so that a sample alone has no kernel compiled that its batch does not need.
SMALL, SMALL_VECTOR = 262_144, 9_216
#: The same of each product of a stack, which NumPy gives to OpenBLAS one by one.
SMALL_IN_STACK = 4_096
#: What is computed here; in the machine's order of bytes, so these very objects.
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def matmul(a: Any, b: Any) -> Any:
    """The product of two matrices, or of stacks of them, as `numpy.matmul`."""
    given = type(a) is np.ndarray and type(b) is np.ndarray  # numbers are NumPy's to refuse
    if given and a.dtype == b.dtype and a.ndim >= 2 <= b.ndim and a.shape[-1] == b.shape[-2]:
        if a.ndim == 2 and b.ndim == 2:
            found = _product(a, b)
        elif b.ndim == 2 and a.flags.c_contiguous and a.size:  # one matrix meets all rows
            found = _product(a.reshape(-1, a.shape[-1]), b)
            found = None if found is None else found.reshape(*a.shape[:-1], b.shape[1])
        else:
            found = _stack(a, b)
        if found is not None:
            return found
    return np.matmul(a, b)


def _product(a: Any, b: Any) -> Any:
    """The product of two matrices; None if it is better left to NumPy."""
    rows, columns = a.shape[0], b.shape[1]
    work = a.size * columns
    least = SMALL_VECTOR if columns == 1 else SMALL // 2 if rows == 1 else SMALL
    if work > least and _suits(a) and _suits(b):
        multiply = _multiplier(a.dtype)
        if multiply is not None:
            c = empty((rows, columns), a.dtype)
            multiply(a, b, c, False)
            return c
    return None


def _stack(a: Any, b: Any) -> Any:
    """The products of stacks of matrices; None if they are better left to NumPy."""
    lead = a.shape[:-2]
    if lead != b.shape[:-2]:
        try:
            lead = np.broadcast_shapes(lead, b.shape[:-2])
        except ValueError:
            return None  # NumPy says what is wrong
    (rows, k), columns = a.shape[-2:], b.shape[-1]
    each = rows * k * columns
    if each < SMALL_IN_STACK or each * math.prod(lead) <= SMALL or a.dtype not in DTYPES:
        return None
    if len(lead) > 2 or not (a.flags.aligned and b.flags.aligned):
        return None
    multiply = _stack_multiplier(a.dtype)
    if multiply is None:
        return None
    c = blocks.empty((*lead, rows, columns), a.dtype)
    multiply(of_four_axes(a, lead), of_four_axes(b, lead), of_four_axes(c, lead))
    return c


def of_four_axes(x: Any, lead: tuple[int, ...]) -> Any:
    """A stack of matrices, repeated to `lead`, which are at most two axes, with two in front."""
    if x.shape[:-2] != lead:
        x = np.broadcast_to(x, (*lead, *x.shape[-2:]))
    return x if x.ndim == 4 else x[None] if x.ndim == 3 else x[None, None]


@functools.cache
def _multiplier(dtype: Any) -> Any:
    """The compiled product of (a, b, c, add), None where there is none."""
    from .compiled.products import multiplier

    return multiplier(dtype)


@functools.cache
def _stack_multiplier(dtype: Any) -> Any:
    """The same of (a, b, c), for stacks."""
    from .compiled.products import stack_multiplier

    return stack_multiplier(dtype)


def _suits(x: Any) -> bool:
    """Are the numbers aligned ones of the machine's, and the rows or the columns contiguous?"""
    flags = x.flags
    return (flags.c_contiguous or flags.f_contiguous) and flags.aligned and x.dtype in DTYPES
