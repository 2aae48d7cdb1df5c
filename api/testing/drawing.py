"""The state of a program while it is drawn: its values so far, and how parts of a line are drawn.

Each line is computed as soon as it is drawn. So what comes next can be chosen by the numbers at
hand: inside the domain of an operation, and away from kinks and ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine.errors import CheckError

from .composite import Draw
from .program import NAME, Array, Line, literal, signed

Shape = tuple[int, ...]

#: How far numbers stay from kinks, steps and from each other where that matters.
MARGIN = 0.02
#: Results of more elements are not made, and larger numbers are divided.
LARGEST_SIZE, LARGEST_NUMBER = 48, 4.0


class Drawing:
    """The lines drawn so far, and what they computed.

    Attributes: `lines`; `values`, the floating Tensors that exist, by name, inputs first; `used`,
    the names that a line reads.
    """

    def __init__(self, draw: Draw, strategies: Any, inputs: dict[str, Array]) -> None:
        self._draw, self._strategies = draw, strategies
        self.lines: list[Line] = []
        self.values = {name: cr.tensor(x, requires_grad=True) for name, x in inputs.items()}
        self.used: set[str] = set()
        self._space: dict[str, Any] = {"np": np, "cr": cr, **self.values}

    # Draws ----------------------------------------------------------------------------------

    def one_of(self, options: Sequence[Any]) -> Any:
        """One of some options; shrinks towards the first."""
        if len(options) == 1:
            return options[0]
        return options[self._draw(self._strategies.integers(0, len(options) - 1))]

    def flag(self) -> bool:
        """True or False; shrinks towards False."""
        return bool(self._draw(self._strategies.booleans()))

    def integer(self, low: int, high: int) -> int:
        """An integer, both ends included; shrinks towards the low end, or 0."""
        return low if low == high else int(self._draw(self._strategies.integers(low, high)))

    def strategy(self, strategy: Any) -> Any:
        """A value of any strategy."""
        return self._draw(strategy)

    def pick(self, fits: Callable[[Array], bool] | None = None) -> str | None:
        """The name of a value that fits, preferring the latest; None if there is none."""
        names = [n for n, x in self.values.items() if fits is None or fits(x.numpy())]
        return self.one_of(names[::-1]) if names else None

    def array(self, shape: Shape) -> str:
        """A constant array of that shape, as text; its numbers are signed."""
        rng = np.random.default_rng(self.integer(0, 99))
        return literal(signed(rng, shape))

    def indices(self, shape: Shape, length: int) -> Array:
        """Integers that are indices of an axis of that length, negative ones among them."""
        rng = np.random.default_rng(self.integer(0, 99))
        return rng.integers(-length, length, shape)

    def axis(self, ndim: int) -> int:
        """One axis of an array, counted from either end."""
        axis = self.integer(0, ndim - 1)
        return axis - ndim if self.flag() else axis

    def axes(self, ndim: int) -> Any:
        """None, an axis, or a tuple of different axes."""
        kind = self.integer(0, 2) if ndim else 0
        if kind == 0:
            return None
        if kind == 1:
            return self.axis(ndim)
        return tuple(i - ndim if self.flag() else i for i in range(ndim) if self.flag())

    def number(self) -> str:
        """A number of Python, as text."""
        return str(self.one_of(["2.0", "0.5", "-1.5", "3", "-0.25", "0.75"]))

    # Values ---------------------------------------------------------------------------------

    def numpy(self, name: str) -> Array:
        """The value of that name."""
        return self.values[name].numpy()

    def evaluate(self, expression: str) -> Any:
        """The value of any expression, with the reference kernels."""
        with cr.kernels("reference"):
            return eval(expression, self._space)

    def array_of(self, expression: str) -> Array:
        """The value of an expression as an array."""
        value = self.evaluate(expression)
        return np.asarray(value.numpy() if isinstance(value, cr.Tensor) else value)

    def partner(self, shape: Shape) -> str | None:
        """The name of a value that broadcasts with that shape to nothing large."""
        return self.pick(lambda x: broadcast(x.shape, shape))

    def within(self, text: str, low: float, high: float) -> str:
        """An expression with values inside an interval: the given one, or one made of it."""
        margin = min(0.2, (high - low) / 8)
        low, high = low + margin, high - margin
        x = self.array_of(text)
        if x.size == 0 or (x.min() >= low and x.max() <= high):
            return text
        return f"({low:.3g} + {high - low:.3g} * cr.sigmoid({text}))"

    def constant(self, expression: str, no_grad: bool = False) -> bool:
        """Adds a line whose value is a constant for derivatives."""
        return self.add(expression, constant=True, no_grad=no_grad)

    def add(self, expression: str, constant: bool = False, no_grad: bool = False) -> bool:
        """Adds a line, unless what it computes is large, or no floating Tensor; says if it did."""
        try:
            with cr.no_grad() if no_grad else nullcontext():
                value = self.evaluate(expression)
        except Exception as error:
            lines = "".join(f"{each.text}\n" for each in self.lines)
            given = "".join(f"{n} = {literal(self.numpy(n))}\n" for n in NAME.findall(expression))
            raise CheckError(f"{error}; in\n{lines}{expression}\nwhere\n{given}") from error
        many = isinstance(value, (tuple, list))
        results = list(value) if many else [value]
        if not results or not all(
            isinstance(x, cr.Tensor) and x.dtype == np.float64 and x.size <= LARGEST_SIZE
            for x in results
        ):
            return False
        peak = max((float(np.abs(x.numpy()).max()) for x in results if x.size), default=0.0)
        if not math.isfinite(peak):
            return False
        if peak > LARGEST_NUMBER:
            if many or peak > 1e6:
                return False
            expression = f"({expression}) / {2.0 ** math.ceil(math.log2(peak / LARGEST_NUMBER)):g}"
            results = [results[0] / 2.0 ** math.ceil(math.log2(peak / LARGEST_NUMBER))]
        start = sum(len(each.targets) for each in self.lines)
        targets = tuple(f"v{start + i}" for i in range(len(results)))
        line = Line(targets, expression, constant, no_grad, many)
        self.lines.append(line)
        self.used.update(line.operands)
        self.values.update(zip(targets, results, strict=True))
        self._space.update(zip(targets, results, strict=True))
        return True


def broadcast(one: Shape, other: Shape) -> bool:
    """Do arrays of these shapes broadcast together, to nothing large?"""
    try:
        return math.prod(np.broadcast_shapes(one, other)) <= LARGEST_SIZE
    except ValueError:
        return False


def apart(x: Array, axes: Iterable[int] | None = None) -> bool:
    """Does every element differ from the others along these axes (None: all of them)?"""
    if x.size == 0:
        return True
    axes = tuple(range(x.ndim)) if axes is None else tuple(axes)
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), -1)
    return bool((np.diff(np.sort(rows, axis=-1)) > MARGIN).all())


def far(x: Any, *points: float) -> bool:
    """Is no element near one of these points?"""
    x = np.asarray(x)
    return all(bool((np.abs(x - point) > MARGIN).all()) for point in points)
