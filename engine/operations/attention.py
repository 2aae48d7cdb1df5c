"""Attention: a softmax that leaves out what is hidden, and the weighted means made with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import axis_of, boolean, number
from ..cases import case
from ..definitions import composition, operation
from ..errors import DtypeError, ShapeError, describe
from ..placing import constant
from ..record import tensor_functions as F
from ..tensor import Tensor, wrap
from .reductions import floating


def checked_mask(where: str, name: str, mask: Any, shape: tuple[int, ...]) -> Any:
    """A mask, if it is boolean, and can be broadcast to a shape.

    Raises DtypeError or ShapeError if not.
    """
    if type(mask) is bool:
        return mask
    if not hasattr(mask, "dtype"):
        mask = np.asarray(mask)
    if mask.dtype.kind != "b":
        raise DtypeError(
            f"{where}: {name} must be boolean, True where an element takes part, got {name} with "
            f"{describe(mask)}; of zeros and ones, {name} != 0 is one"
        )
    tail = shape[len(shape) - mask.ndim :]
    if mask.ndim > len(shape) or any(n not in (1, m) for n, m in zip(mask.shape, tail)):  # noqa: B905
        raise ShapeError(
            f"{where}: {name} must be broadcast to shape {shape}, got {name} with {describe(mask)}"
        )
    return mask


def _masked_softmax(k: Any, x: Any, mask: Any, axis: Any) -> Any:
    mask = constant(k, checked_mask("masked_softmax", "mask", mask, x.shape))
    axis = axis_of("masked_softmax", axis, x)
    return k.masked_softmax(floating(x), mask, axis) if x.size else x * 1.0


masked_softmax = operation(
    "masked_softmax",
    summary="Softmax along an axis of the elements that a mask shows; 0 for those it hides.",
    formula="y[i] = mask[i] exp(x[i]) / Σ_j mask[j] exp(x[j]), and 0 where the sum is empty",
    derivative={"x": "∂y[i]/∂x[j] = y[i] ([i = j] - y[j])"},
    forward=lambda k, x, mask, *, axis=-1: _masked_softmax(k, x, mask, axis),
    vjp={
        "x": lambda k, g, y, mask, axis: k.masked_softmax_backward(
            g, y, constant(k, mask), axis % y.ndim
        )
    },
    notes="""
    Arguments: `x`, at least one axis; `mask`, boolean, True where an element takes part, broadcast
    to the shape of x; `axis`, an int.

    Hidden elements get exactly 0, with gradient 0, whatever they and their upstream gradients are
    (NaN and inf included). Where everything is hidden the result is 0 as well. Elements shown that
    are -inf get 0, too, also if all of them are; where one is inf or NaN, all of the result is NaN.

    Raises DtypeError for a mask that is not boolean, ShapeError for one that cannot be broadcast to
    x, and errors for `axis` as `softmax` does.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 1.0, 9.0], [1.0, 1.0, 9.0]])
    >>> cr.masked_softmax(x, [[True, True, False], [False, False, False]]).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """,
    cases=[
        case((2, 3), np.array([[True, True, False], [True, True, True]])),
        case((2, 2), np.array([[False, False], [False, True]])),
        case((3, 2), np.array([[True], [True], [False]]), axis=0),
        case((2, 2, 3), np.array([True, False, True])),
        case((1, 2), True),
        case((2, 0), np.zeros((1, 0), bool)),
    ],
)


def _heads(query: Any, key: Any, value: Any, where: str = "scaled_dot_product_attention") -> None:
    """Refuses queries, keys and values that do not fit."""
    told = ", ".join(
        f"{name} has {describe(each)}"
        for name, each in (("query", query), ("key", key), ("value", value))
    )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(f"{where}: each must be (..., time, width); {told}")
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(f"{where}: queries and keys must be of one width; {told}")
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(f"{where}: there must be a value for each key; {told}")


def _fused(k: Any, query: Any, key: Any, value: Any, mask: Any, scale: Any) -> Any:
    _heads(query, key, value, "attention")
    scale = number("attention", "scale", scale)
    if mask is not True:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        shape = (*lead, query.shape[-2], key.shape[-2])
        mask = constant(k, checked_mask("attention", "mask", mask, shape))
    return k.attention(floating(query), floating(key), floating(value), mask, scale)


def _fused_back(
    k: Any, g: Any, weights: Any, query: Any, key: Any, value: Any, mask: Any, scale: Any
) -> Any:
    mask = mask if mask is True else constant(k, mask)
    return (*k.attention_backward(g, weights, query, key, value, mask, scale), None)


def _defined(query: Any, key: Any, value: Any, mask: Any, *, scale: Any) -> Any:
    return F.matmul(_weights(F, query * scale, key, mask), value)


def _weights(k: Any, query: Any, key: Any, mask: Any) -> Any:
    """The weights of values, of queries that are scaled."""
    scores = k.matmul(query, k.matrix_transpose(key))
    return k.softmax(scores, axis=-1) if mask is True else k.masked_softmax(scores, mask, axis=-1)


def _cost(y: Any, query: Any, key: Any, value: Any, mask: Any, scale: Any) -> dict[str, int]:
    """Operations in products: of queries and keys, and of weights and values."""
    pairs = 2 * math.prod(y[:-1]) * key[-2]
    return {
        "y": pairs * (query[-1] + value[-1]),
        "query": pairs * (value[-1] + key[-1]),
        "key": pairs * query[-1],
        "value": pairs * value[-1],
    }


attention = operation(
    "attention",
    summary="Means of values, weighted by the softmax of how well their keys match a query.",
    formula="y = p value, p = masked_softmax(scale query keyᵀ)",
    derivative={
        "query": "scale s key, with h = g valueᵀ and s = p (h - Σ h p)",
        "key": "scale sᵀ query",
        "value": "pᵀ g",
    },
    forward=lambda k, query, key, value, mask, *, scale: _fused(k, query, key, value, mask, scale),
    joint=lambda k, g, needed, residuals, query, key, value, mask, scale: _fused_back(
        k, g, residuals, query, key, value, mask, scale
    ),
    definition=_defined,
    products=_cost,
    notes="""
    In one pass, which keeps the weights for the way back. Arguments: `query`, (..., queries,
    width); `key`, (..., keys, width); `value`, (..., keys, value width); the axes in front are
    broadcast. `mask`, boolean, broadcast to (..., queries, keys), True where a query may attend to
    a key, or just True; `scale`, a number. `scaled_dot_product_attention` has more choices.

    Raises ShapeError for shapes that do not fit, DtypeError for a mask that is not boolean.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.attention([[1.0]], [[0.0], [0.0]], [[1.0], [3.0]], True, scale=1.0).tolist()
    [[2.0]]
    """,
    cases=[
        case((1, 1), (2, 1), (2, 1), True, scale=0.5),
        case((2, 2), (3, 2), (3, 1), True, scale=0.5, symbolic=False),
        case((2, 2), (2, 2), (2, 2), np.array([[True, False], [False, False]]), scale=0.5),
        case(
            *((2, 1, 2, 2), (1, 2, 3, 2), (3, 2), np.array([True, True, False])),
            scale=2.0,
            symbolic=False,
        ),
        case((0, 2), (2, 2), (2, 1), True, scale=1.0),
        case((2, 2), (0, 2), (0, 1), True, scale=1.0),
    ],
)


def causal_mask(queries: int, keys: int, like: Any = None) -> Any:
    """(queries, keys): True where a key is not later than the query.

    It is an array of the host, or a Tensor on the device of `like`, if that is elsewhere.
    """
    if not isinstance(like, Tensor) or like._device.on_host:
        return np.tri(queries, keys, dtype=bool)
    return wrap(like._device.xp.tri(queries, keys, dtype=bool), like._device)


def _scaled(query: Any, scale: Any) -> Any:
    """The scale, or what it is by default."""
    if scale is None:
        return 1 / math.sqrt(query.shape[-1] or 1)
    return number("scaled_dot_product_attention", "scale", scale)


def _seen(query: Any, key: Any, mask: Any, is_causal: bool) -> Any:
    """What a mask shows, and no later key if the attention is causal; True for all."""
    where = "scaled_dot_product_attention"
    if mask is not None:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        mask = checked_mask(where, "mask", mask, (*lead, query.shape[-2], key.shape[-2]))
    if not is_causal:
        return True if mask is None else mask
    causal = causal_mask(query.shape[-2], key.shape[-2], query)
    if mask is None:
        return causal
    if isinstance(mask, Tensor) and mask._device.on_host:
        mask = mask.numpy()
    return mask & causal


def attend(
    k: Any, query: Any, key: Any, value: Any, mask: Any = None, is_causal: bool = False
) -> Any:
    """The means of values, as one operation."""
    seen = _seen(query, key, mask, is_causal)
    return k.attention(query, key, value, seen, scale=_scaled(query, None))


def attention_weights(
    k: Any, query: Any, key: Any, mask: Any = None, is_causal: bool = False, scale: Any = None
) -> Any:
    """How much of each value a query takes, (..., queries, keys); each row sums to 1, or is 0."""
    seen = _seen(query, key, mask, is_causal)
    # The queries are fewer numbers than the scores.
    return _weights(k, query * _scaled(query, scale), key, seen)


def _attention(
    k: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    is_causal: Any,
    scale: Any,
    dropout: Any,
) -> Any:
    _heads(query, key, value)
    is_causal = boolean("scaled_dot_product_attention", "is_causal", is_causal)
    if type(dropout) in (int, float) and not dropout:
        seen = _seen(query, key, mask, is_causal)
        return k.attention(query, key, value, seen, scale=_scaled(query, scale))
    weights = attention_weights(k, query, key, mask, is_causal, scale)
    return k.matmul(k.dropout(weights, dropout), value)


scaled_dot_product_attention = composition(
    "scaled_dot_product_attention",
    summary="For each query a mean of the values, weighted by how well their keys match it.",
    formula="p value, p = softmax(scale query keyᵀ) over the keys that the mask shows",
    derivative={
        "query": "scale s key, with h = g valueᵀ and s = p (h - Σ h p)",
        "key": "scale sᵀ query",
        "value": "pᵀ g",
    },
    forward=lambda k, query, key, value, *, mask=None, is_causal=False, scale=None, dropout=0.0: (
        _attention(k, query, key, value, mask, is_causal, scale, dropout)
    ),
    notes="""
    Arguments: `query`, (..., queries, width); `key`, (..., keys, width); `value`, (..., keys, value
    width); the axes in front (batch, heads) are broadcast. `mask`, boolean, broadcast to (...,
    queries, keys), True where a query may attend to a key; `is_causal`: may it not attend to a
    later one? Both together are allowed. `scale`, by default 1/√width; `dropout`, the share of
    the weights p that are set to 0 at random, whether in training or not. The result has shape
    (..., queries, value width).

    A query that may attend to nothing gets 0, with gradient 0 (PyTorch: NaN).

    Raises ShapeError for shapes that do not fit, DtypeError for a mask that is not boolean.

    Source: Vaswani et al. 2017, Attention Is All You Need, eq. 1.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> cr.scaled_dot_product_attention(x, x, x, is_causal=True).tolist()[0]
    [1.0, 0.0]
    """,
    cases=[
        case((2, 2), (3, 2), (3, 1)),
        case((2, 3, 2), (2, 3, 2), (2, 3, 2), is_causal=True),
        case((2, 2), (2, 2), (2, 2), mask=np.array([[True, False], [False, False]])),
        case((2, 1, 2, 2), (1, 2, 3, 2), (3, 2), mask=np.array([True, True, False]), scale=0.5),
    ],
)
