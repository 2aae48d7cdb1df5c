"""One step of a recurrent network, forward and back; see `kernels/recurrent.cu`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    zero, one = real(0), real(1)

    @cuda.jit(device=True)
    def logistic(x: Any) -> Any:
        decay = math.exp(-abs(x))
        return (one if x >= zero else decay) / (one + decay)

    @cuda.jit
    def lstm_cell_forward(
        z: Any,
        product: Any,
        h: Any,
        c: Any,
        mask: Any,
        new_h: Any,
        new_c: Any,
        gates: Any,
        batch: Any,
        units: Any,
    ) -> None:
        for at in range(cuda.grid(1), batch * units, cuda.gridsize(1)):
            sample = at // units
            first = sample * 4 * np.int64(units) + at % units
            u, v = z[first], z[first + units]
            w, q = z[first + 2 * units], z[first + 3 * units]
            if product is not None:
                u, v = u + product[first], v + product[first + units]
                w, q = w + product[first + 2 * units], q + product[first + 3 * units]
            i, f, candidate, o = logistic(u), logistic(v), math.tanh(w), logistic(q)
            gates[first], gates[first + units] = i, f
            gates[first + 2 * units], gates[first + 3 * units] = candidate, o
            cell = f * c[at] + i * candidate
            hidden = o * math.tanh(cell)
            passes = True
            if mask is not None:
                passes = mask[sample] != 0
            if not passes:
                cell, hidden = c[at], h[at]
            new_c[at] = cell
            new_h[at] = hidden

    @cuda.jit
    def lstm_cell_backward(
        g: Any,
        product: Any,
        carried: Any,
        g_cell: Any,
        gates: Any,
        before: Any,
        after: Any,
        mask: Any,
        slopes: Any,
        back: Any,
        batch: Any,
        units: Any,
    ) -> None:
        for at in range(cuda.grid(1), batch * units, cuda.gridsize(1)):
            sample = at // units
            first = sample * 4 * np.int64(units) + at % units
            of_h, of_c, passes = g[at], g_cell[at], True
            if product is not None:
                of_h += product[at]
            if carried is not None:
                of_h += carried[at]
            if mask is not None:
                passes = mask[sample] != 0
            if carried is not None:
                carried[at] = zero if passes else of_h
            i, f = gates[first], gates[first + units]
            candidate, o = gates[first + 2 * units], gates[first + 3 * units]
            if passes:
                squashed = math.tanh(after[at])
                of_c += of_h * o * (one - squashed * squashed)
                slopes[first] = of_c * candidate * (i * (one - i))
                slopes[first + units] = of_c * before[at] * (f * (one - f))
                slopes[first + 2 * units] = of_c * i * (one - candidate * candidate)
                slopes[first + 3 * units] = of_h * squashed * (o * (one - o))
                back[at] = of_c * f
            else:
                for j in range(4):
                    slopes[first + j * units] = zero
                back[at] = of_c

    @cuda.jit
    def gru_cell_forward(
        inputs: Any,
        inner: Any,
        bias: Any,
        h: Any,
        mask: Any,
        new_h: Any,
        gates: Any,
        inside: Any,
        batch: Any,
        units: Any,
    ) -> None:
        for at in range(cuda.grid(1), batch * units, cuda.gridsize(1)):
            sample, unit = at // units, at % units
            first = sample * 3 * np.int64(units) + unit
            u, v, w = inner[first], inner[first + units], inner[first + 2 * units]
            if bias is not None:
                u, v = u + bias[unit], v + bias[unit + units]
                w = w + bias[unit + 2 * units]
            z, r = logistic(inputs[first] + u), logistic(inputs[first + units] + v)
            candidate = math.tanh(inputs[first + 2 * units] + r * w)
            gates[first], gates[first + units], gates[first + 2 * units] = z, r, candidate
            if inside is not None:
                inside[at] = w
            state = z * h[at] + (one - z) * candidate
            passes = True
            if mask is not None:
                passes = mask[sample] != 0
            if not passes:
                state = h[at]
            new_h[at] = state

    @cuda.jit
    def gru_cell_backward(
        g: Any,
        product: Any,
        carried: Any,
        gates: Any,
        inside: Any,
        h: Any,
        mask: Any,
        of_inputs: Any,
        of_inner: Any,
        back: Any,
        batch: Any,
        units: Any,
    ) -> None:
        for at in range(cuda.grid(1), batch * units, cuda.gridsize(1)):
            sample = at // units
            first = sample * 3 * np.int64(units) + at % units
            of_h, passes = g[at], True
            if product is not None:
                of_h += product[at]
            if carried is not None:
                of_h += carried[at]
            if mask is not None:
                passes = mask[sample] != 0
            z, r, candidate = gates[first], gates[first + units], gates[first + 2 * units]
            if passes:
                of_z = of_h * (h[at] - candidate) * (z * (one - z))
                of_candidate = of_h * (one - z) * (one - candidate * candidate)
                of_r = of_candidate * inside[at] * (r * (one - r))
                of_inputs[first], of_inner[first] = of_z, of_z
                of_inputs[first + units], of_inner[first + units] = of_r, of_r
                of_inputs[first + 2 * units] = of_candidate
                of_inner[first + 2 * units] = of_candidate * r
                back[at] = of_h * z
            else:
                for j in range(3):
                    of_inputs[first + j * units] = zero
                    of_inner[first + j * units] = zero
                back[at] = of_h

    return {
        "lstm_cell_forward": lstm_cell_forward,
        "lstm_cell_backward": lstm_cell_backward,
        "gru_cell_forward": gru_cell_forward,
        "gru_cell_backward": gru_cell_backward,
    }
