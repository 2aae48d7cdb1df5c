"""The proof of a derivative: what is stated, and what the code computes, against SymPy's calculus.

For an elementwise operation the formula is differentiated and must equal the derivative stated
beside it, on each side of every kink. Then the code itself, forward function and VJPs, runs on
arrays of `Term`s, and must give the formula and the derivative, symbol by symbol; and on numbers,
where it must give their values to a few units in the last place. For other operations the code
runs on Terms and its VJPs are compared, entry by entry, with the derivative of its own result.

A Term is a SymPy expression with a sample value that decides comparisons: `maximum(x, 0)` takes
one branch, and the proof holds where that branch does. SymPy is loaded at the first proof.
"""

from __future__ import annotations

import functools
import itertools
import math
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .calls import invoke, kinks_of
from .cases import Case, case
from .devices import REFERENCE, get_device
from .errors import CheckError
from .record import RECORDS, Record
from .tensor import Tensor

#: What the nearest float64 to one of these (or to a square, a cube, a simple multiple) stands for.
CONSTANTS = ("pi", "sqrt(pi)", "sqrt(2)", "sqrt(2*pi)", "sqrt(2/pi)", "log(2)", "log(10)", "E")

#: Where arguments are drawn from, unless the record's domain says otherwise.
DEFAULT_DOMAIN = (-3.0, 3.0)

#: The numeric bound: this many machine epsilons, times the condition of what is computed.
ULPS = 16


#: At most so many points are tried in search of the branches of one operation's code.
MOST_POINTS = 60

#: Where they are searched for, unless the record has a domain. Farther out some operations cut
#: their argument, where it makes no difference to any digit: erf at 28, silu at -800.
SEARCHED = (-20.0, 20.0)


class ProofError(CheckError):
    """A derivative that is stated or coded differently from what calculus gives."""


# Terms --------------------------------------------------------------------------------------


