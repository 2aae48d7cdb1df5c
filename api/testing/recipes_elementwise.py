"""How lines of random programs are drawn: elementwise operations, choices and entrywise losses.

A recipe is a function of a `Drawing` that returns an expression, or None if nothing fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.engine.calls import kinks_of
from chainrule.engine.record import RECORDS, Record

from .drawing import MARGIN, Array, Drawing, Shape, broadcast, far

Recipe = Callable[[Drawing], "str | None"]

#: Steps: their values must not change near the operand's. And where slopes are infinite.
STEPS = {"floor": 1.0, "ceil": 1.0, "trunc": 1.0, "round": 0.5}
SINGULAR = {"cbrt": 0.25, "reciprocal": 0.25}

SYMBOLS = {
    **{"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"},
    **{"floor_divide": "//", "remainder": "%"},
}


def unary(record: Record) -> Recipe:
    """A recipe for an elementwise operation of one argument."""
    name = record.name

    def recipe(drawing: Drawing) -> str | None:
        operand = drawing.pick()
        if operand is None:
            return None
        static = {
            each: round(drawing.one_of([0.25, 0.75, 0.5]) * (high - low) + low, 3)
            for each, (low, high) in record.domain.items()
            if each in record.statics and drawing.flag()
        }
        if "approximate" in record.statics and drawing.flag():
            static["approximate"] = True
        x, text = drawing.numpy(operand), operand
        kinks = kinks_of(record, static)
        if name == "round" and drawing.flag():
            static, x = {"decimals": 1}, 10 * x
        if kinks and not (np.abs(np.subtract.outer(x, kinks)) > SINGULAR.get(name, MARGIN)).all():
            return None
        if name in STEPS and not far((x / STEPS[name]) % 1.0, 0.0, 1.0):
            return None
        if record.arguments[0] in record.domain and not kinks:
            text = drawing.within(operand, *record.domain[record.arguments[0]])
        return spelled(drawing, record, [text], static)

    return recipe


def spelled(drawing: Drawing, record: Record, operands: list[str], static: dict[str, Any]) -> str:
    """A call, as a function, method, operator or NumPy function."""
    name, named = record.name, "".join(f", {k}={v!r}" for k, v in static.items())
    call = ", ".join(operands)
    forms = [f"cr.{name}({call}{named})"]
    tensor = operands[0][0] in "xv" or operands[0].startswith("(")
    if tensor and name in record.methods:
        rest = ", ".join(operands[1:]) + named
        forms.append(f"{operands[0]}.{name}({rest.removeprefix(', ')})")
    if name in SYMBOLS:
        forms.insert(0, f" {SYMBOLS[name]} ".join(operands))
    elif name in ("negative", "positive"):
        forms.append(f"{'-' if name == 'negative' else '+'}{operands[0]}")
    elif name == "abs":
        forms.append(f"abs({operands[0]})")
    if not static and isinstance(getattr(np, name, None), np.ufunc):
        forms.append(f"np.{name}({call})")
    return str(drawing.one_of(forms))


def several(record: Record, fits: Callable[..., bool] | None = None) -> Recipe:
    """A recipe for an operation of two or three arguments that broadcast together.

    `fits`: do these arrays stay away from its kinks?
    """

    def recipe(drawing: Drawing) -> str | None:
        first = drawing.pick()
        if first is None:
            return None
        texts, shape = [first], drawing.numpy(first).shape
        for _ in record.arguments[1:]:
            texts.append(other_operand(drawing, shape))
            shape = np.broadcast_shapes(shape, np.shape(drawing.evaluate(texts[-1])))
        if drawing.flag():
            texts[0], texts[1] = texts[1], texts[0]
        for i, argument in enumerate(record.arguments):
            if argument in record.domain:
                texts[i] = drawing.within(texts[i], *record.domain[argument])
        if fits is not None:
            arrays = [drawing.array_of(text) for text in texts]
            if not fits(*np.broadcast_arrays(*arrays)):
                return None
        return spelled(drawing, record, texts, {})

    return recipe


def other_operand(drawing: Drawing, shape: Shape) -> str:
    """Something that broadcasts with a shape: a value, a number or a constant array."""
    kind = drawing.integer(0, 5)
    if kind == 4:
        return drawing.number()
    if kind == 5:
        return drawing.array(shape[drawing.integer(0, len(shape)) :])
    return drawing.partner(shape) or drawing.number()


def integer_power(drawing: Drawing) -> str | None:
    """Powers with integer exponents take negative numbers too; numbers to a power of 2.0."""
    name = drawing.pick()
    if name is None:
        return None
    x, exponent = drawing.numpy(name), drawing.one_of([2, 3, 1, 0, -1, -2])
    if exponent < 0 and not (np.abs(x) > 0.4).all():
        return f"{drawing.one_of(['2.0', '0.5'])} ** {name}"
    return f"{name} ** {exponent}"


# Conditions and choices ----------------------------------------------------------------------


def condition(drawing: Drawing, fits: Callable[[Array], bool]) -> str | None:
    """A condition on a value that fits, which is not about to change; as text in parentheses."""
    name = drawing.pick(fits)
    if name is None:
        return None
    text = _comparison(drawing, name)
    if text is None:
        return None
    kind = drawing.integer(0, 4)
    if kind == 1:
        return f"(~{text})" if drawing.flag() else f"cr.logical_not({text})"
    if kind == 2:
        more = _comparison(drawing, name)
        if more is None:
            return text
        return f"({text} {drawing.one_of(['&', '|', '^'])} {more})"
    if kind == 3:
        word = drawing.one_of(["and", "or", "xor"])
        question = drawing.one_of(["isfinite", "isnan", "isinf"])
        return f"cr.logical_{word}({text}, cr.{question}({name}))"
    return text


def _comparison(drawing: Drawing, name: str) -> str | None:
    x = drawing.numpy(name)
    bounds = [b for b in (0.0, 0.3, -0.4, 1.0, -1.0, 5.0) if far(x, b)]
    kind = drawing.integer(0, 2)
    if kind == 1:
        other = drawing.pick(lambda y: y.shape == x.shape and far(x - y, 0.0))
        if other is not None:
            return f"({name} {drawing.one_of(['>', '<', '>=', '<='])} {other})"
    if not bounds:
        return None
    bound = drawing.one_of(bounds)
    if kind == 2:
        sign = drawing.one_of(["==", "!="])
        return f"(cr.sign({name} - {bound}) {sign} 1.0)"
    return f"({name} {drawing.one_of(['>', '<', '>=', '<='])} {bound})"


def where(drawing: Drawing) -> str | None:
    """A choice between two values."""
    name = drawing.pick()
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    asked = condition(drawing, lambda c: broadcast(c.shape, shape))
    if asked is None:
        return None
    shape = np.broadcast_shapes(shape, drawing.evaluate(asked).shape)
    texts = [name, other_operand(drawing, shape)]
    if drawing.flag():
        texts.reverse()
    return f"{drawing.one_of(['cr', 'np'])}.where({asked}, {', '.join(texts)})"


def counted(drawing: Drawing) -> str | None:
    """A value times what has no gradient: a number of answers, or an index."""
    name = drawing.pick()
    asked = condition(drawing, lambda c: c.size > 0)
    if asked is None:
        return None
    question = drawing.one_of(["any", "all", "count_nonzero", "argmax", "argmin"])
    return f"{name} * (1 + cr.{question}({asked}))"


def clip(drawing: Drawing) -> str | None:
    """A value held between numbers, or another value."""
    name = drawing.pick()
    if name is None:
        return None
    x = drawing.numpy(name)
    low, high = (drawing.one_of(each) for each in ([-0.8, -0.3, None, 0.1], [0.9, 0.4, None]))
    if not far(x, *(each for each in (low, high) if each is not None)):
        return None
    if high is not None and drawing.flag():
        other = drawing.pick(lambda y: y.shape == x.shape and far(x - y, 0.0))
        if other is not None and far(
            np.maximum(x, x if low is None else low) - drawing.numpy(other), 0.0
        ):
            return f"cr.clip({name}, {low}, {other})"
    return f"{name}.clip({low}, {high})" if drawing.flag() else f"cr.clip({name}, {low}, {high})"


def converted(drawing: Drawing) -> str | None:
    """The same numbers, converted; or a mask as numbers."""
    name = drawing.pick()
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    asked = condition(drawing, lambda c: broadcast(c.shape, shape)) if drawing.flag() else None
    return f"{name} + {asked}.astype('float64')" if asked else f"{name}.astype('float64')"


# Constants for derivatives -------------------------------------------------------------------


def detached(drawing: Drawing) -> str | None:
    """A line that ends the gradient's way."""
    name = drawing.pick()
    if name is not None:
        if drawing.flag():
            drawing.constant(f"cr.tanh({name})", no_grad=True)
        else:
            drawing.constant(f"{name}.detach()")
    return None


