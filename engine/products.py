"""Gradients as products: a coefficient and factors, multiplied entry by entry."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from .latex import ATOM, POWER, PRODUCT, SUM, Math, number, translate


class Product(NamedTuple):
    """A coefficient times factors, entry by entry; without factors it is the same everywhere."""

    coefficient: Fraction = Fraction(1)
    factors: tuple[Math, ...] = ()

    def __mul__(self, other: object) -> Product:
        assert isinstance(other, Product)
        return Product(self.coefficient * other.coefficient, self.factors + other.factors)

    def math(self) -> Math:
        """Its LaTeX: scalars first, the rest joined by circles."""
        size, scalar = abs(self.coefficient), all(each.scalar for each in self.factors)
        sign = "-" if self.coefficient < 0 else ""
        if self.coefficient == 0 or not self.factors:
            level = SUM if sign else ATOM
            return Math(sign + fraction(size), level, True)
        if size == 1 and len(self.factors) == 1:
            only = self.factors[0]
            return Math(f"-{only.at(PRODUCT)}", SUM, scalar) if sign else only
        numbers = [each for each in self.factors if each.scalar]
        arrays = [each for each in self.factors if not each.scalar]
        pieces = [] if size == 1 else [fraction(size)]
        pieces += [each.at(POWER) for each in numbers]
        if arrays:
            pieces.append(r" \circ ".join(each.at(POWER) for each in arrays))
        return Math(sign + r"\, ".join(pieces), SUM if sign else PRODUCT, scalar)

    def array(self) -> tuple[Fraction, Math]:
        """The coefficient, and the factors as one array, of ones if there is none."""
        rest = Product(Fraction(1), self.factors)
        if all(each.scalar for each in self.factors):
            rest *= Product(Fraction(1), (Math(r"\mathbf{1}"),))
        return self.coefficient, rest.math()


def fraction(value: Fraction) -> str:
    r"""A number as a fraction if that is short, in digits otherwise.

    >>> fraction(Fraction(1, 2)), fraction(Fraction(0.123456)), fraction(Fraction(3))
    ('\\tfrac12', '0.123456', '3')
    """
    short = value.limit_denominator(9999)
    if abs(short - value) > Fraction(1, 10**12) * abs(value):
        return number(float(value))
    if short.denominator == 1:
        return str(short.numerator)
    top, bottom = str(short.numerator), str(short.denominator)
    return rf"\tfrac{top}{bottom}" if len(top + bottom) == 2 else rf"\frac{{{top}}}{{{bottom}}}"


def product(text: str, names: Mapping[str, Math], numbers: Mapping[str, float]) -> Product | None:
    r"""An expression of a record as a product; None if it is not an expression in these names.

    >>> product("2 * (a - b)", {"a": Math("y"), "b": Math("t")}, {}).math().text
    '2\\, (y - t)'
    >>> product("b * a**(b - 1)", {"a": Math("u"), "b": Math("2", ATOM, True)}, {"b": 2.0}).factors
    (Math(text='u', level=3, scalar=False),)
    """
    try:
        return _product(ast.parse(text, mode="eval").body, names, numbers)
    except (SyntaxError, ValueError, KeyError, OverflowError, ZeroDivisionError):
        return None


def _product(node: ast.AST, names: Mapping[str, Math], numbers: Mapping[str, float]) -> Product:
    if isinstance(node, ast.Constant):
        return Product(Fraction(node.value))  # type: ignore[arg-type]
    if isinstance(node, ast.Name) and node.id in numbers:
        return Product(Fraction(numbers[node.id]))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return Product(Fraction(-1)) * _product(node.operand, names, numbers)
    if isinstance(node, ast.BinOp):
        left, right = (_product(each, names, numbers) for each in (node.left, node.right))
        pure = not (left.factors or right.factors)
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            size = left.coefficient / right.coefficient
            if not right.factors:
                return Product(size, left.factors)
            over = Product(Fraction(1), left.factors).math()
            under = Product(Fraction(1), right.factors).math()
            quotient = rf"\frac{{{over.text}}}{{{under.text}}}"
            return Product(size, (Math(quotient, POWER, over.scalar and under.scalar),))
        if isinstance(node.op, ast.Pow) and not right.factors:
            if right.coefficient == 1:
                return left
            if right.coefficient == 0:
                return Product()
            if not left.factors and right.coefficient.denominator == 1:
                return Product(left.coefficient ** int(right.coefficient))
            base = left.math()
            power = f"{base.text}^" if base.level == ATOM and "^" not in base.text else ""
            power = power or f"({base.text})^"
            return Product(
                Fraction(1), (Math(f"{power}{{{right.math().text}}}", POWER, base.scalar),)
            )
        if pure and isinstance(node.op, ast.Add):
            return Product(left.coefficient + right.coefficient)
        if pure and isinstance(node.op, ast.Sub):
            return Product(left.coefficient - right.coefficient)
    return Product(Fraction(1), (translate(node, names),))


def added(terms: list[Product]) -> Product:
    r"""The sum of products: like ones are put together.

    >>> x = Product(Fraction(1), (Math("x"),))
    >>> added([x, x]).math().text, added([x, Product(Fraction(-2))]).math().text
    ('2\\, x', 'x - 2')
    """
    sizes: dict[tuple[Math, ...], Fraction] = {}
    for each in terms:
        key = tuple(sorted(each.factors))
        sizes[key] = sizes.get(key, Fraction(0)) + each.coefficient
    shown = {tuple(sorted(each.factors)): each.factors for each in terms}
    found = [Product(size, shown[key]) for key, size in sizes.items() if size]
    if not found:
        return Product(Fraction(0))
    if len(found) == 1:
        return found[0]
    return Product(Fraction(1), (plus([each.math() for each in found]),))


def plus(terms: list[Math]) -> Math:
    """The sum of terms, as it stands."""
    text = terms[0].text
    for each in terms[1:]:
        text += f" - {each.text[1:]}" if each.text.startswith("-") else f" + {each.text}"
    level = SUM if len(terms) > 1 else terms[0].level
    return Math(text, level, all(each.scalar for each in terms))
