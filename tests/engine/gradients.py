"""A numeric check of gradients, for tests: central differences against vector-Jacobian products.

The upstream gradient is random and signed. With all ones, `softmax(x).sum()` has gradient zero
whatever the code does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import chainrule as cr

Function = Callable[..., cr.Tensor]
EPS = float(np.finfo(np.float64).eps)


def upstream_for(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Signed numbers, none of them near zero."""
    draw = np.random.default_rng(seed)
    return draw.uniform(0.5, 2.0, shape) * draw.choice([-1.0, 1.0], shape)


def numeric_gradient(function: Callable[..., float], arrays: Sequence[np.ndarray]) -> list:
    """Gradients of a number by central differences, extrapolated twice (Richardson).

    With steps h, h/2 and h/4 the error is of order (h / r)^6 / 64 + eps / h, with r the distance to
    the nearest singularity: about 1e-12 for h = 1e-3, also at r = 0.1,
    the edge of the domains.
    """

    def slope(which: int, index: tuple[int, ...], step: float) -> float:
        ends = []
        for sign in (1, -1):
            moved = [np.array(each) for each in arrays]
            moved[which][index] += sign * step
            ends.append(function(*moved))
        return (ends[0] - ends[1]) / (2 * step)

    gradients = []
    for which, array in enumerate(arrays):
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            coarse, middle, fine = (slope(which, index, h) for h in (1e-3, 5e-4, 2.5e-4))
            first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
            gradient[index] = (16 * second - first) / 15
        gradients.append(gradient)
    return gradients


def first_order(function: Function, arrays: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """The gradients that `backward` gives of the result times a random upstream gradient."""
    tensors = [cr.tensor(each, requires_grad=True) for each in arrays]
    result = function(*tensors)
    result.backward(upstream_for(result.shape, seed).astype(result.dtype))
    return [each.grad.numpy() for each in tensors]


def directional(function: Function, arrays: Sequence[np.ndarray], seed: int) -> cr.Tensor:
    """The sum of the gradients of `function`, each times random numbers, still differentiable."""
    tensors = [each if isinstance(each, cr.Tensor) else cr.tensor(each) for each in arrays]
    tensors = [t if t.requires_grad else cr.tensor(t, requires_grad=True) for t in tensors]
    result = function(*tensors)
    gradients = cr.grad(
        [result],
        tensors,
        [upstream_for(result.shape, seed)],
        create_graph=True,
        allow_unused=True,
    )
    total = cr.tensor(0.0)
    for i, each in enumerate(gradients):
        total = total + (each * upstream_for(each.shape, seed + i + 1)).sum()
    return total


def assert_close(
    got: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "gradient"
) -> None:
    """To a tolerance relative to the larger of 1 and the largest entry."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    if expected.size:
        scale = max(1.0, float(np.max(np.abs(expected))))
        error = float(np.max(np.abs(got - expected))) / scale
        assert error <= tolerance, f"{what}: error {error:.1e}\n{got}\n{expected}"


def check_first(function: Function, arrays: Sequence[np.ndarray], seed: int = 0) -> None:
    """VJPs against differences. 1e-9: rounding, eps / 1e-3, times weights and slopes to 1e3."""

    def value(*moved: np.ndarray) -> float:
        result = function(*(cr.tensor(each) for each in moved)).numpy()
        return float(np.sum(result * upstream_for(result.shape, seed)))

    expected = numeric_gradient(value, arrays)
    found = first_order(function, arrays, seed)
    for i, (ours, numeric, array) in enumerate(zip(found, expected, arrays, strict=True)):
        assert ours.dtype == array.dtype
        assert_close(ours, numeric, 1e-9, f"gradient {i}")


def check_second(function: Function, arrays: Sequence[np.ndarray], seed: int = 0) -> None:
    """The gradient of the gradient, through `create_graph`, against differences of first ones."""

    def value(*moved: np.ndarray) -> float:
        return directional(function, moved, seed).item()

    tensors = [cr.tensor(each, requires_grad=True) for each in arrays]
    total = directional(function, tensors, seed)
    found = (
        cr.grad([total], tensors, allow_unused=True)
        if total.requires_grad
        else [cr.zeros_like(each) for each in tensors]
    )
    for i, (ours, numeric) in enumerate(zip(found, numeric_gradient(value, arrays), strict=True)):
        assert_close(ours.numpy(), numeric, 1e-8, f"second derivative {i}")
