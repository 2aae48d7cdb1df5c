"""The derivative table as a page: formula, derivative and proof of every operation, in Markdown.

It is made from the records, as the docstrings are; `docs/operations.md` is what it gave.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable

from .record import RECORDS, Record

_TITLE = """# The operations of chainrule, and their derivatives

This page is made from the operation records (`python scripts/make_docs.py`); do not edit it.

Every row is one record in `engine/operations/`: the formula and the derivative that it states, and
the code that computes both. *Proved* means that a test differentiates with SymPy what the code
computes, and asks that it equal what is stated, or what the code's own VJPs compute, entry by
entry. What cannot be proved says why, and is compared with finite differences, as everything else
is too: to first and second order, with random signed upstream gradients `g`. `[condition]` is 1
where the condition holds and 0 elsewhere; θ(x, h) is the step function: 0 below 0, 1 above, h at 0.
"""


def latex(text: str) -> str:
    r"""The formula or derivative of an elementwise record, SymPy text, as LaTeX.

    >>> print(latex("1 / (1 + exp(-x))"))
    \frac{1}{1 + e^{- x}}
    """
    import sympy
    from sympy.parsing.sympy_parser import parse_expr

    names = {
        name: sympy.Function(name) if f"{name}(" in text else sympy.Symbol(name)
        for name in RECORDS
        if not hasattr(sympy, name)
    }
    expression = parse_expr(text, local_dict=names)
    return str(sympy.latex(expression)).replace("|", r"\vert ")


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _proof(record: Record) -> str:
    if not record.differentiable:
        return "no gradient"
    if record.composed:
        from .proof import parts

        made = "made of " + ", ".join(f"`{each}`" for each in sorted(parts(record)))
        return f"formula proved; {made}" if record.elementwise else made
    return f"checked numerically: it {record.unproved}" if record.unproved else "proved"


def _row(record: Record) -> str:
    function = f"`{record.name}{inspect.signature(record.function)}`"
    if record.elementwise:
        formula = f"${latex(record.formula)}$"
        derivatives = [
            (rf"$\frac{{\partial}}{{\partial {name}}} = {latex(text)}$")
            for name, text in record.derivative.items()
        ]
    else:
        formula = _code(record.formula) if record.formula else ""
        derivatives = [
            _code(text) if len(record.derivative) == 1 else f"{name}: {_code(text)}"
            for name, text in record.derivative.items()
        ]
    told = _cell(record.summary)
    if record.kinks:
        told += f" Not differentiable at {', '.join(map(str, record.kinks))}."
    cells = (f"**{_cell(function)}**<br>{told}", formula, "<br>".join(derivatives), _proof(record))
    return f"| {' | '.join(cells)} |"


def page(records: Iterable[Record] | None = None) -> str:
    r"""The table of these records (by default all of chainrule's own), as Markdown.

    >>> import chainrule as cr
    >>> row = page([cr.sin.record]).splitlines()[-1].split(" | ")
    >>> print(row[1], row[3])
    $\sin{\left(x \right)}$ proved |
    """
    if records is None:
        records = [record for record in RECORDS.values() if record.builtin]
    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(record.forward.__module__, []).append(record)
    parts = [_TITLE]
    for name in sorted(families):
        doc = (importlib.import_module(name).__doc__ or name).strip().splitlines()[0]
        parts.append(f"## {doc}\n")
        head = "| operation | formula | derivative | how it is known |\n| --- | --- | --- | --- |"
        parts.append("\n".join([head, *map(_row, families[name])]) + "\n")
    return "\n".join(parts)
