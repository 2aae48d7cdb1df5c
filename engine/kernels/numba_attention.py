"""Softmax along the last axis, with and without a mask, compiled by Numba around NumPy's exp.

Measured on one core of an AVX-512 machine in float32, in µs, the reference against these loops,
forward and backward, for 4,096 rows of 64 and 1,024 rows of 1,024:

    softmax           505 + 182 / 152 + 55       990 + 570 / 580 + 165
    masked_softmax    727 + 352 / 204 + 55    1,680 + 1,150 / 660 + 160

Loading Numba and the compiled loops takes about 0.6 s, which 1,000 steps of the first size earn
back. Whether a call is compiled depends on the shape alone.

Numba's exp takes 3.7 ns a number, NumPy's 0.3: so it is called between two loops. Maxima are
taken in lanes, since LLVM makes vector instructions of a maximum only where there is no NaN.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from ..devices import REFERENCE, get_device

#: Elements of x: fewer are left to the reference.
THRESHOLDS = dict.fromkeys(
    ("softmax", "softmax_backward", "masked_softmax", "masked_softmax_backward"), 32_768
)
#: Maxima taken side by side.
LANES = 16


def softmax(x: Any, axis: Any) -> Any:
    """exp(x) / sum(exp(x)) along an axis, shifted by its maximum so that it cannot overflow."""
    if not _fit("softmax", x, axis):
        return _reference("softmax", x, axis)
    rows, result = _rows(x), np.empty(x.shape, x.dtype)
    out = result.reshape(rows.shape)
    _compiled(_shift, x.dtype, "mm")(rows, out)
    return _finished(result, out)


def softmax_backward(g: Any, y: Any, axis: Any) -> Any:
    """The gradient of x: y * (g - sum(g * y))."""
    if g.dtype != y.dtype or g.shape != y.shape or not _fit("softmax_backward", y, axis):
        return _reference("softmax_backward", g, y, axis)
    seen = np.ones((1, 1, y.shape[-1]), bool)  # a loop without would earn 15 µs in 55
    return _pulled(
        _rows(g)[:, None], _rows(y)[:, None], seen, np.zeros(y.size // y.shape[-1], int), y.shape
    )


def masked_softmax(x: Any, mask: Any, axis: Any) -> Any:
    """softmax along an axis of the elements where mask holds; 0 elsewhere."""
    if not _fit("masked_softmax", x, axis):
        return _reference("masked_softmax", x, mask, axis)
    result = np.empty(x.shape, x.dtype)
    seen, which = _blocks(mask, x.shape)
    blocks = _matrices(x)
    out = result.reshape(blocks.shape)
    _compiled(_shift_seen, x.dtype, "bbiB")(blocks, out, which, seen)
    return _finished(result, result.reshape(-1, x.shape[-1]))


def masked_softmax_backward(g: Any, y: Any, mask: Any, axis: Any) -> Any:
    """The gradient of x: y * (g - sum(g * y)), where what is hidden takes no part."""
    alike = g.dtype == y.dtype and g.shape == y.shape
    if not alike or not _fit("masked_softmax_backward", y, axis):
        return _reference("masked_softmax_backward", g, y, mask, axis)
    return _pulled(_matrices(g), _matrices(y), *_blocks(mask, y.shape), y.shape)


def _pulled(g: Any, y: Any, seen: Any, which: Any, shape: tuple[int, ...]) -> Any:
    """The gradient, of stacks of matrices, in another shape."""
    result = np.empty(y.shape, y.dtype)
    _compiled(_pull_seen, y.dtype, "bbbiB")(g, y, result, which, seen)
    return result.reshape(shape)


# The arrays ---------------------------------------------------------------------------------


def _fit(name: str, x: Any, axis: Any) -> bool:
    """Is x large enough, and its last axis meant?"""
    return (
        x.size >= max(1, THRESHOLDS[name])
        and x.dtype.kind == "f"
        and axis in (-1, x.ndim - 1, (x.ndim - 1,))
    )


def _rows(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def _matrices(x: Any) -> Any:
    """x as a stack of matrices."""
    return np.ascontiguousarray(x).reshape(-1, *((1, *x.shape)[-2:]))


def _blocks(mask: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The different matrices of a mask, and for each matrix of an array of `shape` its number.

    A mask that is the same for all heads is not repeated for each.
    """
    shape = (1, *shape)
    mask = np.asarray(mask)
    mask = mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)
    stack = mask.shape[:-2]
    seen = np.ascontiguousarray(np.broadcast_to(mask, (*stack, *shape[-2:])))
    numbers = np.arange(int(np.prod(stack))).reshape(stack)
    which = np.ascontiguousarray(np.broadcast_to(numbers, shape[:-2])).reshape(-1)
    return seen.reshape(-1, *shape[-2:]), which


