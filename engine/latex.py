"""LaTeX of what records say about themselves, of names, numbers and arrays.

The formula of an elementwise operation is a Python expression, and is translated by its syntax
tree; the others are prose with indices, and are translated sign by sign.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda"),
    *("mu", "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
)
#: Functions with a command of their own in LaTeX.
COMMANDS = {
    **{each: rf"\{each}" for each in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"a{each}": rf"\arc{each}" for each in ("sin", "cos", "tan")},
    **{"Max": r"\max", "Min": r"\min", "maximum": r"\max", "minimum": r"\min"},
    **{"sigmoid": r"\sigma", "Heaviside": r"\mathrm{H}", "det": r"\det"},
}
COMPARISONS = {
    **{
        ast.Lt: "<",
        ast.LtE: r"\leq",
        ast.Gt: ">",
        ast.GtE: r"\geq",
        ast.Eq: "=",
        ast.NotEq: r"\neq",
    }
}
SUM, PRODUCT, POWER, ATOM = range(4)


class Math(NamedTuple):
    """A piece of LaTeX; `level`, how tightly it holds together; `scalar`, is it one number?"""

    text: str
    level: int = ATOM
    scalar: bool = False

    def at(self, level: int) -> str:
        """The text, in parentheses if it holds together less tightly than `level`."""
        return self.text if self.level >= level else f"({self.text})"


def escape(text: str) -> str:
    r"""Plain text for LaTeX.

    >>> escape("a_1 & 50%")
    'a\\_1 \\& 50\\%'
    """
    text = re.sub(r"[\\^~]", " ", text)
    return re.sub(r"([_&%$#{}])", r"\\\1", text)


def upright(name: str) -> str:
    r"""A word as the name of a function or a tensor: \mathrm{relu}; Greek letters as such."""
    return COMMANDS.get(name) or (rf"\{name}" if name in GREEK else rf"\mathrm{{{escape(name)}}}")


def symbol(name: str) -> str:
    r"""The name of a tensor in LaTeX; what is LaTeX already stays as it is.

    >>> [symbol(each) for each in ("W1", "b_12", "x", r"\hat y", "dense.kernel", "delta_3")]
    ['W_1', 'b_{12}', 'x', '\\hat y', '\\mathrm{dense.kernel}', '\\delta_3']
    """
    if re.search(r"[\\^{}]", name) and balanced(name):
        return name
    match = re.fullmatch(r"([A-Za-z]+?)_?(\d*|_[A-Za-z])", name)
    if match is None or not (len(match[1]) == 1 or match[1] in GREEK):
        return rf"\mathrm{{{escape(name)}}}"
    base = rf"\{match[1]}" if match[1] in GREEK else match[1]
    index = match[2].lstrip("_")
    return base if not index else f"{base}_{index}" if len(index) == 1 else f"{base}_{{{index}}}"


def balanced(text: str) -> bool:
    """Do its braces fit together?

    >>> balanced("{a}{b}"), balanced("}a{"), balanced(r"{a")
    (True, False, False)
    """
    depth = 0
    for sign in re.sub(r"\\[\\{}]", "", text):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


def number(value: Any, digits: int = 6) -> str:
    r"""A number, with at most so many digits.

    >>> [number(each) for each in (0.5, -3.0, 1e-7, float("inf"), True)]
    ['0.5', '-3', '10^{-7}', '\\infty', '1']
    """
    value = float(value)
    if math.isnan(value):
        return r"\mathrm{NaN}"
    if value == 0:
        return "0"  # and not -0
    if math.isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    text = f"{value:.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    power = f"10^{{{int(exponent)}}}"
    return {"1": power, "-1": f"-{power}"}.get(mantissa, rf"{mantissa} \times {power}")


def array(value: Any, digits: int = 4, rows: int = 4) -> str:
    r"""An array with its numbers; of one longer than `rows` only the ends, and its shape.

    >>> import numpy as np
    >>> array(np.array([1.0, 2.5]))
    '\\begin{bmatrix} 1 & 2.5 \\end{bmatrix}'
    """
    if value.ndim == 0:
        return number(value, digits)
    if value.ndim > 2 or value.size == 0:
        sizes = r" \times ".join(map(str, value.shape))
        if value.size == 0:
            return rf"[\,]_{{{sizes}}}"
        low, high = number(value.min(), digits), number(value.max(), digits)
        return rf"[\,{low} \ldots {high}\,]_{{{sizes}}}"
    matrix = value.reshape(-1, value.shape[-1])
    picked = [_ends(length, rows) for length in matrix.shape]
    lines = []
    for i in picked[0]:
        if i is None:
            lines.append(" & ".join(r"\ddots" if j is None else r"\vdots" for j in picked[1]))
        else:
            cells = (r"\cdots" if j is None else number(matrix[i, j], digits) for j in picked[1])
            lines.append(" & ".join(cells))
    text = r"\begin{bmatrix} " + r" \\ ".join(lines) + r" \end{bmatrix}"
    if None in picked[0] or None in picked[1]:
        text += "_{" + r" \times ".join(map(str, value.shape)) + "}"
    return text


def _ends(length: int, most: int) -> list[int | None]:
    """The indices that are shown, None for those left out."""
    if length <= most:
        return [*range(length)]
    return [*range(most - 2), None, length - 1]


def formula(text: str, names: Mapping[str, Math]) -> Math | None:
    r"""The LaTeX of a Python expression, its names replaced; None if it is no such expression.

    >>> names = {"x": Math("z_1"), "a": Math("u - v", SUM)}
    >>> formula("a * exp(-x) / 2", names).text
    '\\frac{(u - v) \\circ e^{-z_1}}{2}'
    """
    try:
        return translate(ast.parse(text, mode="eval").body, names)
    except (SyntaxError, ValueError, KeyError):
        return None


def translate(node: ast.AST, names: Mapping[str, Math]) -> Math:
    """Raises KeyError or ValueError for what has no translation."""
    if isinstance(node, ast.Constant):
        value = number(node.value, 16)
        return Math(value, SUM if value.startswith("-") else ATOM, True)
    if isinstance(node, ast.Name):
        return Math(r"\pi", ATOM, True) if node.id == "pi" else names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = translate(node.operand, names)
        return Math(f"-{operand.at(PRODUCT)}", SUM, operand.scalar)
    if isinstance(node, ast.BinOp):
        return _binary(node, names)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = translate(node.left, names), translate(node.comparators[0], names)
        return Math(f"{left.text} {COMPARISONS[type(node.ops[0])]} {right.text}", SUM)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node.args, names)
    raise ValueError(ast.dump(node))


def _binary(node: ast.BinOp, names: Mapping[str, Math]) -> Math:
    left, right = translate(node.left, names), translate(node.right, names)
    scalar = left.scalar and right.scalar
    if isinstance(node.op, ast.Add):
        added = right.at(PRODUCT) if right.text.startswith("-") else right.text
        return Math(f"{left.text} + {added}", SUM, scalar)
    if isinstance(node.op, ast.Sub):
        return Math(f"{left.text} - {right.at(PRODUCT)}", SUM, scalar)
    if isinstance(node.op, ast.Mult):
        sign = r"\," if left.scalar or right.scalar else r" \circ"
        if left.text[-1:].isdigit() and right.text[:1].isdigit():
            sign = r" \cdot"
        if left.text.startswith("-") and isinstance(node.left, ast.UnaryOp):
            return Math(f"{left.text}{sign} {right.at(PRODUCT)}", SUM, scalar)
        return Math(f"{left.at(PRODUCT)}{sign} {right.at(PRODUCT)}", PRODUCT, scalar)
    if isinstance(node.op, ast.Div):
        return Math(rf"\frac{{{left.text}}}{{{right.text}}}", POWER, scalar)
    if isinstance(node.op, ast.Pow):
        base = left.text if left.level == ATOM and "^" not in left.text else f"({left.text})"
        return Math(f"{base}^{{{right.text}}}", POWER, scalar)
    if isinstance(node.op, ast.BitAnd):
        return Math(rf"{left.text} \wedge {right.text}", SUM)
    raise ValueError(ast.dump(node))


def _call(name: str, nodes: list[ast.expr], names: Mapping[str, Math]) -> Math:
    if name == "Piecewise":
        rows = []
        for pair in nodes:
            if not isinstance(pair, ast.Tuple):
                raise ValueError("Piecewise takes pairs")
            value, condition = pair.elts
            last = isinstance(condition, ast.Constant) and condition.value is True
            when = r"\text{otherwise}" if last else translate(condition, names).text
            rows.append(f"{translate(value, names).text} & {when}")
        return Math(r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}", PRODUCT)
    arguments = [translate(each, names) for each in nodes]
    first, scalar = arguments[0], all(each.scalar for each in arguments)
    if name == "Heaviside" and isinstance(nodes[1], ast.Constant) and nodes[1].value == 0:
        return Math(f"[{first.text} > 0]", ATOM)
    if name == "Heaviside":  # one half at the tie
        return Math(rf"\mathrm{{H}}({first.text})", ATOM)
    if name in ("sqrt", "cbrt"):
        root = r"\sqrt" if name == "sqrt" else r"\sqrt[3]"
        return Math(f"{root}{{{first.text}}}", ATOM, scalar)
    if name == "exp":
        return Math(f"e^{{{first.text}}}", POWER, scalar)
    if name == "Abs":
        return Math(f"|{first.text}|", ATOM, scalar)
    if name == "floor":
        return Math(rf"\lfloor {first.text} \rfloor", ATOM, scalar)
    if name == "Rational":
        return Math(rf"\frac{{{first.text}}}{{{arguments[1].text}}}", POWER, True)
    inside = ", ".join(each.text for each in arguments)
    return Math(f"{upright(name)}({inside})", ATOM, scalar)


SIGNS = {
    **{"Σ": r"\sum ", "∑": r"\sum ", "Π": r"\prod ", "∏": r"\prod ", "∂": r"\partial "},
    **{"≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "∈": r"\in ", "∞": r"\infty ", "√": r"\surd "},
    **{"½": r"\tfrac12 ", "·": r"\cdot ", "×": r"\times ", "*": r"\cdot ", "→": r"\to "},
    **{"−": "-", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$"},
}
RAISED = {"ᵀ": r"\mathsf T", "⁻": "-", "¹": "1", "²": "2", "³": "3", "⁰": "0"}


def prose(text: str) -> str:
    r"""The LaTeX of what a record says in words and indices.

    >>> prose("y[i] = Σ_(j ≤ i) x[j], of aᵀ")
    'y[i] = \\sum _{(j \\leq  i)} x[j]\\text{, of }a^{\\mathsf T}'
    """
    text = text.replace("\\", " ")
    if not balanced(text):
        return rf"\text{{{escape(text)}}}"
    pieces = []
    text = text.replace("<=", "≤").replace(">=", "≥")
    text = re.sub(r"([_^])\(([^()]*)\)", r"\1{(\2)}", text.replace("**", "^"))
    token = rf"[{''.join(RAISED)}]+|[\s,;:.]*(?:[A-Za-z][A-Za-z0-9_]+[\s,;:.]*)+|."
    for each in re.findall(token, text, re.DOTALL):
        if each[0] in RAISED:
            pieces.append(f"^{{{''.join(RAISED[sign] for sign in each)}}}")
        elif len(each) > 1 and re.search("[A-Za-z]", each):
            pieces.append(rf"\text{{{escape(each)}}}")
        elif each.isascii():
            pieces.append(SIGNS.get(each, each if each not in "\\~" else " "))
        else:
            pieces.append(SIGNS.get(each, rf"\text{{{each}}}"))
    joined = "".join(pieces)
    joined = re.sub(r"([_^])(\\text\{[^{}]*\})", r"\1{\2}", joined)
    return re.sub(r"[_^](?=\s*$|[\s_^])", " ", joined)
