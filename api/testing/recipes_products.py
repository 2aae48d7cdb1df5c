"""How lines of random programs are drawn: products, matrices, what is done to rows, sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .drawing import LARGEST_SIZE, Drawing, broadcast
from .program import literal
from .recipes_elementwise import Recipe


def matmul(drawing: Drawing) -> str | None:
    """Products of values that fit, of a value and its transpose, or a constant matrix."""
    name = drawing.pick(lambda x: x.ndim > 0)
    if name is None:
        return None
    x = drawing.numpy(name)

    def fits(y: np.ndarray[Any, Any]) -> bool:
        try:
            return y.ndim > 0 and np.zeros_like(x).__matmul__(y).size <= LARGEST_SIZE
        except ValueError:
            return False

    kind = drawing.integer(0, 2)
    other = drawing.pick(fits) if kind == 0 else None
    if kind == 1 and x.ndim > 1:
        other = f"{name}.mT"
    if other is None:
        other = drawing.array((x.shape[-1], drawing.integer(1, 2)))
    if drawing.flag():
        return f"cr.matmul({name}, {other})"
    return f"{name} @ {other}"


def dotted(drawing: Drawing) -> str | None:
    """vecdot, outer and tensordot."""
    name = drawing.pick(lambda x: x.ndim > 0 and x.size <= 8)
    if name is None:
        return None
    x = drawing.numpy(name)
    form = drawing.one_of(["vecdot", "outer", "tensordot"])
    if form == "outer":
        other = drawing.pick(lambda y: y.size * x.size <= LARGEST_SIZE)
        return f"cr.outer({name}, {other or name})"
    if form == "vecdot":
        other = drawing.pick(
            lambda y: y.ndim > 0 and y.shape[-1] == x.shape[-1] and broadcast(x.shape, y.shape)
        )
        axis = drawing.integer(-x.ndim, -1) if drawing.numpy(other or name).ndim == x.ndim else -1
        if other is None or drawing.numpy(other).shape[axis] != x.shape[axis]:
            other = name
        return f"cr.vecdot({name}, {other}{f', axis={axis}' if axis != -1 else ''})"
    if drawing.flag():
        axis = drawing.axis(x.ndim)
        return f"cr.tensordot({name}, {name}, axes=([{axis}], [{axis}]))"
    other = drawing.pick(lambda y: y.ndim > 0 and y.shape[0] == x.shape[-1])
    if other is None or drawing.flag():
        return f"cr.tensordot({name}, {name}, axes=0)"
    return f"cr.tensordot({name}, {other}, axes=1)"


def einsum(drawing: Drawing) -> str | None:
    """An Einstein sum of one to three values, whose letters stand for lengths that agree."""
    names = [drawing.pick(lambda x: x.ndim < 4) for _ in range(drawing.integer(1, 3))]
    lengths: dict[str, int] = {}
    terms = []
    for name in names:
        if name is None:
            return None
        term = ""
        for n in drawing.numpy(name).shape:
            known = [letter for letter, length in lengths.items() if length == n]
            letter = drawing.one_of([*known, "new"]) if known else "new"
            if letter == "new":
                letter = "ijklmnopqr"[len(lengths)]
                lengths[letter] = n
            term += letter
        terms.append(term)
    kept = "".join(letter for letter in lengths if drawing.flag())
    if drawing.flag():
        kept = kept[::-1]
    if math.prod(lengths[letter] for letter in kept) > LARGEST_SIZE:
        return None
    return f"cr.einsum({','.join(terms) + '->' + kept!r}, {', '.join(map(str, names))})"


# Matrices -----------------------------------------------------------------------------------


def square_matrix(drawing: Drawing) -> tuple[str, int] | None:
    """Matrices near twice the unit matrix, made of a value, and their size."""
    name = drawing.pick(lambda x: x.ndim > 1 and x.size > 0)
    if name is None:
        return None
    *_, rows, columns = drawing.numpy(name).shape
    n = min(rows, columns)
    cut = name if rows == columns else f"{name}[..., :{n}, :{n}]"
    return f"({cut} / 8 + 2 * np.eye({n}))", n


def matrices(drawing: Drawing) -> str | None:
    """Inverses, determinants, factors."""
    made = square_matrix(drawing)
    if made is None:
        return None
    matrix, _ = made
    name = drawing.one_of(["inv", "det", "slogdet", "packed_slogdet", "cholesky", "cofactor"])
    if name == "slogdet":
        return f"cr.slogdet({matrix}).logabsdet"
    if name == "cholesky" and drawing.flag():
        return f"cr.cholesky({matrix}, upper=True)"
    if name == "det" and drawing.flag():
        return f"cr.det({matrix[1:-1].split(' / 8')[0]})"
    return f"cr.{name}({matrix})"


def solve(drawing: Drawing) -> str | None:
    """Linear equations."""
    made = square_matrix(drawing)
    if made is None:
        return None
    matrix, n = made
    stack = drawing.evaluate(matrix).shape[:-2]

    def fits(b: np.ndarray[Any, Any]) -> bool:
        if b.ndim == 1:
            return b.shape == (n,)
        return b.ndim > 1 and b.shape[-2] == n and broadcast(stack, b.shape[:-2])

    right = drawing.pick(fits) or drawing.array((n,))
    return f"cr.solve({matrix}, {right})"


# Losses of rows -----------------------------------------------------------------------------


def row_losses(drawing: Drawing) -> str | None:
    """Cross-entropies of rows and probabilities, or labels."""
    name = drawing.pick(lambda x: x.ndim > 0 and x.shape[-1] > 0)
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    if drawing.flag():
        labels = drawing.indices(shape[:-1], shape[-1]) % shape[-1]
        return f"cr.sparse_softmax_cross_entropy({name}, {literal(labels)})"
    other = drawing.pick(lambda y: y.shape == shape)
    return f"cr.softmax_cross_entropy({name}, cr.softmax({other}))"


def normalized(drawing: Drawing) -> str | None:
    """Rows, or features of a batch, with mean 0 and variance 1, scaled and moved."""
    by_rows = drawing.flag()
    axis = drawing.integer(-2, -1) if by_rows else 0

    def spread(x: np.ndarray[Any, Any]) -> bool:
        if x.ndim < 2 or not x.size:
            return False
        rows = x if by_rows else x.reshape(-1, x.shape[-1])
        return bool((np.ptp(rows, axis=axis) > 0.5).all())

    name = drawing.pick(spread)
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    parameters = (shape[-1:], ()) if not by_rows or axis == -1 else ((shape[-2], 1), shape[-1:])
    scale = drawing.pick(lambda x: x.shape == parameters[0]) or drawing.array(parameters[0])
    offset = drawing.pick(lambda x: x.shape == parameters[1]) or "0.5"
    rest = f"{scale}, {offset}, epsilon=0.25"
    if not by_rows:
        return f"cr.batch_norm({name}, {rest})"
    return f"cr.layer_norm({name}, {rest}{', axis=-2' if axis == -2 else ''})"


def attended(drawing: Drawing) -> str | None:
    """A softmax behind a mask, or attention."""
    name = drawing.pick(lambda x: x.ndim > 1 and x.size > 0)
    if name is None:
        return None
    x = drawing.numpy(name)
    rng = np.random.default_rng(drawing.integer(0, 99))
    if drawing.flag():
        axis = drawing.axis(x.ndim)
        mask = rng.random(x.shape[drawing.integer(0, x.ndim) :]) < 0.7
        return f"cr.masked_softmax({name}, np.array({mask.tolist()}), axis={axis})"
    keys = drawing.pick(lambda y: y.shape == x.shape) or name
    how = drawing.one_of(["", ", is_causal=True", f", scale={drawing.number()}"])
    if drawing.flag():
        how += f", mask=np.array({(rng.random(x.shape[-2]) < 0.7).tolist()})"
    return f"cr.scaled_dot_product_attention({name}, {keys}, {name}{how})"


# Sequences ----------------------------------------------------------------------------------


def recurrence(drawing: Drawing) -> str | None:
    """Recurrent cells of one unit, over the numbers of a value."""
    name = drawing.pick(lambda x: 0 < x.size <= 4)
    if name is None:
        return None
    cell, gates = drawing.one_of([("lstm", 4), ("gru", 3), ("simple_rnn", 1)])
    states = [drawing.array((1, 1)) for _ in range(2 if cell == "lstm" else 1)]
    weights = [drawing.array((1, gates)), drawing.array((1, gates))]
    weights.append(drawing.array((2, 3) if cell == "gru" else (gates,)))
    x = f"{name}.reshape(1, -1, 1)"
    return f"cr.{cell}({', '.join([x, *states, *weights])})"


PRODUCTS: list[Recipe] = [matmul, dotted, einsum, recurrence]
MATRICES: list[Recipe] = [matrices, solve]
ROWS: list[Recipe] = [row_losses, normalized, attended]
