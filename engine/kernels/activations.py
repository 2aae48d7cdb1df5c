"""References of the activation kernels."""

from __future__ import annotations

from typing import Any

from ..devices import reference


def _floating(x: Any) -> Any:
    """Integers and booleans as float64: the negative of an unsigned one would wrap around."""
    return x * 1.0 if x.dtype.kind in "biu" else x


@reference
def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)), computed from exp(-|x|), which cannot overflow."""
    x = _floating(x)
    decay = xp.exp(-abs(x))
    # The numerator is 1 from 0 on, and exp(x) before; a choice by `where` would be slower.
    return xp.maximum(decay, x >= 0) / (1 + decay)


@reference
def softplus(xp: Any, x: Any) -> Any:
    """log(1 + exp(x)), computed from exp(-|x|), which cannot overflow."""
    x = _floating(x)
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-abs(x)))


@reference
def log_sigmoid(xp: Any, x: Any) -> Any:
    """log(sigmoid(x)), computed from exp(-|x|): exact where sigmoid(x) is 0."""
    x = _floating(x)
    return xp.minimum(x, 0.0) - xp.log1p(xp.exp(-abs(x)))


@reference
def silu(xp: Any, x: Any) -> Any:
    """x * sigmoid(x), and sigmoid(x)."""
    x = _floating(x)
    share = xp.sigmoid(x)
    return xp.maximum(x, -800.0) * share, share  # -inf * 0 would be NaN


def held(xp: Any, x: Any, limit: float) -> Any:
    """x between -limit and limit, where the limits stand for all that is beyond."""
    return xp.maximum(xp.minimum(x, limit), -limit)


#: Beyond these the normal distribution function, and its approximation, are 0 or 1.
GELU_END = 40.0
#: The nearest numbers to sqrt(1/2), 2 sqrt(2/pi) and 1/sqrt(2 pi).
_ROOT_HALF, GELU_TWICE, GELU_DENSITY = 0.7071067811865476, 1.5957691216057308, 0.3989422804014327
#: What x³ counts in the approximation; and three times that, of its derivative.
GELU_CUBIC, GELU_SQUARE = 0.044715, 0.134145


@reference
def gelu(xp: Any, x: Any, approximate: bool) -> Any:
    """x * p, and p: the normal distribution function of x, or the approximation by tanh.

    (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its relative accuracy where it is small; so does
    erfc(-x / sqrt(2)) / 2, which is (1 + erf(x / sqrt(2))) / 2.
    """
    x = _floating(x)
    if approximate:
        h = held(xp, x, GELU_END)
        share = xp.sigmoid(h * (1 + GELU_CUBIC * (h * h)) * GELU_TWICE)
    else:
        share = 0.5 * xp.erfc(x * -_ROOT_HALF)
    return xp.maximum(x, -GELU_END) * share, share


@reference
def gelu_slope(xp: Any, x: Any, share: Any, approximate: bool) -> Any:
    """The derivative of gelu, of x and of what gelu multiplies it by."""
    h = held(xp, x, GELU_END)
    if approximate:
        return share + h * (share * (1 - share)) * ((1 + GELU_SQUARE * (h * h)) * GELU_TWICE)
    return share + h * (xp.exp(h * h * -0.5) * GELU_DENSITY)


@reference
def gelu_backward(xp: Any, g: Any, x: Any, share: Any, approximate: bool) -> Any:
    """The gradient of x."""
    return g * xp.gelu_slope(x, share, approximate)


#: From here on tanh(softplus(x)) is 1 and its derivative is lost beside it.
_MISH_END = 25.0


@reference
def mish(xp: Any, x: Any) -> Any:
    """x * tanh(log(1 + e)) with e = exp(x): x * n / (n + 2) with n = (1 + e)**2 - 1 = e (e + 2)."""
    x = _floating(x)
    e = xp.exp(xp.minimum(x, _MISH_END))
    n = e * (e + 2)
    return xp.maximum(x, -800.0) * (n / (n + 2))  # -inf * 0 would be NaN


@reference
def mish_slope(xp: Any, x: Any) -> Any:
    """The derivative of mish: n / (n + 2) + x * 4 e (1 + e) / (n + 2)**2."""
    h = xp.maximum(xp.minimum(x, _MISH_END), -800.0)
    e = xp.exp(h)
    n = e * (e + 2)
    whole = n + 2
    return n / whole + h * (4 * e * (1 + e) / whole) / whole


@reference
def softmax(xp: Any, x: Any, axis: int) -> Any:
    """exp(x) / sum(exp(x)) along an axis, shifted by its maximum so that it cannot overflow."""
    powers = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


@reference
def softmax_backward(xp: Any, g: Any, y: Any, axis: int) -> Any:
    """The gradient of x: y * (g - sum(g * y))."""
    return y * (g - xp.sum(g * y, axis=axis, keepdims=True))


@reference
def log_softmax(xp: Any, x: Any, axis: int) -> Any:
    """log(softmax(x)) along an axis: finite wherever the logits are finite."""
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


# With a bias --------------------------------------------------------------------------------


@reference
def bias_activation(xp: Any, x: Any, bias: Any, activation: str) -> Any:
    """The activation of x + bias; and, kept, by what it multiplied that, if it did so.

    Arguments: `x`, (..., features); `bias`, (features,); `activation`, "relu", "sigmoid", "tanh",
    "gelu", "gelu_tanh" or "silu".
    """
    z = x + bias
    if activation == "relu":
        return xp.maximum(z, 0.0), None
    if activation in ("sigmoid", "tanh"):
        return getattr(xp, activation)(z), None
    return xp.silu(z) if activation == "silu" else xp.gelu(z, activation == "gelu_tanh")


@reference
def bias_activation_backward(
    xp: Any, g: Any, y: Any, x: Any, bias: Any, kept: Any, activation: str
) -> Any:
    """The gradients of x and of bias. `x` and `bias` are read, and not None, for gelu only."""
    if activation == "relu":
        slope = g * (y > 0)
    elif activation == "sigmoid":
        slope = g * (y * (1 - y))
    elif activation == "tanh":
        slope = g * (1 - y * y)
    elif activation == "silu":
        slope = g * (kept + xp.minimum(y, 100.0) * (1 - kept))
    else:
        slope = g * xp.gelu_slope(x + bias, kept, activation == "gelu_tanh")
    return slope, xp.sum(slope, axis=tuple(range(slope.ndim - 1)))