def _untied(a: Array, b: Array) -> bool:
    return far(a - b, 0.0)


def _steps(a: Array, b: Array) -> bool:
    return far(np.mod(a / b, 1.0), 0.0, 1.0)


FITS: dict[str, Callable[..., bool]] = {
    "maximum": _untied,
    "minimum": _untied,
    "absolute_error": _untied,
    "floor_divide": _steps,
    "remainder": _steps,
    "huber": lambda a, b: far(np.abs(a - b), 1.0),
    "hinge": lambda a, b: far(a * b, 1.0),
    "lerp": lambda a, b, weight: far(np.abs(weight), 0.5),
}

_PLAIN = ("floor", "ceil", "trunc", "round")
_PAIRS = ("floor_divide", "remainder", "huber", "hinge", "sigmoid_cross_entropy")

UNARY: list[Recipe] = [
    unary(record)
    for record in RECORDS.values()
    if record.builtin
    and len(record.arguments) == 1
    and (record.elementwise or record.name in _PLAIN)
]
SEVERAL: list[Recipe] = [
    several(record, FITS.get(record.name))
    for record in RECORDS.values()
    if record.builtin
    and not record.variadic
    and len(record.arguments) > 1
    and record.differentiable
    and record.name != "where"
    and (record.elementwise or record.name in _PAIRS)
]
CHOICES: list[Recipe] = [integer_power, where, clip, counted, converted, detached]
