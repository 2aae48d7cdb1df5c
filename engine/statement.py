"""What an elementwise record states, formula and derivative, as SymPy expressions; their proof.

The derivative must be that of the formula in every region between kinks and switches.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import ProofError
from .identities import is_zero
from .record import RECORDS, Record

#: Where arguments are drawn from, unless the record's domain says otherwise.
DEFAULT_DOMAIN = (-3.0, 3.0)


def names_of(record: Record) -> tuple[str, ...]:
    """The names of the arguments, array ones first."""
    return (*record.arguments, *record.statics)


def is_condition(record: Record, name: str) -> bool:
    """Is it true or false, rather than a number?"""
    if name in record.statics:
        return isinstance(record.defaults.get(name), bool)
    return name not in record.derivative


def symbols_of(record: Record) -> dict[str, Any]:
    """A symbol for each argument, with what its domain lets us assume."""
    import sympy

    found = {}
    for name in names_of(record):
        low, _ = record.domain.get(name, DEFAULT_DOMAIN)
        if is_condition(record, name):
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
        arguments = tuple(symbols_of(other).values())
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
            local_dict={**space, **symbols_of(record)},
            transformations=(*standard_transformations, rationalize),
        )
    except (SyntaxError, TypeError, ValueError, AttributeError, sympy.SympifyError) as error:
        raise ProofError(f"{record.name}: SymPy cannot read {text!r}: {error}") from error


def switches(formula: Any) -> set[Any]:
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
        for region in branches(record, formula.subs(chosen), names):
            yield chosen | region


def branches(record: Record, formula: Any, names: Mapping[str, Any]) -> list[dict[Any, Any]]:
    """The regions of a formula without conditions; for one argument in ascending order."""
    import sympy

    distance = sympy.Dummy("distance", positive=True)
    if len(record.arguments) > 1:
        found = []
        for switch in switches(formula):
            free = sorted(switch.free_symbols, key=str)
            for side in (distance, -distance):
                found.append({free[0]: sympy.solve(switch - side, free[0])[0]})
        return found or [{}]
    x = names[record.arguments[0]]
    declared = [names[each] if isinstance(each, str) else each for each in record.kinks]
    kinks = [sympy.nsimplify(each, rational=True) for each in declared]
    for switch in switches(formula):
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


def prove_statement(record: Record) -> list[str]:
    """The stated derivatives are those of the formula."""
    import sympy

    names = symbols_of(record)
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