def _operator(apply: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A binary operator on expression and value alike, and its reflection."""

    def forward(self: Term, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = Term.of(other)
        value = apply(self.value, other.value)
        return Term(apply(self.expression, other.expression), value)

    return forward, lambda self, other: forward(Term.of(other), self)


#: What the code has compared with 0 on its way, while a proof looks: where it changes its branch.
_decided: list[Any] = []


def _comparison(compare: Callable[[float, float], bool]) -> Callable[[Term, Any], Any]:
    def decide(self: Term, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = Term.of(other)
        _decided.append(self.expression - other.expression)
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
        _decided.append(self.expression)
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


# Is an expression zero? ---------------------------------------------------------------------


def is_zero(expression: Any) -> bool:
    """Does an expression vanish identically? False too if that could not be shown.

    >>> import sympy
    >>> x = sympy.Symbol("x", real=True)
    >>> is_zero(sympy.tanh(x) - 1 + 2 / (sympy.exp(2 * x) + 1)), is_zero(x - 1)
    (True, False)
    """
    import sympy

    expression = sympy.sympify(expression)
    if expression.is_zero:
        return True
    expression = expression.replace(sympy.erfc, lambda x: 1 - sympy.erf(x))
    if expression.has(sympy.log) and _cancels(sympy.exp(expression) - 1):
        return True
    if _cancels(expression):
        return True
    # One point where it is not 0 settles it; the search for a simplification may take minutes.
    free = sorted(expression.free_symbols, key=str)
    point = {s: sympy.Rational(37 + 11 * i, 101) for i, s in enumerate(free)}
    value = expression.subs(point).evalf(40)
    if value.is_Float and value.is_finite and abs(value) > 1e-30:
        return False
    return sympy.simplify(expression) == 0


def _cancels(expression: Any) -> bool:
    """Is it 0 as a rational function of exponentials? False if it is no such function."""
    import sympy

    rational = expression.rewrite(sympy.exp)
    # With x = log(E) a sum of exponentials becomes a rational function of E, which has a normal
    # form: the comparison is a decision, not a search.
    inside = {s for each in rational.atoms(sympy.exp) for s in each.free_symbols}
    rational = rational.subs({s: sympy.log(sympy.Dummy(s.name, positive=True)) for s in inside})
    try:
        return bool(sympy.cancel(sympy.together(rational)) == 0)
    except (sympy.PolynomialError, NotImplementedError):
        return False


@functools.cache
def _constants() -> list[tuple[Fraction, Any]]:
    """Powers of the nearest floats to some constants, and these powers."""
    import sympy

    found = []
    for text in CONSTANTS:
        for constant in (sympy.sympify(text), 1 / sympy.sympify(text)):
            for power in (1, 2, 3, -1, -2, -3):
                found.append((Fraction(float(constant)) ** power, constant**power))
    return found


@functools.cache
def meant(number: Any) -> Any:
    """The number that a rational of the code stands for: floats are the nearest to what is meant.

    That is a constant such as sqrt(2/pi) (a power of one, a multiple by a fraction, or by a float),
    or else the shortest decimal of which the float is the nearest.

    >>> import sympy
    >>> meant(sympy.Rational(math.sqrt(2 / math.pi)) / 2), meant(sympy.Rational(0.1))
    (sqrt(2)/(2*sqrt(pi)), 1/10)
    """
    import sympy

    exact = Fraction(int(number.p), int(number.q))

    def decimal(ratio: Fraction, digits: int) -> Any:
        text = repr(float(ratio))
        short = len(text.partition("e")[0].replace(".", "").strip("-0")) <= digits
        return sympy.Rational(text) if short and Fraction(float(ratio)) == ratio else None

    def simple(ratio: Fraction) -> Any:
        if max(abs(ratio.numerator), ratio.denominator) <= 1 << 16:
            return sympy.Rational(ratio.numerator, ratio.denominator)
        return None

    if simple(exact) is not None:
        return number
    for value, constant in _constants():
        factor = simple(exact / value)
        if factor is None:
            factor = decimal(exact / value, 12)
        if factor is not None:
            return factor * constant
    told = decimal(exact, 17)
    return number if told is None else told


def _with_meant(expression: Any) -> Any:
    """An expression of the code, with what its numbers stand for."""
    import sympy

    return expression.xreplace({each: meant(each) for each in expression.atoms(sympy.Rational)})


# The statement ------------------------------------------------------------------------------


def _names(record: Record) -> tuple[str, ...]:
    return (*record.arguments, *record.statics)


def _is_condition(record: Record, name: str) -> bool:
    """Is it true or false, rather than a number?"""
    if name in record.statics:
        return isinstance(_defaults(record).get(name), bool)
    return name not in record.derivative


def _symbols_of(record: Record) -> dict[str, Any]:
    """A symbol for each argument, with what its domain lets us assume."""
    import sympy

    found = {}
    for name in _names(record):
        low, _ = record.domain.get(name, DEFAULT_DOMAIN)
        if _is_condition(record, name):
            found[name] = sympy.Symbol(name)
        else:
            found[name] = sympy.Symbol(name, **({"positive": True} if low >= 0 else {"real": True}))
    return found


def parse(text: str, record: Record) -> Any:
    """SymPy's expression of a formula or a derivative of a record.

    The names of other elementwise records stand for their own formulas: `tanh(x)` in a derivative
    is what the record of tanh says.

    Raises ProofError if SymPy cannot read the text.

    >>> parse("tanh(x)", RECORDS["tanh"])
    (exp(x) - exp(-x))/(exp(x) + exp(-x))
    """
    import sympy
    from sympy.parsing.sympy_parser import parse_expr, rationalize, standard_transformations

    def resolve(other: Record) -> Any:
        arguments = tuple(_symbols_of(other).values())
        formula = parse(other.formula, other)
        return lambda *given: formula.subs(
            dict(zip(arguments, given, strict=True)), simultaneous=True
        )

    space = {
        name: resolve(other)
        for name, other in {**RECORDS, record.name: record}.items()
        if other.elementwise
        and re.search(rf"\b{re.escape(name)}\b", text)
        and not re.search(rf"\b{re.escape(name)}\b", other.formula)  # exp(x) is SymPy's own
    }
    try:
        return parse_expr(
            text,
            local_dict={**space, **_symbols_of(record)},
            transformations=(*standard_transformations, rationalize),
        )
    except (SyntaxError, TypeError, ValueError, AttributeError, sympy.SympifyError) as error:
        raise ProofError(f"{record.name}: SymPy cannot read {text!r}: {error}") from error


def _switches(formula: Any) -> set[Any]:
    """The expressions at whose zeros a formula changes its branch."""
    import sympy

    found = set()
    for atom in formula.atoms(sympy.Max, sympy.Min):
        found |= {a - b for i, a in enumerate(atom.args) for b in atom.args[:i]}
    for atom in formula.atoms(sympy.Abs, sympy.sign, sympy.Heaviside):
        found.add(atom.args[0])
    for atom in formula.atoms(sympy.core.relational.Relational):
        found.add(atom.lhs - atom.rhs)
    return found


def _conditions(formula: Any, names: Mapping[str, Any]) -> list[Any]:
    """The symbols that are themselves conditions of a formula."""
    import sympy

    found = {
        condition
        for piecewise in formula.atoms(sympy.Piecewise)
        for _, condition in piecewise.args
        if condition in names.values()
    }
    return sorted(found, key=str)


def _regions(record: Record, formula: Any, names: Mapping[str, Any]) -> Iterator[dict[Any, Any]]:
    """Substitutions that between them cover the domain, kinks apart, one branch each."""
    import sympy

    conditions = _conditions(formula, names)
    for values in itertools.product((sympy.true, sympy.false), repeat=len(conditions)):
        chosen = dict(zip(conditions, values, strict=True))
        for region in _branches(record, formula.subs(chosen), names):
            yield chosen | region


def _branches(record: Record, formula: Any, names: Mapping[str, Any]) -> list[dict[Any, Any]]:
    """The regions of a formula without conditions; for one argument in ascending order."""
    import sympy

    distance = sympy.Dummy("distance", positive=True)
    if len(record.arguments) > 1:
        found = []
        for switch in _switches(formula):
            free = sorted(switch.free_symbols, key=str)
            for side in (distance, -distance):
                found.append({free[0]: sympy.solve(switch - side, free[0])[0]})
        return found or [{}]
    x = names[record.arguments[0]]
    declared = [names[each] if isinstance(each, str) else each for each in record.kinks]
    kinks = [sympy.nsimplify(each, rational=True) for each in declared]
    for switch in _switches(formula):
        if x not in switch.free_symbols:
            raise ProofError(
                f"{record.name}: the formula depends on the sign of {switch}, of static arguments "
                "alone; state it without, or make two operations of it"
            )
        undeclared = set(sympy.solve(switch, x)) - set(kinks)
        if undeclared:
            raise ProofError(f"{record.name}: has a kink at {undeclared}, which it must list")
    if not kinks:
        return [{}]
    # Static arguments at which there are kinks are told apart by positive widths.
    given: dict[Any, Any] = {}
    widths: dict[int, Any] = {}
    for i, (low, high) in enumerate(itertools.pairwise(list(kinks))):
        width = sympy.Dummy(f"width_{i}", positive=True)
        if high.is_Symbol:
            given[high] = kinks[i + 1] = kinks[i] + width
        elif low.is_Symbol and i == 0:
            given[low] = kinks[0] = high - width
        elif (high - kinks[i]).is_positive:
            continue
        else:
            raise ProofError(f"{record.name}: its kinks are not in ascending order")
        widths[i] = width
    regions = [given | {x: kinks[0] - distance}]
    for i, (low, high) in enumerate(itertools.pairwise(kinks)):
        if i in widths:
            whole = {widths[i]: distance + sympy.Dummy("rest", positive=True)}
            inside = given | {x: low + distance}
            regions.append({each: value.subs(whole) for each, value in inside.items()})
        else:
            regions.append(given | {x: low + (high - low) / (1 + distance)})
    return [*regions, given | {x: kinks[-1] + distance}]


def _prove_statement(record: Record) -> list[str]:
    """The stated derivatives are those of the formula."""
    import sympy

    names = _symbols_of(record)
    formula, proved = parse(record.formula, record), []
    regions = list(_regions(record, formula, names))
    every = record.joint is not None or record.composed
    for name in record.arguments if every else record.vjps:
        text = record.derivative.get(name)
        if text is None:
            raise ProofError(f"{record.name}: states no derivative with respect to {name!r}")
        stated, true = parse(text, record), sympy.diff(formula, names[name])
        for region in regions:
            if not is_zero((true - stated).subs(region).doit()):
                where = ", ".join(f"{a} = {b}" for a, b in region.items()) or "everywhere"
                raise ProofError(
                    f"{record.name}: states the derivative {text} with respect to {name!r}, but "
                    f"that of {record.formula} is {sympy.simplify(true)} (compared: {where})"
                )
        proved.append(f"d/d{name} ({record.formula}) = {text}")
    return proved


# The code -----------------------------------------------------------------------------------


def run(
    record: Record, k: Any, arguments: Sequence[Any], static: Mapping[str, Any], upstream: Any
) -> tuple[Any, dict[int, Any]]:
    """What the code computes: the result, and for each argument with a VJP the gradient.

    `upstream(y)` gives the gradient of the result.
    """
    if record.composed:  # its gradient is that of its parts
        return np.asarray(record.forward(k, *arguments, **static)), {}
    key = 1 << len(arguments) | sum(
        1 << i
        for i in range(len(arguments))
        if record.joint is not None or record.arguments[i] in record.vjps
    )
    result = record.forward(k, *arguments, **static)
    result, residuals = result if isinstance(result, tuple) else (result, None)
    result = np.asarray(result)
    plan = record.plan(key)
    storages = (None,) * len(arguments)
    saved, _ = plan.save(result, residuals, arguments, None, storages)
    gradients = plan.pull(k, upstream(result), saved, dict(static))
    return result, dict(zip(plan.positions, gradients, strict=True))


def _defaults(record: Record) -> dict[str, Any]:
    return {p.name: p.default for p in record.signature if p.default is not p.empty}


def _points(record: Record, count: int) -> list[dict[str, Any]]:
    """Values of all arguments, drawn from the domain: on each branch, and for each condition.

    Static arguments have their default values in the first one.
    """
    draw = np.random.default_rng(sum(map(ord, record.name)))
    conditional = [name for name in _names(record) if _is_condition(record, name)]
    defaults, regions = _defaults(record), len(record.kinks) + 1
    for name in record.statics:
        if name not in conditional and name not in record.domain:
            raise ProofError(
                f"{record.name}: says of no values that the static argument {name!r} may have; "
                "give an interval in its domain"
            )
    points = []
    for i in range(max(count, 2 * regions << len(conditional))):
        point: dict[str, Any] = {
            name: draw.uniform(*record.domain.get(name, DEFAULT_DOMAIN)) for name in _names(record)
        }
        if i == 0:
            point |= {name: defaults[name] for name in record.statics if name in defaults}
        point |= {name: bool(i >> bit & 1) for bit, name in enumerate(conditional)}
        if record.kinks:
            (name,) = record.arguments
            low, high = record.domain.get(name, DEFAULT_DOMAIN)
            ends = [low, *(np.clip(kinks_of(record, point), low, high)), high]
            side = (i >> len(conditional)) % regions
            point[name] = draw.uniform(ends[side], ends[side + 1])
        points.append(point)
    return points


def _kink_points(record: Record, formula: Any) -> Iterator[dict[str, Any]]:
    """Values at which there are kinks, for several values of static arguments, or ties."""
    if len(record.arguments) == 1 and record.kinks:
        for point in _points(record, 6):
            for kink in kinks_of(record, point):
                yield point | {record.arguments[0]: kink}
    elif _switches(formula):
        static = {name: _points(record, 1)[0][name] for name in record.statics}
        for value in (-1.5, 0.0, 2.0):
            yield dict.fromkeys(record.arguments, value) | static


def _stuck(record: Record, error: Exception) -> ProofError:
    """The error of code that does not run on symbols."""
    text = f"{record.name}: cannot run on symbols: {error}"
    if "domain" in str(error):
        text += "; give the record a domain= on which the operation is defined (it was -3 to 3)"
    return ProofError(text)


def _prove_code_symbolically(record: Record) -> list[str]:
    """On Terms, the forward function gives the formula, and the VJPs g times the derivative.

    That holds on the branch that the code takes at a point. Where it compares, it may take another:
    points between the zeros of what it compares are tried as well, until no branch is left out.
    """
    names = _symbols_of(record)
    formula = parse(record.formula, record)
    upstream = symbols("upstream", (), -0.75)
    waiting, tried = _points(record, 4), 0
    while tried < len(waiting):
        point, tried = waiting[tried], tried + 1
        _decided.clear()
        arguments = [
            point[name]
            if isinstance(point[name], bool)
            else np.array(Term(names[name], float(point[name])), dtype=object)
            for name in record.arguments
        ]
        static = {
            name: point[name]
            if isinstance(point[name], bool)
            else Term(names[name], float(point[name]))
            for name in record.statics
        }
        try:
            result, gradients = run(record, symbolic, arguments, static, lambda y: upstream)
        except (TypeError, AttributeError, ValueError) as error:
            raise _stuck(record, error) from error
        branch = _branch(record, formula, names, point)
        _compare(record, "the forward function", Term.of(result[()]), formula, branch)
        for position, gradient in gradients.items():
            name = record.arguments[position]
            stated = parse(record.derivative[name], record)
            true = stated * upstream[()].expression
            _compare(
                record, f"the VJP of {name!r}", Term.of(np.asarray(gradient)[()]), true, branch
            )
        if len(record.arguments) == 1 and tried < MOST_POINTS:
            waiting += _untried(record, names, point, waiting)
    return [f"the code of {record.name} on symbols"]


def _untried(
    record: Record, names: Mapping[str, Any], point: dict[str, Any], known: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Points on those branches of the code, as far as they can be told, on which none is yet.

    They differ in the array argument from `point`, at which the code has just run. The zeros of
    what it compared are found where that is a polynomial.
    """
    import sympy

    (name,) = record.arguments
    x = names[name]
    others = {n: v for n, v in point.items() if n != name}
    at = {names[n]: sympy.nsimplify(v, rational=True) for n, v in others.items()}
    low, high = record.domain.get(name, SEARCHED)
    ends = {low, high}
    for expression in set(_decided):
        expression = sympy.sympify(expression).subs(at)
        if expression.free_symbols == {x} and expression.is_polynomial(x):
            zeros = map(complex, sympy.Poly(expression, x).nroots(maxsteps=200))
            real = [zero.real for zero in zeros if abs(zero.imag) < 1e-9]
            ends |= {zero for zero in real if low < zero < high}
    alike = [each[name] for each in known if {n: each[n] for n in others} == others]
    found = []
    for a, b in itertools.pairwise(sorted(ends)):
        if b - a > 1e-9 and not any(a < value < b for value in alike):
            found.append(point | {name: (a + b) / 2})
    return found


def _branch(
    record: Record, formula: Any, names: Mapping[str, Any], point: Mapping[str, Any]
) -> dict[Any, Any]:
    """The substitution that keeps the symbols on the side of each switch where the point is."""
    import sympy

    found = {names[n]: sympy.sympify(v) for n, v in point.items() if isinstance(v, bool)}
    formula = formula.subs(found)
    if len(record.arguments) == 1:
        x = point[record.arguments[0]]
        return (
            found
            | _branches(record, formula, names)[sum(x > kink for kink in kinks_of(record, point))]
        )
    values = {names[n]: v for n, v in point.items() if not isinstance(v, bool)}
    distance = sympy.Dummy("distance", positive=True)
    for switch in _switches(formula):
        side = distance if switch.subs(values) > 0 else -distance
        free = sorted(switch.free_symbols, key=str)[0]
        found[free] = sympy.solve(switch - side, free)[0]
    return found


def _compare(record: Record, what: str, got: Term, true: Any, branch: Mapping[Any, Any]) -> None:
    if not is_zero((_with_meant(got.expression) - true).subs(branch).doit()):
        raise ProofError(
            f"{record.name}: {what} computes {got.expression}, but should compute {true}"
        )


@np.errstate(divide="ignore", invalid="ignore")  # at a kink the derivative may be infinite
def _prove_code_on_numbers(record: Record) -> list[str]:
    """On float64 the code of every kernel set gives the values of formula and derivative."""
    import sympy

    names = _symbols_of(record)
    formula = parse(record.formula, record)
    stated = {name: parse(text, record) for name, text in record.derivative.items()}
    upstream = -0.75
    epsilon = float(np.finfo(np.float64).eps)

    def exact(expression: Any, at: Mapping[Any, Any]) -> Any:
        value = expression.subs(at).doit()
        return value.evalf(40) if value.is_number else None

    def check(what: str, got: Any, expression: Any, at: Mapping[Any, Any], factor: float) -> None:
        value = exact(expression, at)
        got = float(np.asarray(got))
        if value is None or not value.is_finite:
            return
        scale = 1 + abs(float(value))
        for symbol, number in at.items():
            change = exact(number * sympy.diff(expression, symbol), at) if symbol.is_real else None
            if change is not None and change.is_Float:  # at a kink it may be no number
                scale += abs(float(change))
        error = abs(sympy.Float(got, 40) - factor * value)
        if not error <= ULPS * epsilon * scale * max(1.0, abs(factor)):
            raise ProofError(
                f"{record.name}: {what} computes {got!r} at {dict(at)}, but should compute "
                f"{float(factor * value)!r}"
            )

    for k in get_device("cpu").sets.values():
        for point in [*_points(record, 12), *_kink_points(record, formula)]:
            at = {
                names[n]: sympy.S(v) if isinstance(v, bool) else sympy.Rational(Fraction(float(v)))
                for n, v in point.items()
            }
            arguments = [np.asarray(point[name]) for name in record.arguments]
            static = {name: point[name] for name in record.statics}
            result, gradients = run(
                record, k, arguments, static, lambda y: np.asarray(upstream, y.dtype)
            )
            check("the forward function", result, formula, at, 1.0)
            for position, gradient in gradients.items():
                name = record.arguments[position]
                check(f"the VJP of {name!r}", gradient, stated[name], at, upstream)
    return [f"the code of {record.name} on numbers, to {ULPS} units in the last place"]


def _prove_arrays(record: Record, case: Case) -> list[str]:
    """The VJPs are, entry by entry, the derivative of what the forward function computes."""
    import sympy

    static = {n: v for n, v in _defaults(record).items() if n in record.statics}
    static |= dict(case.static)
    seed = sum(map(ord, record.name))
    arrays, draw = case.draw(record, seed), np.random.default_rng(seed)
    for position in case.drawn():
        values = arrays[position]
        arrays[position] = symbols(record.argument_name(position), values.shape, values)

    given: list[Any] = []

    def upstream(result: Any) -> Any:
        given.append(symbols("upstream", result.shape, draw.uniform(-2, 2, result.shape)))
        return given[0]

    try:
        result, gradients = run(record, symbolic, arrays, static, upstream)
    except (TypeError, AttributeError, ValueError) as error:
        raise _stuck(record, error) from error
    total = sum(
        g.expression * Term.of(y).expression
        for g, y in zip(given[0].ravel(), result.ravel(), strict=True)
    )
    if record.elementwise:
        total = _with_meant(total)
    for position, gradient in gradients.items():
        array, name = arrays[position], record.argument_name(position)
        if position not in case.drawn():
            continue
        gradient = _unbroadcast(np.asarray(gradient, dtype=object), array.shape)
        for index in np.ndindex(array.shape):
            got, true = (
                Term.of(gradient[index]).expression,
                sympy.diff(total, array[index].expression),
            )
            if not is_zero((_with_meant(got) if record.elementwise else got) - true):
                raise ProofError(
                    f"{record.name}: entry {index} of the VJP of {name!r} computes {got}, but "
                    f"the derivative is {sympy.simplify(true)}"
                )
    return [f"the VJPs of {record.name} for {case!r}"]


def parts(record: Record) -> set[str]:
    """The names of the operations that a composition is made of, in any of its cases.

    >>> import chainrule as cr
    >>> mixed = cr.composition(
    ...     "mixed", forward=lambda k, x: k.exp(x) * x, formula="", cases=[case((2,))]
    ... )
    >>> sorted(parts(mixed.record))
    ['exp', 'multiply']
    """
    found: set[str] = set()
    for each in record.cases or [case(*[(2, 3)] * len(record.arguments))]:
        arguments = each.draw(record)
        for position in each.drawn():
            arguments[position] = Tensor(arguments[position], requires_grad=True)
        if each.prepare is not None:
            arguments = list(each.prepare(*arguments))
        result = invoke(record, arguments, each.static)
        below = {x._node for x in arguments if isinstance(x, Tensor)}
        waiting = [x._node for x in (result if isinstance(result, tuple) else (result,))]
        while waiting:
            node = waiting.pop()
            if node is None or node in below:
                continue
            below.add(node)
            if node.record is not None:
                found.add(node.record.name)
            waiting += node.parents or ()
    return found


def _unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """The sum over the axes along which an argument of `shape` had been repeated."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    gradient = np.asarray(gradient, dtype=object)
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return np.asarray(gradient.sum(axis=repeated, keepdims=True) if repeated else gradient)


def prove(operation: Any, arguments: Iterable[Any] | None = None, /, **static: Any) -> list[str]:
    """Proves the derivative of an operation, and returns what was proved, line by line.

    Arguments: `operation`, a record or its function. An elementwise operation, and one whose
    record has cases, need nothing more. For others, `arguments`: one for each array argument,
    either a shape, of which symbols are made, or an array of constants such as labels; and the
    operation's static arguments.

    A composition has no VJP of its own: what is proved is its formula, if it is elementwise, and
    the line says of which operations it is made.

    Raises ProofError if formula, derivative and code do not agree, naming what differs, or if the
    operation cannot be proved.

    >>> import chainrule as cr
    >>> prove(cr.sin)[0]
    'd/dx (sin(x)) = cos(x)'
    >>> prove(cr.matmul, [(2, 3), (3, 2)])
    ['the VJPs of matmul for (2, 3), (3, 2)']
    """
    record: Record = operation if isinstance(operation, Record) else operation.record
    if not record.differentiable:
        raise ProofError(f"{record.name}: has no gradient to prove")
    if arguments is not None:
        return _prove_arrays(record, case(*arguments, **static))
    if record.unproved:
        raise ProofError(f"{record.name}: is not proved: it {record.unproved}")
    proved: list[str] = []
    if record.elementwise:
        proved += [
            *_prove_statement(record),
            *_prove_code_symbolically(record),
            *_prove_code_on_numbers(record),
        ]
    if record.composed:
        return [*proved, f"{record.name} is made of {', '.join(sorted(parts(record)))}"]
    for each in record.cases:
        if each.symbolic and each.prepare is None:
            proved += _prove_arrays(record, each)
    if not proved:
        raise ProofError(
            f"{record.name}: is not elementwise; give the shapes of its arguments, as in "
            "prove(cr.matmul, [(2, 3), (3, 2)]), or cases in its record"
        )
    return proved
