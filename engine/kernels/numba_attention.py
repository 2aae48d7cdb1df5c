"""Attention, and softmax along the last axis, with and without a mask, compiled.

Measured on one core of a Zen 5 in float32, in µs, the reference against these loops, forward and
backward, for 4,096 rows of 64 and 1,024 rows of 1,024, and for 16 samples of 4 heads with 64
queries and keys of width 32:

    softmax           530 + 180 / 90 + 41         990 + 500 / 330 + 140
    masked_softmax    1,200 + 840 / 200 + 53    6,000 + 3,400 / 700 + 160
    attention         910 + 890 / 290 + 390

Loading Numba and the compiled loops takes about 0.6 s, which 1,000 steps of the first size earn
back. Whether a call is compiled depends on its shapes and dtypes alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..devices import REFERENCE, get_device
from .blocks import empty
from .numba_products import DTYPES, of_four_axes

#: Elements of x, or of the weights: fewer are left to the reference.
THRESHOLDS = {
    "attention": 16_384,
    "attention_backward": 16_384,
    "softmax": 32_768,
    "softmax_backward": 32_768,
    "masked_softmax": 32_768,
    "masked_softmax_backward": 32_768,
}


def attention(query: Any, key: Any, value: Any, mask: Any, scale: float) -> tuple[Any, Any]:
    """For each query a mean of the values, and its weights, (..., queries, keys)."""
    lead = _lead("attention", query, key, value)
    if lead is not None:
        from .compiled.attention import attention as compiled

        compute = compiled(query.dtype)
        if compute is not None:
            shape, dtype = (*lead, query.shape[-2]), query.dtype
            q, k, v = (of_four_axes(each, lead) for each in (query, key, value))
            p = empty((*q.shape[:3], k.shape[2]), dtype)
            y = np.empty_like(q, shape=(*q.shape[:3], v.shape[3]))  # laid out as the queries are
            compute(q, k, v, *_mask(mask, p.shape), np.array([scale], dtype), y, p)
            return y.reshape(*shape, v.shape[3]), p.reshape(*shape, k.shape[2])
    result: tuple[Any, Any] = _reference("attention", query, key, value, mask, scale)
    return result


def attention_backward(
    g: Any, weights: Any, query: Any, key: Any, value: Any, mask: Any, scale: float
) -> Any:
    """The gradients of query, key and value."""
    lead = _lead("attention_backward", query, key, value)
    if lead is not None and g.dtype == weights.dtype == query.dtype and g.flags.aligned:
        from .compiled.attention import attention_backward as compiled

        compute = compiled(query.dtype)
        if compute is not None:
            given = [of_four_axes(each, lead) for each in (query, key, value)]
            found = [np.empty_like(each) for each in given]
            p = np.ascontiguousarray(of_four_axes(weights, lead))
            scales = np.array([scale], query.dtype)
            compute(of_four_axes(g, lead), p, *given, *_mask(mask, p.shape), scales, *found)
            return [each.reshape(*lead, *each.shape[2:]) for each in found]
    return _reference("attention_backward", g, weights, query, key, value, mask, scale)


def _lead(name: str, query: Any, key: Any, value: Any) -> tuple[int, ...] | None:
    """The axes in front of the weights, if there is enough to compute here.

    Axes of length 1 are repeated; that the gradients do so, too, is undone by the backward pass.
    """
    given = (query, key, value)
    if max(each.ndim for each in given) > 4 or not query.dtype == key.dtype == value.dtype:
        return None
    if query.dtype not in DTYPES or not all(each.flags.aligned for each in given):
        return None
    lead: tuple[int, ...] = query.shape[:-2]
    if not lead == key.shape[:-2] == value.shape[:-2]:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        if lead != np.broadcast_shapes(lead, value.shape[:-2]):
            return None  # values would share weights
    count = math.prod(lead) * query.shape[-2] * key.shape[-2]
    enough = count >= THRESHOLDS[name] and query.shape[-1] > 0 and value.shape[-1] > 0 < count
    return lead if enough else None


def _mask(mask: Any, shape: tuple[int, ...]) -> tuple[Any, bool]:
    """A mask in the shape of the weights, with rows that are contiguous; and if there is one."""
    if mask is True:
        return np.empty((1, 1, 1, 1), np.uint8), False
    seen = np.asarray(mask)
    if seen.shape[-1:] != shape[-1:] or seen.strides[-1] != 1:
        rows = np.broadcast_to(seen, (*seen.shape[:-1], shape[-1]))
        seen = np.array(rows, order="C")
    return np.broadcast_to(seen.view(np.uint8), shape), True


def softmax(x: Any, axis: Any) -> Any:
    """exp(x) / sum(exp(x)) along an axis, shifted by its maximum so that it cannot overflow."""
    return _softmaxed(x, None) if _fit("softmax", x, axis) else _reference("softmax", x, axis)


def softmax_backward(g: Any, y: Any, axis: Any) -> Any:
    """The gradient of x: y * (g - sum(g * y))."""
    if g.dtype != y.dtype or g.shape != y.shape or not _fit("softmax_backward", y, axis):
        return _reference("softmax_backward", g, y, axis)
    return _pulled(g, y, None)


def masked_softmax(x: Any, mask: Any, axis: Any) -> Any:
    """softmax along an axis of the elements where mask holds; 0 elsewhere."""
    if not _fit("masked_softmax", x, axis):
        return _reference("masked_softmax", x, mask, axis)
    return _softmaxed(x, mask)


def masked_softmax_backward(g: Any, y: Any, mask: Any, axis: Any) -> Any:
    """The gradient of x: y * (g - sum(g * y)), where what is hidden takes no part."""
    alike = g.dtype == y.dtype and g.shape == y.shape
    if not alike or not _fit("masked_softmax_backward", y, axis):
        return _reference("masked_softmax_backward", g, y, mask, axis)
    return _pulled(g, y, mask)


def _softmaxed(x: Any, mask: Any) -> Any:
    from .compiled.softmax import softmax as compiled

    result, x = empty(x.shape, x.dtype), _matrices(x)
    compiled(x.dtype)(x, result.reshape(x.shape), *_blocks(mask, result.shape))
    return result


def _pulled(g: Any, y: Any, mask: Any) -> Any:
    from .compiled.softmax import softmax_backward as compiled

    result, y = empty(y.shape, y.dtype), _matrices(y)
    compiled(y.dtype)(_matrices(g), y, result.reshape(y.shape), *_blocks(mask, result.shape))
    return result


# The arrays ---------------------------------------------------------------------------------


def _fit(name: str, x: Any, axis: Any) -> bool:
    """Is x large enough, and its last axis meant?"""
    return (
        x.size >= max(1, THRESHOLDS[name])
        and x.dtype in DTYPES
        and axis in (-1, x.ndim - 1, (x.ndim - 1,))
    )


def _matrices(x: Any) -> Any:
    """x as a stack of matrices."""
    return np.ascontiguousarray(x).reshape(-1, *((1, *x.shape)[-2:]))


def _blocks(mask: Any, shape: tuple[int, ...]) -> tuple[Any, Any, bool]:
    """The different matrices of a mask, and for each matrix of an array of `shape` its number.

    A mask that is the same for all heads is not repeated for each. The last is whether there is
    a mask.
    """
    if mask is None:
        return np.empty((0, 0, 0), bool), np.empty(0, np.int64), False
    shape = (1, *shape)
    mask = np.asarray(mask)
    mask = mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)
    stack = mask.shape[:-2]
    seen = np.ascontiguousarray(np.broadcast_to(mask, (*stack, *shape[-2:])))
    numbers = np.arange(int(np.prod(stack))).reshape(stack)
    which = np.ascontiguousarray(np.broadcast_to(numbers, shape[:-2])).reshape(-1)
    return seen.reshape(-1, *shape[-2:]), which, True


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](get_device("cpu").sets["reference"], *arguments)
