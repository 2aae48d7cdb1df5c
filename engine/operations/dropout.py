"""Dropout: elements set to 0 at random, as a linear operation that can be made again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import integer
from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, describe
from ..random import reserve
from .reductions import floating

#: How many numbers a word of the counter, and a key, can have.
_WORDS = 2**64


def _dropout_call(x: Any, rate: float = 0.5, key: Any = None, first: Any = None) -> Any:
    if isinstance(rate, (bool, np.bool_)) or not isinstance(
        rate, (int, float, np.integer, np.floating)
    ):
        raise DtypeError(f"dropout: rate must be a number, got {describe(rate)}")
    if not 0 <= rate < 1:
        raise ValueError(
            f"dropout: rate is the share of elements that become 0, at least 0 and less than 1, "
            f"got {rate}"
        )
    count = math.prod(np.shape(x))
    if key is None:
        if first is not None:
            raise ValueError(f"dropout: first={first} is a word's number of a key; give key= too")
        key, first = reserve(count)
    key, first = integer("dropout", "key", key), integer("dropout", "first", first or 0)
    if not 0 <= key < _WORDS:
        raise ValueError(f"dropout: key must be at least 0 and less than 2**64, got {key}")
    if first % 4 or not 0 <= first <= 4 * _WORDS - 4 - count:
        raise ValueError(
            "dropout: first must be a multiple of 4 (words come in fours), at least 0, and leave "
            f"room for {count} words before 2**66, got {first}"
        )
    return (x,), {"rate": float(rate), "key": key, "first": first}


dropout = operation(
    "dropout",
    summary="Each element set to 0 with probability `rate`, and otherwise divided by 1 - rate.",
    formula="y[i] = x[i] / (1 - rate) if word[i] >= rate 2³² else 0",
    derivative="∂y/∂x[i] = 1 / (1 - rate) if word[i] >= rate 2³² else 0",
    forward=lambda k, x, *, rate, key, first: k.dropout(floating(x), rate, key, first),
    vjp=lambda k, g, rate, key, first: k.dropout(g, rate, key, first),
    call=_dropout_call,
    notes="""
    The mean of y is x (Srivastava et al. 2014, in the inverted form). `word[i]` is word number
    first + i of Philox 4x32-10 with that 64-bit key, a random integer below 2³²; `first`, by
    default 0, is a multiple of 4. Without a key, the run's own is taken, with words that nobody
    else gets: `cr.seed` makes them the same again. The words are the same on every device, and are
    made anew for the gradient: no mask is kept.

    Raises DtypeError for a rate that is no number, and a key or first that is no integer;
    ValueError for a rate outside 0 <= rate < 1, and for a key or first that is out of range.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.seed(0)
    >>> sorted(set(cr.dropout(cr.ones(100), rate=0.2).tolist()))
    [0.0, 1.25]
    """,
    cases=[
        case((2, 3), rate=0.5, key=7, first=0),
        case((5,), rate=0.25, key=2**40 + 1, first=8),
        case((), rate=0.0, key=1, first=0),
        case((0, 2), rate=0.5, key=1, first=0),
    ],
)
