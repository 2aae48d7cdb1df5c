"""References of the kernels of dense layers: a product with its bias and activation."""

from __future__ import annotations

from typing import Any

from ..devices import reference


@reference
def affine(xp: Any, x: Any, kernel: Any, bias: Any, activation: str) -> Any:
    """The activation of x kernel + bias.

    Arguments: `x`, (rows, features); `kernel`, (features, units); `bias`, (units,); `activation`,
    "linear", "relu", "sigmoid" or "tanh".
    """
    z = xp.matmul(x, kernel)
    return z + bias if activation == "linear" else xp.bias_activation(z, bias, activation)[0]


@reference
def affine_backward(
    xp: Any, g: Any, needed: Any, y: Any, x: Any, kernel: Any, activation: str
) -> Any:
    """The gradients of x, kernel and bias; None for x and kernel if they are not `needed`.

    `y` is read, and not None, unless the activation is "linear".
    """
    if activation == "linear":
        slope, total = g, xp.sum(g, axis=0)
    else:
        slope, total = xp.bias_activation_backward(g, y, None, None, None, activation)
    of_x = xp.matmul(slope, xp.matrix_transpose(kernel)) if needed[0] else None
    of_kernel = xp.matmul(xp.matrix_transpose(x), slope) if needed[1] else None
    return of_x, of_kernel, total
