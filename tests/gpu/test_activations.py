"""The kernels of activations equal their references, and sums of columns never change their order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.operations.biased import BIASED, BY_RESULT, GATED
from chainrule.gpu import emulator
from chainrule.gpu.families import activations

from .parity import DTYPES, Array, Case, Draw, attributes, check, compare, every, numbers

Lengths = st.SearchStrategy[int]

#: Rows in one chunk, in a few, or in as few as there may be.
PLANS = (
    lambda: attributes(activations),
    lambda: attributes(activations, CHUNK=4),
    lambda: attributes(activations, CHUNK=1, MOST_CHUNKS=3),
)


def shape_of(draw: Draw, lengths: Lengths) -> tuple[int, ...]:
    columns = draw(lengths)
    rows = draw(st.sampled_from([n for n in (1, 2, 7, 40, 300) if n == 1 or n * columns < 3_000]))
    return draw(st.sampled_from([(rows, columns), (1, rows, columns)]))


def draw_biased(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    shape = shape_of(draw, lengths)
    x, bias = numbers(draw, dtype, *shape), numbers(draw, dtype, shape[-1])
    return [x, bias, draw(st.sampled_from([*BY_RESULT, *GATED]))]


def draw_plain(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [numbers(draw, dtype, *shape_of(draw, lengths))]


def value_allows(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """The functions of C's libraries are off by up to 5 units, NumPy's by 2, erfc here by 4.

    On the left of gelu the rounding of z / sqrt(2), which is the same on both sides, is all that
    is large; tanh's form rounds the polynomial in its exponent, of up to 100 where the result is
    not denormal, in up to 6 places.
    """
    about = np.finfo(truth.dtype)
    steep = 6 * 100 if arguments[-1] in ("gelu_tanh", True) else 0
    size = np.abs(np.nan_to_num(truth, posinf=0, neginf=0)).astype(np.float64)
    return (16 + steep) * float(about.eps) * size + 40 * float(about.tiny)


def draw_biased_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    x, bias, activation = draw_biased(draw, dtype, lengths)
    x, bias = np.nan_to_num(x, posinf=9, neginf=-9), np.nan_to_num(bias, posinf=1, neginf=-1)
    y, _ = get_device("cpu").sets["reference"].bias_activation(x, bias, activation)
    return [numbers(draw, dtype, *x.shape), y, x, bias, None, activation]


def kept_for(x: Array, bias: Array, activation: str) -> Any:
    """What the reference keeps, and the kernels make again."""
    return get_device("cpu").sets["reference"].bias_activation(x, bias, activation)[1]


CASES = {
    "bias_activation": Case(draw_biased, value_allows),
    "sigmoid": Case(draw_plain, value_allows),
    "erf": Case(draw_plain, value_allows),
    "erfc": Case(draw_plain, value_allows),
    "silu": Case(draw_plain, value_allows),
    "gelu": Case(
        lambda draw, dtype, lengths: [*draw_plain(draw, dtype, lengths), draw(st.booleans())],
        value_allows,
    ),
}
