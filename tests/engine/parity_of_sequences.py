"""How the arguments of kernels that compute recurrent sequences are drawn, for the test of parity.

How far they may be from their references is said beside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def draw_sequence(draw: Draw, dtype: np.dtype[Any], gates: int) -> tuple[Any, ...]:
    """A generator, lengths, x, the states' shape, kernels and a mask.

    No recurrent kernel stretches: the sizes of its entries sum to less than 1 in each block.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, steps = draw(st.sampled_from([0, 1, 3, 9])), draw(st.integers(1, 4))
    features, units = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3, 17]))

    def array(*shape: int, size: float = 1.0) -> Array:
        return random.uniform(-size, size, shape).astype(dtype)

    x, kernel = array(batch, steps, features, size=3.0), array(features, gates * units)
    recurrent = array(units, gates * units, size=1 / units)
    mask = random.integers(0, 2, (batch, steps)).astype(bool) if draw(st.booleans()) else None
    return array, (batch, steps, units), x, kernel, recurrent, mask


def draw_forward(gates: int, states: int) -> Callable[[Draw, np.dtype[Any]], list[Any]]:
    def drawn(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
        array, (batch, _, units), x, kernel, recurrent, mask = draw_sequence(draw, dtype, gates)
        bias = array(2, 3 * units) if gates == 3 else array(gates * units)
        initial = [array(batch, units) for _ in range(states)]
        return [x, *initial, kernel, recurrent, bias, mask]

    return drawn


def draw_backward(gates: int, states: int) -> Callable[[Draw, np.dtype[Any]], list[Any]]:
    def drawn(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
        found = draw_sequence(draw, dtype, gates)
        array, (batch, steps, units), x, kernel, recurrent, mask = found
        g = array(batch, steps + (states == 2), units)
        squashed = abs(array(batch, steps, gates * units))
        kept = [] if gates == 1 else [squashed]
        kept += [array(batch, steps, units)] if gates == 3 else []
        kept += [array(batch, steps + 1, units) for _ in range(states)]
        return [(True,) * (4 + states), g, *kept, x, kernel, recurrent, mask]

    return drawn


def sequence_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Sums of at most 36 steps of samples, of products of at most 8 factors near 1 or below.

    Each is rounded in another order, and so is what the next step makes of it, at most 4 times.
    """
    eps = np.finfo(after.dtype).eps
    return np.asarray(256 * eps * (1 + abs(after).max(initial=0)))


#: kernel -> how its arguments are drawn, how far it may be from its reference
SEQUENCES = {
    f"{name}_sequence{way}": (draw(gates, states), sequence_allows)
    for name, gates, states in (("lstm", 4, 2), ("gru", 3, 1), ("simple_rnn", 1, 1))
    for way, draw in (("", draw_forward), ("_backward", draw_backward))
}
