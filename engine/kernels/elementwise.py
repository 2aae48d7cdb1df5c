"""References of elementwise kernels for large arrays: of records, a pass over memory each."""

from __future__ import annotations

from typing import Any

from ..devices import reference


@reference
def plus(xp: Any, a: Any, b: Any) -> Any:
    """The sum of two arrays, or of an array and a number."""
    return a + b


@reference
def minus(xp: Any, a: Any, b: Any) -> Any:
    """The difference of two arrays, or of an array and a number."""
    return xp.subtract(a, b)


@reference
def times(xp: Any, a: Any, b: Any) -> Any:
    """The product of two arrays, or of an array and a number."""
    return a * b


@reference
def over(xp: Any, a: Any, b: Any) -> Any:
    """The quotient of two arrays, or of an array and a number."""
    return a / b


@reference
def relu(xp: Any, x: Any) -> Any:
    """x where it is positive, and else 0."""
    return xp.maximum(x, 0.0)


@reference
def relu_backward(xp: Any, g: Any, y: Any) -> Any:
    """The gradient of x, of that of y = relu(x): g where y is positive, and else 0 * g."""
    return g * (y > 0)


@reference
def total(xp: Any, x: Any) -> Any:
    """The sum of all elements."""
    return xp.sum(x)
