"""Reads the LaTeX of a derivation back, and computes what it says: for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

TOKEN = re.compile(
    r"\\frac\{\\partial \w+\}\{\\partial (?:[^{}]|\{[^{}]*\})+\}"
    r"|\\delta_(?:\w|\{(?:[^{}]|\{[^{}]*\})*\})"
    r"|\\tfrac\d\d|\\mathrm\{\w+\}|\\mathbf\{1\}|\^\{\\mathsf T\}|\\[a-z]+|\\,|\d+\.?\d*"
    r"|[A-Za-z]+(?:_\w|_\{\w+\})?|\S"
)

#: An array of ones.
ONES = r"\mathbf{1}"


def step(x: Any) -> Any:
    return (x > 0) + 0.5 * (x == 0)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{rf"\{each}": getattr(np, each) for each in ("sin", "cos", "log", "tanh")},
    r"\tanh'": lambda x: 1 - np.tanh(x) ** 2,
    r"\sigma": lambda x: 1 / (1 + np.exp(-x)),
    r"\sigma'": lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    r"\max": np.maximum,
    r"\mathrm{relu}": lambda x: np.maximum(x, 0),
    r"\mathrm{relu}'": lambda x: 1.0 * (x > 0),
    r"\mathrm{H}": step,
}


class Reader:
    """Computes an expression in named values: a sum of products of what `_power` reads."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        self.tokens = TOKEN.findall(text)
        self.values = values

    def compute(self) -> Any:
        found = self._sum()
        assert self.tokens == [], f"not read: {self.tokens}"
        return found

    def _next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _take(self, *wanted: str) -> str:
        token = self.tokens.pop(0)
        assert not wanted or token in wanted, f"{token} where {wanted} was expected"
        return token

    def _sum(self) -> Any:
        sign = -1.0 if self._next() == "-" and self._take() else 1.0
        total = sign * self._product()
        while self._next() in ("+", "-"):
            sign = 1.0 if self._take() == "+" else -1.0
            total = total + sign * self._product()
        return total

    def _product(self) -> Any:
        """Scalars and matrices stand beside each other; circles join entry by entry."""
        total = self._power()
        while self._next() in (r"\,", r"\circ"):
            if self._take() == r"\circ":
                total = total * self._power()
            else:
                other = self._product() if np.ndim(total) == 0 else self._power()
                if np.ndim(total) == np.ndim(other) == 1:  # a column and a row
                    total = np.outer(total, other)
                else:
                    both = np.ndim(total) and np.ndim(other)
                    total = total @ other if both else total * other
        return total

    def _group(self, left: str, right: str) -> Any:
        self._take(left)
        found = self._sum()
        self._take(right)
        return found

    def _power(self) -> Any:
        found = self._atom()
        while self._next() in ("^", r"^{\mathsf T}", "["):
            token = self._next()
            if token == "[":
                axes = "".join(iter(self._take, "]"))[1:].split(",")
                start = axes.index(":") if ":" in axes else len(axes)
                after = [i for i in range(start, len(axes)) if axes[i] != ":"]
                found = found.sum(tuple(after), keepdims=True)  # an axis of length 1 is left
                found = found.sum(tuple(range(start)))
                break
            self._take()
            found = found.T if token != "^" else found ** self._group("{", "}")
        return found

    def _atom(self) -> Any:
        token = self._take()
        if token in self.values:
            return self.values[token]
        if token == "(":
            found = self._sum()
            self._take(")")
            return found
        if token == "[":
            found = self._sum()
            self._take(">")
            found = 1.0 * (found > self._sum())
            self._take("]")
            return found
        if token == "e":
            self._take("^")
            return np.exp(self._group("{", "}"))
        if token in (r"\frac", r"\sqrt"):
            over = self._group("{", "}")
            return np.sqrt(over) if token == r"\sqrt" else over / self._group("{", "}")
        if token.startswith(r"\tfrac"):
            return int(token[-2]) / int(token[-1])
        if token == r"\sum":
            return self._reduced()
        if token == r"\mathrm{repeated}":  # along the last axis, in the programs of these tests
            self._take("_")
            times = int(self._group("{", "}"))
            return np.repeat(self._group("(", ")")[..., None], times, axis=-1)
        name = token + (self._take() if self._next() == "'" else "")
        if name in FUNCTIONS:
            arguments = []
            while self._take("(", ",", ")") != ")":
                arguments.append(self._sum())
                if self._next() == ")":
                    self._take()
                    break
            return FUNCTIONS[name](*arguments)
        return float(token)

    def _reduced(self) -> Any:
        """A sum over indices in brackets, over an axis, or over all elements."""
        if self._next() == "_":
            self._take()
            if self._next() != "{":
                self._take()
                return self._power()
            inside = "".join(iter(self._take, "}"))
            if "axis" in inside:
                self._take("}")
                return self._product().sum(int(inside[-1]))
            return self._power()
        return self._product().sum()


def numbers(line: str, values: Mapping[str, Any]) -> list[Any]:
    """What each side of an equation is.

    A line does not tell the shape of an array of ones: it is that of a named value, with which the
    side is what the first one is. If there is none, the side is NaN.
    """
    first, *others = line.split(" = ")
    found = [Reader(first, values).compute()]
    shapes = {np.shape(each) for each in values.values()}
    for side in others:
        if ONES in TOKEN.findall(side):
            tried = [_with_ones(side, values, shape) for shape in shapes]
            found.append(next((each for each in tried if _alike(each, found[0])), np.nan))
        else:
            found.append(Reader(side, values).compute())
    return found


def _with_ones(side: str, values: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    try:
        return Reader(side, {**values, ONES: np.ones(shape)}).compute()
    except ValueError:  # shapes that do not fit
        return np.nan


def _alike(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))
