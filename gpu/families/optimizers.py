"""Steps of optimisers over flat runs of parameters, in place; the size of a gradient."""

from __future__ import annotations

from typing import Any

from chainrule.engine.devices import REFERENCE

from ..rows import MOST_PIECES
from ..table import I32, I64, REAL, U8, entry, reads, scalar, updates, writes

sgd = entry(
    "optimizers",
    "sgd_step",
    updates("w", REAL, "size"),
    reads("g", REAL, "size"),
    updates("velocity", REAL, "size", optional=True),
    scalar("size", I64),
    scalar("rate", REAL),
    scalar("momentum", REAL),
    scalar("nesterov", I32),
    scalar("decay", REAL),
)

adam = entry(
    "optimizers",
    "adam_step",
    updates("w", REAL, "size"),
    reads("g", REAL, "size"),
    updates("m", REAL, "size"),
    updates("v", REAL, "size"),
    scalar("size", I64),
    scalar("rate", REAL),
    scalar("keep_m", REAL),
    scalar("keep_v", REAL),
    scalar("renew_m", REAL),
    scalar("renew_v", REAL),
    scalar("correct_m", REAL),
    scalar("correct_v", REAL),
    scalar("epsilon", REAL),
    scalar("decay", REAL),
    scalar("as_printed", I32),
)

square_sums = entry(
    "optimizers",
    "square_sums",
    reads("x", REAL, "size"),
    writes("sums", REAL, "parts"),
    scalar("size", I64),
    scalar("parts", I32),
)

odd_parts = entry(
    "optimizers",
    "odd_parts",
    reads("x", REAL, "size"),
    writes("odd", I32, "parts"),
    scalar("size", I64),
    scalar("parts", I32),
)

none_odd = entry(
    "optimizers",
    "none_odd",
    reads("odd", I32, "count"),
    writes("result", U8, "1"),
    scalar("count", I32),
)

clip = entry(
    "optimizers",
    "clip_to_norm",
    updates("g", REAL, "size"),
    reads("norm", REAL, "1"),
    scalar("size", I64),
    scalar("limit", REAL),
)


def _suit(*arrays: Any) -> bool:
    """Are they runs that a kernel may change: not empty, of one real dtype, without gaps?"""
    first = arrays[0]
    return (
        first.size > 0
        and first.dtype.name in ("float32", "float64")
        and all(
            each.dtype == first.dtype and each.size == first.size and each.flags.c_contiguous
            for each in arrays
        )
    )


def _blocks(x: Any) -> int:
    return min(-(-x.size * x.itemsize // (16 * 256)), 65_536)


def sgd_step(
    k: Any,
    w: Any,
    g: Any,
    velocity: Any,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """w <- w - learning_rate * g; with momentum, velocity takes the place of g."""
    rates = (learning_rate, momentum, nesterov, weight_decay)
    speed = velocity if momentum else None
    if _suit(w, g) if speed is None else _suit(w, g, speed):
        sgd(k, w, g, speed, w.size, *rates, grid=_blocks(w))
    else:
        REFERENCE["sgd_step"](k, w, g, velocity, *rates)


def adam_step(
    k: Any,
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    t: int,
) -> None:
    """Algorithm 1 of Kingma and Ba (2015), step t = 1, 2, ..."""
    if _suit(w, g, m, v):
        _adam(k, w, g, m, v, learning_rate, beta_1, beta_2, t, epsilon, weight_decay, False)
    else:
        rates = (learning_rate, beta_1, beta_2, epsilon, weight_decay, t)
        REFERENCE["adam_step"](k, w, g, m, v, *rates)


def adam_step_as_printed(
    k: Any,
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    t: int,
) -> None:
    """The rule as the source prints it: v is computed, and never used."""
    if _suit(w, g, m, v):
        _adam(k, w, g, m, v, learning_rate, beta_1, beta_2, t, 0.0, 0.0, True)
    else:
        REFERENCE["adam_step_as_printed"](k, w, g, m, v, learning_rate, beta_1, beta_2, t)


def _adam(
    k: Any,
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    rate: float,
    beta_1: float,
    beta_2: float,
    t: int,
    *rest: float,
) -> None:
    # In Python's double precision: 1 - beta would lose digits in float32.
    renew, correct = (1 - beta_1, 1 - beta_2), (1 / (1 - beta_1**t), 1 / (1 - beta_2**t))
    numbers = (rate, beta_1, beta_2, *renew, *correct, *rest)
    adam(k, w, g, m, v, w.size, *numbers, grid=_blocks(w))


# The size of a gradient ---------------------------------------------------------------------


def _parts(size: int) -> int:
    """Into how many parts a sum of `size` elements is cut, which decides the result's last bits."""
    return min(-(-size // 8192), MOST_PIECES)


def sum_of_squares(k: Any, g: Any) -> Any:
    """The sum of the squares of all elements, a 0-d array of g's dtype; always in one order."""
    if not g.size or g.dtype.name not in ("float32", "float64"):
        return REFERENCE["sum_of_squares"](k, g)
    parts = _parts(g.size)
    sums = k.xp.empty(parts, g.dtype)
    square_sums(k, k.xp.ascontiguousarray(g), sums, g.size, parts, grid=parts)
    return k.sum(sums)


def clip_to_norm(k: Any, g: Any, norm: Any, limit: float) -> None:
    """g <- g * limit / norm, where the norm is above the limit; the norm is a 0-d array."""
    if _suit(g):
        g = g.reshape(-1)  # a view
        norm = k.xp.asarray(norm, g.dtype).reshape(1)
        clip(k, g, norm, g.size, limit, grid=_blocks(g))
    else:
        REFERENCE["clip_to_norm"](k, g, norm, limit)


def all_finite(k: Any, x: Any) -> Any:
    """Is no element infinite or NaN? A 0-d array of a boolean."""
    if not x.size or x.dtype.name not in ("float32", "float64"):
        return REFERENCE["all_finite"](k, x)
    parts = _parts(x.size)
    odd, result = k.xp.empty(parts, "int32"), k.xp.empty(1, "uint8")
    odd_parts(k, k.xp.ascontiguousarray(x), odd, x.size, parts, grid=parts)
    none_odd(k, odd, result, parts, grid=1)
    return result.view(bool).reshape(())


REPLACES = (
    "sgd_step",
    "adam_step",
    "adam_step_as_printed",
    "sum_of_squares",
    "clip_to_norm",
    "all_finite",
)
