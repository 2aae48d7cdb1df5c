"""The proof of a derivative: what is stated, and what the code computes, against SymPy's calculus.

For an elementwise operation the formula is differentiated and must equal the derivative stated
beside it, on each side of every kink. Then the code itself, forward function and VJPs, runs on
arrays of Terms, and must give the formula and the derivative, symbol by symbol; and on numbers,
where it must give their values to a few units in the last place. For other operations the code
runs on Terms and its VJPs are compared, entry by entry, with the derivative of its own result.

What is proved on Terms holds on the branch that the code takes at their values. An elementwise
operation of one argument is led to its other branches too. SymPy is loaded at the first proof.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .calls import invoke, kinks_of
from .cases import Case, case
from .devices import get_device
from .errors import ProofError
from .identities import is_zero, with_meant
from .record import Record
from .statement import (
    DEFAULT_DOMAIN,
    branches,
    is_condition,
    names_of,
    parse,
    prove_statement,
    switches,
    symbols_of,
)
from .tensor import Tensor
from .terms import Term, decisions, symbolic, symbols

#: The numeric bound: this many machine epsilons, times the condition of what is computed.
ULPS = 16

#: At most so many points are tried in search of the branches of one operation's code.
MOST_POINTS = 60

#: Where they are searched for, unless the record has a domain. Farther out some operations cut
#: their argument, where it makes no difference to any digit: erf at 28, silu at -800.
SEARCHED = (-20.0, 20.0)


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


def _points(record: Record, count: int) -> list[dict[str, Any]]:
    """Values of all arguments, drawn from the domain: on each branch, and for each condition.

    Static arguments have their default values in the first one.
    """
    draw = np.random.default_rng(sum(map(ord, record.name)))
    conditional = [name for name in names_of(record) if is_condition(record, name)]
    defaults, regions = record.defaults, len(record.kinks) + 1
    for name in record.statics:
        if name not in conditional and name not in record.domain:
            raise ProofError(
                f"{record.name}: says of no values that the static argument {name!r} may have; "
                "give an interval in its domain"
            )
    points = []
    for i in range(max(count, 2 * regions << len(conditional))):
        point: dict[str, Any] = {
            name: draw.uniform(*record.domain.get(name, DEFAULT_DOMAIN))
            for name in names_of(record)
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
    elif switches(formula):
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
    names = symbols_of(record)
    formula = parse(record.formula, record)
    upstream = symbols("upstream", (), -0.75)
    waiting, tried = _points(record, 4), 0
    while tried < len(waiting):
        point, tried = waiting[tried], tried + 1
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
            with decisions() as decided:
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
            waiting += _untried(record, names, point, decided, waiting)
    return [f"the code of {record.name} on symbols"]


def _untried(
    record: Record,
    names: Mapping[str, Any],
    point: dict[str, Any],
    decided: Sequence[Any],
    known: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Points on those branches of the code, as far as they can be told, on which none is yet.

    They differ in the array argument from `point`, at which the code has just run, and compared
    with 0 what was `decided`; the zeros of that are found where it is a polynomial.
    """
    import sympy

    (name,) = record.arguments
    x = names[name]
    others = {n: v for n, v in point.items() if n != name}
    at = {names[n]: sympy.nsimplify(v, rational=True) for n, v in others.items()}
    low, high = record.domain.get(name, SEARCHED)
    ends = {low, high}
    for expression in set(decided):
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
            | branches(record, formula, names)[sum(x > kink for kink in kinks_of(record, point))]
        )
    values = {names[n]: v for n, v in point.items() if not isinstance(v, bool)}
    distance = sympy.Dummy("distance", positive=True)
    for switch in switches(formula):
        side = distance if switch.subs(values) > 0 else -distance
        free = sorted(switch.free_symbols, key=str)[0]
        found[free] = sympy.solve(switch - side, free)[0]
    return found


def _compare(record: Record, what: str, got: Term, true: Any, branch: Mapping[Any, Any]) -> None:
    if not is_zero((with_meant(got.expression) - true).subs(branch).doit()):
        raise ProofError(
            f"{record.name}: {what} computes {got.expression}, but should compute {true}"
        )


@np.errstate(divide="ignore", invalid="ignore")  # at a kink the derivative may be infinite
def _prove_code_on_numbers(record: Record) -> list[str]:
    """On float64 the code of every kernel set gives the values of formula and derivative."""
    import sympy

    names = symbols_of(record)
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

    static = {n: v for n, v in record.defaults.items() if n in record.statics}
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
        total = with_meant(total)
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
            if not is_zero((with_meant(got) if record.elementwise else got) - true):
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
            *prove_statement(record),
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
