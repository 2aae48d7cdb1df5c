"""A numeric check of gradients, for tests: central differences against vector-Jacobian products.

The upstream gradient is random and signed. With all ones, `softmax(x).sum()` has gradient zero
whatever the code does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine.cases import Case
from chainrule.engine.record import Record

Function = Callable[..., cr.Tensor]
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Call:
    """A case of a record as a function of those arguments that have a gradient.

    A result of several tensors is made one: what is floating, flat, end to end.
    """

    record: Record
    case: Case

    @property
    def variable(self) -> list[int]:
        """The positions of the arguments that are drawn, and have a gradient."""
        record = self.record
        every = record.joint is not None or record.composed
        return [i for i in self.case.drawn() if every or record.argument_base(i) in record.vjps]

    @property
    def wide(self) -> bool:
        """Is an argument without gradient of float64, whatever the others are?"""
        arguments = self.case.draw(self.record)
        rest = [each for i, each in enumerate(arguments) if i not in self.variable]
        return any(np.asarray(each).dtype == np.float64 for each in rest)

    def draw(self, seed: int) -> list[np.ndarray]:
        """The arrays to call it with."""
        arguments = self.case.draw(self.record, seed)
        return [arguments[i] for i in self.variable]

    def __call__(self, *variables: Any) -> Any:
        arguments = self.case.draw(self.record)
        for position, each in zip(self.variable, variables, strict=True):
            arguments[position] = each
        if self.case.prepare is not None:
            arguments = list(self.case.prepare(*arguments))
        given = (arguments,) if self.record.variadic else arguments
        result = self.record.function(*given, **self.case.static)
        if not isinstance(result, tuple):
            return result
        return cr.concat([each.flatten() for each in result if each.dtype.kind == "f"])

    def __repr__(self) -> str:
        return f"{self.record.name}({self.case!r})"


def calls_of(record: Record) -> list[Call]:
    """A call for each case of a record."""
    return [Call(record, each) for each in record.cases]


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
