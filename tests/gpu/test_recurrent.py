"""The cells of recurrent networks, and whole sequences of steps, equal their references."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.gpu import emulator

from .parity import (
    DTYPES,
    EXAMPLES,
    SCHEDULES,
    Array,
    Case,
    Draw,
    check,
    every,
    launches,
    near,
    numbers,
)

Lengths = st.SearchStrategy[int]


def states(
    draw: Draw, dtype: np.dtype[Any], lengths: Lengths, *blocks: int, finite: int = 0
) -> list[Array]:
    """Arrays of one batch, with so many blocks of columns for the units each.

    The first ones are `finite`: an infinite gradient, times a slope that one tanh rounds to 0 and
    another does not, is NaN or infinite.
    """
    units = draw(lengths)
    batch = draw(st.sampled_from([n for n in (1, 3, 9) if n == 1 or n * units < 1_000]))
    return [
        numbers(draw, dtype, batch, each * units, special=i >= finite)
        for i, each in enumerate(blocks)
    ]


def draw_lstm(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [*states(draw, dtype, lengths, 4, 1)]


def draw_gru(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [*states(draw, dtype, lengths, 3, 3, 1)]


def squashed(x: Array) -> Array:
    """Numbers that gates may be: all within -1 to 1."""
    return np.tanh(np.nan_to_num(x))


def draw_lstm_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    g, g_cell, gates, before, after = states(draw, dtype, lengths, 1, 1, 4, 1, 1, finite=2)
    return [g, g_cell, squashed(gates), before, after]


def draw_gru_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    g, gates, candidate, h = states(draw, dtype, lengths, 1, 3, 1, 1, finite=1)
    return [g, squashed(gates), candidate, h]


def cell_allows(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """Products and sums of a few numbers, rounded up to 16 times, with functions off by 5 units.

    Every term is a product of at most three of the arguments, the rest being 1 at most, but for
    what GRU's tanh is taken of: r v, whose error is that of r times |v|.
    """
    about = np.finfo(truth.dtype)
    size = 1.0
    for each in arguments:
        finite = np.abs(np.nan_to_num(each, posinf=0, neginf=0)).astype(np.float64)
        units = arguments[-1].shape[-1]
        size = size * (1 + finite.reshape(len(finite), -1, units).max(axis=1))
    bound = 32 * float(about.eps) * size
    return np.tile(bound, truth.shape[-1] // bound.shape[-1]) + 8 * float(about.smallest_subnormal)


PLANS = (ExitStack, emulator.checked)
CASES = {
    "lstm_cell": Case(draw_lstm, cell_allows, settings=PLANS),
    "lstm_cell_backward": Case(draw_lstm_backward, cell_allows, settings=PLANS),
    "gru_cell": Case(draw_gru, cell_allows, settings=PLANS),
    "gru_cell_backward": Case(draw_gru_backward, cell_allows, settings=PLANS),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name], examples=EXAMPLES[kernel_set] // 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_sequences(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    """Results and gradients of a whole sequence, padded or not, to those of the CPU's reference."""
    gates, count = (4, 2) if name == "lstm" else (3, 1)

    @settings(max_examples=EXAMPLES[kernel_set] // 4, deadline=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        draw = data.draw
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        batch, steps, features = (draw(st.sampled_from(each)) for each in ([1, 3], [1, 4], [1, 2]))
        units = draw(st.sampled_from([1, 5, 33]))

        def array(*shape: int, size: float = 1.0) -> Array:
            return random.uniform(-size, size, shape).astype(dtype)

        # No recurrent kernel stretches: the sizes of its entries sum to less than 1 in each block.
        arrays = [array(batch, steps, features, size=3.0), *([array(batch, units)] * count)]
        arrays += [array(features, gates * units), array(units, gates * units, size=1 / units)]
        arrays += [array(gates * units) if count == 2 else array(2, gates * units)]
        mask = random.random((batch, steps)) < 0.6 if draw(st.booleans()) else None
        upstream = array(batch, steps + count - 1, units)
        found, schedule = [], draw(st.sampled_from(SCHEDULES))
        for where, set_name in (("cpu", "reference"), (device.name, kernel_set)):
            given = [cr.tensor(each, device=where, requires_grad=True) for each in arrays]
            with cr.kernels(set_name), emulator.schedule(schedule), launches() as launched:
                y = getattr(cr, name)(*given, mask=mask)
                y.backward(cr.tensor(upstream, device=where))
            cells = [each for each in launched if "cell" in each]  # and sums, of the bias's slopes
            assert len(cells) == (0 if where == "cpu" else 2 * steps)
            found.append([each.to("cpu").numpy() for each in (y, *(each.grad for each in given))])
        # Sums of at most 4 steps of 3 samples, of products of factors near 1 or below; each is
        # rounded in another order, and what the next step makes of that is at most 4 times as far.
        for ours, theirs in zip(*reversed(found), strict=True):
            near(ours, theirs, 256 * float(np.finfo(dtype).eps) * (1 + np.abs(theirs).max()))

    run()
