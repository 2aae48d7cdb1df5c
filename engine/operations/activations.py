"""Elementwise: the error function, and the activation functions of networks (DERIVATIONS 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import number
from ..cases import case
from ..definitions import elementwise
from ..errors import DtypeError, describe
from ..kernels.activations import GELU_END, held
from ..placing import zero
from ..record import tensor_functions as F

#: 2/sqrt(pi), the slope of erf at 0; and where exp(-x²) is 0 in every dtype.
_SLOPE, _GAUSS_END = 1.1283791670955126, 28.0


def _gauss(k: Any, x: Any) -> Any:
    """exp(-x²), without the overflow of x²."""
    h = held(k, x, _GAUSS_END)
    return k.exp(-(h * h))


erf = elementwise(
    "erf",
    summary="The error function: 2/√π ∫ exp(-t²) dt from 0 to x; to 1.3 units in the last place.",
    formula="erf(x)",
    derivative="2 / sqrt(pi) * exp(-x**2)",
    forward=lambda k, x: k.erf(x),
    vjp=lambda k, g, x: g * (_gauss(k, x) * _SLOPE),
    example="""
    >>> import chainrule as cr
    >>> cr.erf(cr.tensor([-1e4, 0.0, 0.5])).tolist()
    [-1.0, 0.0, 0.5204998778130465]
    """,
    methods=("erf",),
)

erfc = elementwise(
    "erfc",
    summary="1 - erf(x), to 3.3 units in the last place, also where it is small.",
    formula="erfc(x)",
    derivative="-2 / sqrt(pi) * exp(-x**2)",
    forward=lambda k, x: k.erfc(x),
    vjp=lambda k, g, x: g * (_gauss(k, x) * -_SLOPE),
    example="""
    >>> import chainrule as cr
    >>> f"{cr.erfc(10.0).item():.10e}"
    '2.0884875838e-45'
    """,
    methods=("erfc",),
)

relu = elementwise(
    "relu",
    summary="The rectified linear unit; its gradient at 0 is 0.",
    formula="Max(0, x)",
    derivative="Heaviside(x, 0)",
    forward=lambda k, x: k.maximum(x, zero(x)),
    vjp=lambda k, g, y: g * (y > zero(y)),
    kinks=(0.0,),
    notes="An infinite upstream gradient at a unit that is off gives NaN (PyTorch: 0): 0 * inf is "
    "what the derivative says, and a choice in its place takes ten times as long.",
    example="""
    >>> import chainrule as cr
    >>> cr.relu(cr.tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """,
    methods=("relu",),
)

relu6 = elementwise(
    "relu6",
    summary="relu, cut off at 6; its gradient at 0 and at 6 is 0.",
    formula="Piecewise((0, x < 0), (6, x > 6), (x, True))",
    derivative="Piecewise((1, (x > 0) & (x < 6)), (0, True))",
    forward=lambda k, x: k.minimum(k.maximum(x, 0.0), 6.0),
    vjp=lambda k, g, y: g * ((y > 0) * (y < 6)),
    domain={"x": (-3.0, 9.0)},
    kinks=(0.0, 6.0),
)

leaky_relu = elementwise(
    "leaky_relu",
    summary="x, or negative_slope times x where that is negative.",
    formula="Piecewise((x, x > 0), (negative_slope * x, True))",
    derivative="Piecewise((1, x > 0), (negative_slope, True))",
    forward=lambda k, x, *, negative_slope=0.01: (
        k.maximum(x, 0.0)
        + number("leaky_relu", "negative_slope", negative_slope) * k.minimum(x, 0.0)
    ),
    # Products with 0 and 1: `where` takes ten times as long, for random signs.
    vjp=lambda k, g, x, negative_slope: g * (x > 0) + (negative_slope * g) * (x <= 0),
    domain={"negative_slope": (0.0, 0.5)},
    kinks=(0.0,),
    notes="""
    Arguments: `x`; `negative_slope`, a number, the slope below 0 and the gradient at 0.

    Raises DtypeError if `negative_slope` is no number (a Tensor is none).
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.leaky_relu(cr.tensor([-8.0, 2.0]), negative_slope=0.25).tolist()
    [-2.0, 2.0]
    """,
    cases=[case((2, 3)), case((3,), negative_slope=0.25), case((3,), negative_slope=-1)],
)

elu = elementwise(
    "elu",
    summary="The exponential linear unit (Clevert et al. 2016): x, or alpha (exp(x) - 1) below 0.",
    formula="Piecewise((x, x > 0), (alpha * (exp(x) - 1), True))",
    derivative="Piecewise((1, x > 0), (alpha * exp(x), True))",
    forward=lambda k, x, *, alpha=1.0: (
        k.maximum(x, 0.0) + number("elu", "alpha", alpha) * k.expm1(k.minimum(x, 0.0))
    ),
    vjp=lambda k, g, x, alpha: g * ((x > 0) + alpha * k.exp(k.minimum(x, 0.0)) * (x <= 0)),
    domain={"alpha": (0.1, 2.0)},
    kinks=(0.0,),
    notes="""
    Arguments: `x`; `alpha`, a number: the result tends to -alpha, and the gradient at 0 is alpha.

    Raises DtypeError if `alpha` is no number (a Tensor is none). The second derivative at 0 is
    alpha / 2, between those of the sides (PyTorch: 0).
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.elu(cr.tensor([-1e4, 0.0, 2.0]), alpha=0.5).tolist()
    [-0.5, 0.0, 2.0]
    """,
    cases=[case((2, 3)), case((3,), alpha=0.5), case((3,), alpha=-2)],
)

#: The scale λ, and λ α.
_SELU_SCALE, _SELU_LOW = 1.0507009873554805, 1.7580993408473768

selu = elementwise(
    "selu",
    summary="The scaled exponential linear unit, which keeps mean 0 and variance 1.",
    formula="Piecewise((1.0507009873554805 * x, x > 0), (1.7580993408473768 * (exp(x) - 1), True))",
    derivative="Piecewise((1.0507009873554805, x > 0), (1.7580993408473768 * exp(x), True))",
    forward=lambda k, x: _SELU_SCALE * k.maximum(x, 0.0) + _SELU_LOW * k.expm1(k.minimum(x, 0.0)),
    vjp=lambda k, g, x: (
        _SELU_SCALE * (g * (x > 0)) + g * (_SELU_LOW * k.exp(k.minimum(x, 0.0)) * (x <= 0))
    ),
    kinks=(0.0,),
    notes="""
    It is λ elu(x, α) with α = 1.6732632423543772 and λ = 1.0507009873554805, the numbers for which
    standard normal x give a result of mean 0 and variance 1 (Klambauer et al. 2017, equation 14):
    with e = erfc(1/√2) √exp(1), α = √(2/π) / (1 - e).
    """,
)

hardtanh = elementwise(
    "hardtanh",
    summary="x, held between min and max, where its gradient is 0.",
    formula="Piecewise((min, x < min), (max, x > max), (x, True))",
    derivative="Piecewise((1, (x > min) & (x < max)), (0, True))",
    forward=lambda k, x, *, min=-1.0, max=1.0: _hardtanh(k, x, min, max),
    vjp=lambda k, g, x, min, max: g * ((x > min) * (x < max)),
    domain={"min": (-2.0, -0.5), "max": (0.5, 2.0)},
    kinks=("min", "max"),
    notes="""
    Arguments: `x`; `min` and `max`, numbers, the first not the larger.

    Raises DtypeError if one is no number (a Tensor is none), ShapeError (a ValueError) if `min` is
    larger than `max`. `clip` has the gradient 1 at the bounds themselves.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.hardtanh(cr.tensor([-2.0, 0.5, 3.0]), max=2.0).tolist()
    [-1.0, 0.5, 2.0]
    """,
    cases=[case((2, 3)), case((3,), min=0.0, max=1.25), case((3,), max=0.0)],
)


def _hardtanh(k: Any, x: Any, low: Any, high: Any) -> Any:
    low, high = number("hardtanh", "min", low), number("hardtanh", "max", high)
    if not low <= high:
        raise ValueError("min must not be larger than max")
    return k.minimum(k.maximum(x, low), high)


hard_sigmoid = elementwise(
    "hard_sigmoid",
    summary="relu6(x + 3) / 6: a sigmoid of three straight pieces; its gradient at kinks is 0.",
    formula="Piecewise((0, x < -3), (1, x > 3), (x / 6 + Rational(1, 2), True))",
    derivative="Piecewise((Rational(1, 6), (x > -3) & (x < 3)), (0, True))",
    forward=lambda k, x: k.minimum(k.maximum(x + 3.0, 0.0), 6.0) / 6,
    vjp=lambda k, g, x: g / 6 * ((x > -3) * (x < 3)),
    domain={"x": (-5.0, 5.0)},
    kinks=(-3.0, 3.0),
)

sigmoid = elementwise(
    "sigmoid",
    summary="The logistic function, from 0 to 1; cannot overflow.",
    formula="1 / (1 + exp(-x))",
    derivative="sigmoid(x) * (1 - sigmoid(x))",
    forward=lambda k, x: k.sigmoid(x),
    vjp=lambda k, g, y: g * (y * (1 - y)),
    example="""
    >>> import chainrule as cr
    >>> cr.sigmoid(cr.tensor([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """,
    methods=("sigmoid",),
)

log_sigmoid = elementwise(
    "log_sigmoid",
    summary="The logarithm of the logistic function; cannot overflow, and loses no small numbers.",
    formula="-log(1 + exp(-x))",
    derivative="1 / (1 + exp(x))",
    forward=lambda k, x: k.log_sigmoid(x),
    vjp=lambda k, g, x: g * k.sigmoid(-x),
    example="""
    >>> import chainrule as cr
    >>> cr.log_sigmoid(cr.tensor([-1e4, 1e4])).tolist()
    [-10000.0, 0.0]
    """,
)

tanh = elementwise(
    "tanh",
    summary="The hyperbolic tangent, from -1 to 1; cannot overflow.",
    formula="(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
    derivative="1 - tanh(x)**2",
    forward=lambda k, x: k.tanh(x),
    vjp=lambda k, g, y: g * (1 - y * y),
    methods=("tanh",),
)

softplus = elementwise(
    "softplus",
    summary="log(1 + exp(x)), a smooth relu; cannot overflow.",
    formula="log(1 + exp(x))",
    derivative="1 / (1 + exp(-x))",
    forward=lambda k, x: k.softplus(x),
    vjp=lambda k, g, x: g * k.sigmoid(x),
)


def _with_tails(smooth: Callable[[Any], Any], x: Any, limit: float) -> Any:
    """A function of a Tensor that is 0 below -limit, and x above: there nothing is infinite * 0."""
    h = held(F, x, limit)
    return smooth(h) + F.relu(x - h)


silu = elementwise(
    "silu",
    summary="x sigmoid(x), also called swish.",
    formula="x / (1 + exp(-x))",
    derivative="sigmoid(x) * (1 + x * (1 - sigmoid(x)))",
    forward=lambda k, x: k.silu(x),
    # y is infinite where 1 - sigmoid(x) is 0, as from 40 on.
    vjp=lambda k, g, y, residuals: g * (residuals + k.minimum(y, 100.0) * (1 - residuals)),
    definition=lambda x: _with_tails(lambda h: h * F.sigmoid(h), x, 800.0),
    notes="The source of the name: Hendrycks and Gimpel (2016). It is 0 at -inf (PyTorch: NaN).",
    example="""
    >>> import chainrule as cr
    >>> cr.silu(cr.tensor([-1e4, 0.0, 1e4])).tolist()
    [-0.0, 0.0, 10000.0]
    """,
)

_FORMS = {False: False, True: True, "none": False, "tanh": True}


def _approximate(value: Any) -> bool:
    """Is the form with tanh meant?"""
    if not isinstance(value, (bool, str)) or value not in _FORMS:
        raise DtypeError(
            f'gelu: approximate must be False or "none", or True or "tanh", got {describe(value)}'
        )
    return _FORMS[value]


def _gelu(x: Any, approximate: Any) -> Any:
    form = _approximate(approximate)

    def smooth(h: Any) -> Any:
        if form:
            return h * F.sigmoid(h * (1 + 0.044715 * (h * h)) * (2 * 0.7978845608028654))
        return h * (0.5 * F.erfc(h * -0.7071067811865476))

    return _with_tails(smooth, x, GELU_END)


gelu = elementwise(
    "gelu",
    summary="x times the normal distribution function of x; cannot overflow.",
    formula="Piecewise((x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), approximate), "
    "(x / 2 * (1 + erf(x / sqrt(2))), True))",
    derivative="Piecewise(((1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2 + x / 2 * "
    "(1 - tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))**2) * sqrt(2 / pi) * "
    "(1 + 0.134145 * x**2), approximate), "
    "((1 + erf(x / sqrt(2))) / 2 + x * exp(-x**2 / 2) / sqrt(2 * pi), True))",
    forward=lambda k, x, *, approximate=False: k.gelu(x, _approximate(approximate)),
    vjp=lambda k, g, x, residuals, approximate: k.gelu_backward(
        g, x, residuals, _approximate(approximate)
    ),
    definition=lambda x, *, approximate: _gelu(x, approximate),
    notes="""
    Arguments: `x`; `approximate`, False or "none" for the function itself, True or "tanh" for the
    approximation by tanh, which is off by up to 5e-4 (Hendrycks and Gimpel 2016).

    Raises DtypeError for any other `approximate`. Unlike PyTorch's, the result keeps its relative
    accuracy on the left, to x² units in the last place (as many as half a unit of x makes), and
    is 0 at -inf.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([-10.0, 1.0])
    >>> [f"{each:.4g}" for each in cr.gelu(x).tolist()]
    ['-7.62e-23', '0.8413']
    >>> [f"{each:.4g}" for each in cr.gelu(x, approximate="tanh").tolist()]
    ['-1.204e-37', '0.8412']
    """,
    cases=[case((2,)), case((1,), approximate="tanh"), case((2,), approximate="none")],
)

mish = elementwise(
    "mish",
    summary="x tanh(softplus(x)); cannot overflow.",
    formula="x * tanh(log(1 + exp(x)))",
    derivative="tanh(log(1 + exp(x))) + x * (1 - tanh(log(1 + exp(x)))**2) * sigmoid(x)",
    forward=lambda k, x: k.mish(x),
    vjp=lambda k, g, x: g * k.mish_slope(x),
    notes="The source: Misra (2019). It is 0 at -inf (PyTorch: NaN).",
)
