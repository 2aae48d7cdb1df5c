"""An activation of a sum with a bias, as one operation: the end of every affine layer.

That is one pass over memory where the sum and the activation are two, and the way back sums the
gradient of the bias in the pass that makes it. With the product before it, as one operation too, it
is none: it happens to what a core has just computed. Which layers use them: `layers/affine.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from .activations import gelu, silu

#: Activations whose derivative their result tells, and those which are z times a function of z.
BY_RESULT = ("relu", "sigmoid", "tanh")
GATED = ("gelu", "gelu_tanh", "silu")


def _checked(name: str, x: Any, bias: Any, activation: Any, known: Collection[str]) -> None:
    if activation not in known:
        raise ValueError(
            f"{name}: activation must be one of {', '.join(map(repr, known))}, got {activation!r}"
        )
    if getattr(bias, "ndim", 0) != 1 or getattr(x, "shape", ())[-1:] != bias.shape:
        raise ShapeError(
            f"{name}: x must be (..., features) and bias (features,), got x with {describe(x)}, "
            f"bias with {describe(bias)}"
        )
    if "f" not in x.dtype.kind + bias.dtype.kind and x.dtype.kind != "O":
        raise DtypeError(
            f"{name}: x or bias must be floating, got x with {describe(x)}, bias with "
            f"{describe(bias)}; convert one with .astype('float32')"
        )


def _bias_activation(k: Any, x: Any, bias: Any, activation: Any) -> Any:
    _checked("bias_activation", x, bias, activation, BY_RESULT)
    return k.bias_activation(x, bias, activation)[0]


_NOTES = """
Arguments: `x`, (..., features); `bias`, (features,); `activation`, {known}.

Raises ShapeError for a bias that is not of the last axis' length, ValueError for another
activation, DtypeError for integers.
"""

bias_activation = operation(
    "bias_activation",
    summary="relu, sigmoid or tanh of x + bias, in one pass.",
    formula="f(x + bias), with f the activation",
    derivative={"x": "g f'(x + bias)", "bias": "Σ g f'(x + bias) over all axes but the last"},
    forward=lambda k, x, bias, *, activation: _bias_activation(k, x, bias, activation),
    joint=lambda k, g, needed, y, activation: k.bias_activation_backward(
        g, y, None, None, None, activation
    ),
    notes=_NOTES.format(known="one of those names"),
    example="""
    >>> import chainrule as cr
    >>> cr.bias_activation([[1.0, -3.0]], [1.0, 2.0], activation="relu").tolist()
    [[2.0, 0.0]]
    """,
    cases=[
        *(case((2, 2), (2,), activation=each) for each in BY_RESULT),
        case((3,), (3,), activation="relu"),
        case((2, 2, 3), (3,), activation="tanh", symbolic=False),
        case((0, 2), (2,), activation="sigmoid"),
        case((2, 0), (0,), activation="relu"),
    ],
)


def _bias_gated(k: Any, x: Any, bias: Any, activation: Any) -> Any:
    _checked("bias_gated_activation", x, bias, activation, GATED)
    return k.bias_activation(x, bias, activation)


def _defined(x: Any, bias: Any, *, activation: str) -> Any:
    z = x + bias
    return silu(z) if activation == "silu" else gelu(z, approximate=activation == "gelu_tanh")


bias_gated_activation = operation(
    "bias_gated_activation",
    summary="gelu or silu of x + bias, in one pass: it times a function of it.",
    formula="z p(z), z = x + bias, with p the normal distribution function or the logistic one",
    derivative={
        "x": "g (p(z) + z p'(z))",
        "bias": "Σ g (p(z) + z p'(z)) over all axes but the last",
    },
    forward=lambda k, x, bias, *, activation: _bias_gated(k, x, bias, activation),
    joint=lambda k, g, needed, y, x, bias, residuals, activation: k.bias_activation_backward(
        g, y, x, bias, residuals, activation
    ),
    definition=_defined,
    notes=_NOTES.format(known='"gelu", "gelu_tanh" (its approximation by tanh) or "silu"'),
    example="""
    >>> import chainrule as cr
    >>> cr.bias_gated_activation([[1e4, -1e4]], [0.0, 0.0], activation="silu").tolist()
    [[10000.0, -0.0]]
    """,
    cases=[
        # gelu's constants are rounded, so on symbols it is not quite its own derivative.
        case((1, 2), (2,), activation="silu"),
        *(case((3, 2), (2,), activation=each, symbolic=False) for each in GATED),
        case((0, 2), (2,), activation="silu"),
    ],
)

# With the product ---------------------------------------------------------------------------


def _affine(k: Any, x: Any, kernel: Any, bias: Any, activation: str) -> Any:
    shapes = [getattr(each, "shape", ()) for each in (x, kernel, bias)]
    name = "affine" if activation == "linear" else "affine_activation"
    if [*map(len, shapes)] != [2, 2, 1] or shapes[0][1:] + shapes[2] != shapes[1]:
        raise ShapeError(
            f"{name}: x must be (rows, features), kernel (features, units) and bias (units,), got "
            f"x with {describe(x)}, kernel with {describe(kernel)}, bias with {describe(bias)}"
        )
    if "f" not in (kinds := {each.dtype.kind for each in (x, kernel, bias)}) and "O" not in kinds:
        raise DtypeError(
            f"{name}: one of the arguments must be floating, got x with {describe(x)}, kernel "
            f"with {describe(kernel)}, bias with {describe(bias)}; convert one with "
            ".astype('float32')"
        )
    return k.affine(x, kernel, bias, activation)


def _affine_activation(k: Any, x: Any, kernel: Any, bias: Any, activation: Any) -> Any:
    if activation not in BY_RESULT:
        raise ValueError(
            f"affine_activation: activation must be one of {', '.join(map(repr, BY_RESULT))}, got "
            f"{activation!r}; cr.affine has none"
        )
    return _affine(k, x, kernel, bias, activation)


def _products(y: tuple[int, ...], x: tuple[int, ...], *shapes: Any, **static: Any) -> Any:
    cost = 2 * math.prod(y) * x[-1]
    return {"y": cost, "x": cost, "kernel": cost, "bias": 0}


_AFFINE_NOTES = """
Arguments: `x`, (rows, features); `kernel`, (features, units); `bias`, (units,){more}.

