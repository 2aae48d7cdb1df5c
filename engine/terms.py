"""Terms: SymPy expressions with a sample value, and the namespace `k` that computes on them.

A comparison looks at the value: `maximum(x, 0)` takes one branch. What was compared is told to
whoever asks (`decisions`), so that a proof can go where the other branch is. SymPy is loaded at
first use.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np

from .devices import REFERENCE


def _operator(apply: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A binary operator on expression and value alike, and its reflection."""

    def forward(self: Term, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = Term.of(other)
        value = apply(self.value, other.value)
        return Term(apply(self.expression, other.expression), value)

    return forward, lambda self, other: forward(Term.of(other), self)


#: What code has compared with 0, for each proof that looks: there it changes its branch.
_watching: list[list[Any]] = []


@contextmanager
def decisions() -> Iterator[list[Any]]:
    """A list of the expressions that are compared with 0 within the `with` block.

    >>> x = symbols("x", (), 2.0)[()]
    >>> with decisions() as decided:
    ...     taken = x > 1
    >>> taken, decided
    (True, [x - 1])
    """
    decided: list[Any] = []
    _watching.append(decided)
    try:
        yield decided
    finally:
        _watching.remove(decided)


def _decide(expression: Any) -> None:
    for decided in _watching:
        decided.append(expression)


def _comparison(compare: Callable[[float, float], bool]) -> Callable[[Term, Any], Any]:
    def decide(self: Term, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = Term.of(other)
        _decide(self.expression - other.expression)
        return compare(self.value, other.value)

    return decide


class Term:
    """A SymPy expression and its value at a sample point; comparisons look at the value."""

    __slots__ = ("expression", "value")

    def __init__(self, expression: Any, value: float) -> None:
        self.expression, self.value = expression, value

    @classmethod
    def of(cls, number: Any) -> Term:
        """A Term as it is; a number as an exact constant."""
        if isinstance(number, Term):
            return number
        import sympy

        value = float(number)
        if math.isinf(value):
            return cls(sympy.oo if value > 0 else -sympy.oo, value)
        exact = Fraction(value)
        return cls(sympy.Rational(exact.numerator, exact.denominator), value)

    __add__, __radd__ = _operator(lambda a, b: a + b)
    __sub__, __rsub__ = _operator(lambda a, b: a - b)
    __mul__, __rmul__ = _operator(lambda a, b: a * b)
    __truediv__, __rtruediv__ = _operator(lambda a, b: a / b)
    __pow__, __rpow__ = _operator(lambda a, b: a**b)
    __lt__ = _comparison(lambda a, b: a < b)
    __le__ = _comparison(lambda a, b: a <= b)
    __gt__ = _comparison(lambda a, b: a > b)
    __ge__ = _comparison(lambda a, b: a >= b)
    __eq__ = _comparison(lambda a, b: a == b)
    __ne__ = _comparison(lambda a, b: a != b)

    def __hash__(self) -> int:
        return hash(self.value)

    def __neg__(self) -> Term:
        return Term(-self.expression, -self.value)

    def __pos__(self) -> Term:
        return self

    # Steps are constants, as comparisons are decided: at the sample value. NumPy looks for the
    # first three under Python's names, for `rint` under its own.

    def __floor__(self) -> int:
        return math.floor(self.value)

    def __ceil__(self) -> int:
        return math.ceil(self.value)

    def __trunc__(self) -> int:
        return math.trunc(self.value)

    def rint(self) -> int:
        """The nearest integer, the even one of two."""
        return round(self.value)

    def __floordiv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return math.floor(self.value / Term.of(other).value)

    def __mod__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return self - Term.of(other) * (self // other)

    def __abs__(self) -> Term:
        _decide(self.expression)
        return self if self.value >= 0 else -self

    def __repr__(self) -> str:
        return f"Term({self.expression}, {self.value:.3g})"


numbers.Real.register(Term)  # a static argument that must be a number may be a symbol


def _real_cube_root(sympy: Any, x: Any) -> Any:
    """SymPy's own cube root of a negative number is complex."""
    return sympy.sign(x) * sympy.Abs(x) ** sympy.Rational(1, 3)


#: What Terms become under functions of one or two: as an expression of SymPy, and as a number.
_FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "exp": (lambda sympy, x: sympy.exp(x), math.exp),
    "exp2": (lambda sympy, x: 2**x, lambda x: 2.0**x),
    "expm1": (lambda sympy, x: sympy.exp(x) - 1, math.expm1),
    "log": (lambda sympy, x: sympy.log(x), math.log),
    "log1p": (lambda sympy, x: sympy.log(1 + x), math.log1p),
    "log2": (lambda sympy, x: sympy.log(x) / sympy.log(2), math.log2),
    "log10": (lambda sympy, x: sympy.log(x) / sympy.log(10), math.log10),
    "sqrt": (lambda sympy, x: sympy.sqrt(x), math.sqrt),
    "cbrt": (_real_cube_root, lambda x: math.copysign(abs(x) ** (1 / 3), x)),
    "square": (lambda sympy, x: x**2, lambda x: x * x),
    "reciprocal": (lambda sympy, x: 1 / x, lambda x: 1 / x),
    "sin": (lambda sympy, x: sympy.sin(x), math.sin),
    "cos": (lambda sympy, x: sympy.cos(x), math.cos),
    "tan": (lambda sympy, x: sympy.tan(x), math.tan),
    "asin": (lambda sympy, x: sympy.asin(x), math.asin),
    "acos": (lambda sympy, x: sympy.acos(x), math.acos),
    "atan": (lambda sympy, x: sympy.atan(x), math.atan),
    "atan2": (lambda sympy, a, b: sympy.atan2(a, b), math.atan2),
    "hypot": (lambda sympy, a, b: sympy.sqrt(a**2 + b**2), math.hypot),
    "logaddexp": (
        lambda sympy, a, b: sympy.log(sympy.exp(a) + sympy.exp(b)),
        lambda a, b: max(a, b) + math.log1p(math.exp(-abs(a - b))),
    ),
    "sinh": (lambda sympy, x: sympy.sinh(x), math.sinh),
    "cosh": (lambda sympy, x: sympy.cosh(x), math.cosh),
    "tanh": (lambda sympy, x: sympy.tanh(x), math.tanh),
    "asinh": (lambda sympy, x: sympy.asinh(x), math.asinh),
    "acosh": (lambda sympy, x: sympy.acosh(x), math.acosh),
    "atanh": (lambda sympy, x: sympy.atanh(x), math.atanh),
    "erf": (lambda sympy, x: sympy.erf(x), math.erf),
}


class Symbolic:
    """The namespace `k` that computes on arrays of Terms: NumPy's, and the kernels' references."""

    xp = np

    def __getattr__(self, name: str) -> Any:
        """Functions of numbers are applied to each Term; the rest is NumPy on object arrays."""
        if name in _FUNCTIONS:
            return functools.partial(self._apply, name)
        if name in REFERENCE:
            return functools.partial(self._run, REFERENCE[name])
        return getattr(np, name)

    def _run(self, reference: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A kernel's reference; NumPy makes Terms of 0-d arrays, which are made arrays again."""
        arrays = [np.array(x, object) if isinstance(x, Term) else x for x in arguments]
        return reference(self, *arrays, **options)

    @staticmethod
    def _apply(name: str, *arguments: Any) -> Any:
        import sympy

        expression, value = _FUNCTIONS[name]

        def one(*numbers: Any) -> Term:
            terms = [Term.of(number) for number in numbers]
            return Term(
                expression(sympy, *(term.expression for term in terms)),
                value(*(term.value for term in terms)),
            )

        return np.frompyfunc(one, len(arguments), 1)(*arguments)

    def erfc(self, x: Any) -> Any:
        """1 - erf(x)."""
        return 1 - self.erf(x)

    @staticmethod
    def sign(x: Any) -> Any:
        """-1, 0 or 1, by the sample value."""
        return np.frompyfunc(lambda number: int(number > 0) - int(number < 0), 1, 1)(x)

    @staticmethod
    def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
        """NumPy's; the kernel's own works on the bytes of numbers."""
        return np.broadcast_to(x, shape)

    # What LAPACK computes for numbers, by cofactors:

    def det(self, x: Any) -> Any:
        """The determinant, expanded along the first row."""
        terms = [self._minor(x, 0, j) * x[..., 0, j] * (-1) ** j for j in range(x.shape[-1])]
        return functools.reduce(np.add, terms) if terms else np.ones(x.shape[:-2], object)

    def cofactor(self, x: Any) -> Any:
        """The determinants of what is left without a row and a column, signed."""
        result = np.empty(x.shape, object)
        for i, j in np.ndindex(x.shape[-2:]):
            result[..., i, j] = self._minor(x, i, j) * (-1) ** (i + j)
        return result

    def _minor(self, x: Any, i: int, j: int) -> Any:
        return self.det(np.delete(np.delete(x, i, -2), j, -1))

    def inv(self, x: Any) -> Any:
        """The adjugate over the determinant."""
        return np.matrix_transpose(self.cofactor(x)) / np.asarray(self.det(x))[..., None, None]

    def solve(self, a: Any, b: Any) -> Any:
        """The inverse times b."""
        return np.matmul(self.inv(a), b)

    def packed_slogdet(self, x: Any) -> Any:
        """The sign of the determinant, by its value, and the logarithm of its absolute value."""
        return np.stack([self.sign(self.det(x)), self._apply("log", abs(self.det(x)))])


symbolic = Symbolic()


def symbols(name: str, shape: tuple[int, ...], values: Any) -> Any:
    """An object array of Terms: a symbol for each entry, with its sample value.

    Symbols are real, and positive where their value and all others of the array are.

    >>> symbols("x", (2,), [0.5, -1.0])
    array([Term(x_0, 0.5), Term(x_1, -1)], dtype=object)
    """
    import sympy

    values = np.broadcast_to(np.asarray(values, np.float64), shape)
    kind = {"positive": True} if values.size and (values > 0).all() else {"real": True}
    result = np.empty(shape, object)
    for index in np.ndindex(shape):
        label = "_".join([name, *map(str, index)])
        result[index] = Term(sympy.Symbol(label, **kind), float(values[index]))
    return result