def _finished(result: Any, rows: Any) -> Any:
    """The result, of the shifted rows in its memory: their exponentials, over their sums."""
    np.exp(result, out=result)
    _compiled(_divide, result.dtype, "m")(rows)
    return result


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](get_device("cpu").sets["reference"], *arguments)


# The loops ----------------------------------------------------------------------------------


def _shift(x: Any, out: Any) -> None:
    rows, n = x.shape
    whole = n - n % LANES
    tops = np.empty(LANES, x.dtype)
    for i in range(rows):
        tops[:] = -np.inf
        for start in range(0, whole, LANES):
            for lane in range(LANES):
                value = x[i, start + lane]
                tops[lane] = value if value > tops[lane] else tops[lane]
        top = tops[0]
        for lane in range(1, LANES):
            top = tops[lane] if tops[lane] > top else top
        for j in range(whole, n):
            top = x[i, j] if x[i, j] > top else top
        for j in range(n):
            out[i, j] = x[i, j] - top


def _shift_seen(x: Any, out: Any, which: Any, seen: Any) -> None:
    _, rows, n = x.shape
    whole = n - n % LANES
    tops = np.empty(LANES, x.dtype)
    nothing = x.dtype.type(-np.inf)
    for b in range(len(which)):
        m = which[b]
        for i in range(rows):
            for j in range(n):
                out[b, i, j] = x[b, i, j] if seen[m, i, j] else nothing
            tops[:] = nothing
            for start in range(0, whole, LANES):
                for lane in range(LANES):
                    value = out[b, i, start + lane]
                    tops[lane] = value if value > tops[lane] else tops[lane]
            top = tops[0]
            for lane in range(1, LANES):
                top = tops[lane] if tops[lane] > top else top
            for j in range(whole, n):
                top = out[b, i, j] if out[b, i, j] > top else top
            if top == nothing:
                top = x.dtype.type(0)
            for j in range(n):
                out[b, i, j] -= top


def _divide(x: Any) -> None:
    rows, n = x.shape
    for i in range(rows):
        total = x.dtype.type(0)
        for j in range(n):
            total += x[i, j]
        if total == 0:
            total = x.dtype.type(1)
        for j in range(n):
            x[i, j] /= total


def _pull_seen(g: Any, y: Any, result: Any, which: Any, seen: Any) -> None:
    _, rows, n = y.shape
    nothing = y.dtype.type(0)
    for b in range(len(which)):
        m = which[b]
        for i in range(rows):
            total = y.dtype.type(0)
            for j in range(n):
                share = g[b, i, j] * y[b, i, j] if seen[m, i, j] else nothing
                result[b, i, j] = share
                total += share
            for j in range(n):
                result[b, i, j] -= y[b, i, j] * total


@functools.cache
def _compiled(loop: Callable[..., None], dtype: Any, kinds: str) -> Callable[..., None]:
    """A loop as machine code: compiled once for arrays of one dtype, then kept on disk.

    `kinds` has a letter for each argument: a matrix, a block of matrices, integers, booleans.
    """
    import numba

    scalar = numba.from_dtype(dtype)
    types = {"m": scalar[:, ::1], "b": scalar[:, :, ::1]}
    types |= {"i": numba.int64[::1], "B": numba.boolean[:, :, ::1]}
    signature = tuple(types[kind] for kind in kinds)

    def machine(cache: bool) -> Any:
        flags = {"reassoc", "contract"}
        function = numba.njit(error_model="numpy", nogil=True, fastmath=flags, cache=cache)(loop)
        function.compile(signature)
        return function

    try:
        return machine(cache=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        # As in numba_optimizers: no folder for the cache, a full disk, or a damaged file.
        return machine(cache=False)