Raises ShapeError for other shapes, DtypeError if none is floating{also}.
"""

affine = operation(
    "affine",
    summary="A product of matrices plus a bias: x @ kernel + bias.",
    formula="y[i, j] = Σ_n x[i, n] kernel[n, j] + bias[j]",
    derivative={"x": "g kernelᵀ", "kernel": "xᵀ g", "bias": "Σ_i g[i]"},
    forward=lambda k, x, kernel, bias: _affine(k, x, kernel, bias, "linear"),
    joint=lambda k, g, needed, x, kernel: k.affine_backward(g, needed, None, x, kernel, "linear"),
    products=_products,
    notes=_AFFINE_NOTES.format(more="", also=""),
    example="""
    >>> import chainrule as cr
    >>> cr.affine([[1.0, 2.0]], [[1.0], [10.0]], [0.5]).tolist()
    [[21.5]]
    """,
    cases=[case((2, 3), (3, 2), (2,)), case((0, 2), (2, 1), (1,)), case((2, 0), (0, 2), (2,))],
)

affine_activation = operation(
    "affine_activation",
    summary="relu, sigmoid or tanh of x @ kernel + bias: a dense layer as one operation.",
    formula="f(z), z[i, j] = Σ_n x[i, n] kernel[n, j] + bias[j], with f the activation",
    derivative={
        "x": "(g f'(z)) kernelᵀ",
        "kernel": "xᵀ (g f'(z))",
        "bias": "Σ_i (g f'(z))[i]",
    },
    forward=lambda k, x, kernel, bias, *, activation: _affine_activation(
        k, x, kernel, bias, activation
    ),
    joint=lambda k, g, needed, y, x, kernel, activation: k.affine_backward(
        g, needed, y, x, kernel, activation
    ),
    products=_products,
    notes=_AFFINE_NOTES.format(
        more="; `activation`, one of those names", also=", ValueError for another activation"
    ),
    example="""
    >>> import chainrule as cr
    >>> cr.affine_activation([[1.0, 2.0]], [[1.0], [-1.0]], [0.5], activation="relu").tolist()
    [[0.0]]
    """,
    cases=[
        *(case((2, 2), (2, 2), (2,), activation=each) for each in BY_RESULT),
        case((0, 2), (2, 1), (1,), activation="tanh"),
        case((2, 0), (0, 2), (2,), activation="relu"),
    ],
)

#: The operation for an activation by its name in layers.
BIASED: dict[str, Callable[[Any, Any], Any]] = {
    **{each: partial(bias_activation, activation=each) for each in BY_RESULT},
    **{each: partial(bias_gated_activation, activation=each) for each in ("gelu", "silu")},
}

#: The operation that a dense layer is, by the name of its activation; "" is none.
AFFINE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "": affine,
    **{each: partial(affine_activation, activation=each) for each in BY_RESULT},
}
