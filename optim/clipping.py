"""Clipping: gradients that are too long, or have too large elements, are cut before a step.

All is computed where the gradients are: nothing is read from a device, and no step waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from chainrule.engine.devices import active_kernels, moved

from .packing import Place
from .segments import Run


class Clipping(NamedTuple):
    """One way of clipping: its name, as an argument of optimisers, and the limit.

        clipnorm           g <- g * min(1, limit / |g|)        for each parameter's gradient g
        global_clipnorm    g <- g * min(1, limit / |all g|)    the norm of all gradients together
        clipvalue          g <- max(-limit, min(g, limit))     for each element

    Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural
    networks", Algorithm 1.
    """

    name: str
    limit: float

    def clip(self, runs: Sequence[Run], places: Sequence[Place]) -> None:
        """Changes the gradients of runs of parameters, which lie at these places, in place."""
        if self.name == "clipvalue":
            for run in runs:
                run.device.xp.clip(run.g, -self.limit, self.limit, out=run.g)
        elif self.name == "clipnorm":
            for place in places:
                device, g = place.block.device, place.block.gradients[place.start : place.stop]
                k = active_kernels(device)
                norm = device.xp.asarray(device.xp.sqrt(k.sum_of_squares(g)))  # NumPy: a scalar
                k.clip_to_norm(g, norm, self.limit)
        else:
            self._clip_together(runs)

    def _clip_together(self, runs: Sequence[Run]) -> None:
        """By one norm: of runs on several devices, or of several dtypes, too."""
        if not runs:
            return
        first = runs[0].device
        total: Any = 0.0
        for run in runs:
            square = active_kernels(run.device).sum_of_squares(run.g)
            total = total + moved(square, run.device, first)
        norm = first.xp.sqrt(total)
        for run in runs:
            there = moved(norm, first, run.device)
            active_kernels(run.device).clip_to_norm(
                run.g, run.device.xp.asarray(there, run.g.dtype), self.limit
            )
