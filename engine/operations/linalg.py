"""Linear algebra."""

from __future__ import annotations

from typing import Any

from ..cases import case
from ..record import operation


def _matmul_left(k: Any, g: Any, b: Any, a_shape: tuple[int, ...]) -> Any:
    """g bᵀ; a vector takes part as a matrix of one row (left) or column (right)."""
    if b.ndim == 1:
        return k.expand_dims(g, -1) * b
    if len(a_shape) == 1:
        g = k.expand_dims(g, -2)
    result = k.matmul(g, k.matrix_transpose(b))
    return result[..., 0, :] if len(a_shape) == 1 else result


def _matmul_right(k: Any, g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    """aᵀ g; a vector takes part as a matrix of one row (left) or column (right)."""
    if a.ndim == 1:
        if len(b_shape) == 1:
            return g * a
        return k.expand_dims(a, -1) * k.expand_dims(g, -2)
    if len(b_shape) == 1:
        g = k.expand_dims(g, -1)
    result = k.matmul(k.matrix_transpose(a), g)
    return result[..., 0] if len(b_shape) == 1 else result


matmul = operation(
    "matmul",
    summary="The product of matrices, of vectors, or of stacks of matrices, as in NumPy.",
    formula="y[i, j] = Σ_n a[i, n] b[n, j]",
    derivative={"a": "g bᵀ", "b": "aᵀ g"},
    forward=lambda k, a, b: k.matmul(a, b),
    vjp={
        "a": lambda k, g, b, a_shape: _matmul_left(k, g, b, a_shape),
        "b": lambda k, g, a, b_shape: _matmul_right(k, g, a, b_shape),
    },
    example="""
    >>> import chainrule as cr
    >>> (cr.ones((2, 3)) @ cr.ones((3, 4))).shape
    (2, 4)
    """,
    methods=(
        "matmul",
        "__matmul__",
        "__rmatmul__",
    ),
    cases=[
        case((2, 3), (3, 2)),
        case((3,), (3,)),
        case((3,), (2, 3, 2)),
        case((2, 2, 3), (3,)),
        case((2, 1, 2, 3), (2, 3, 2)),
        case((2, 0), (0, 3)),
    ],
)
