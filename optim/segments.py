"""Segments: neighbouring parameters of one optimiser, and what it remembers of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from chainrule.engine.devices import Device

from .packing import Place, aligned_zeros


class Run(NamedTuple):
    """Adjacent parameters that one kernel call steps; `first` is the position of the first."""

    device: Device
    first: int
    w: Any
    g: Any
    memory: tuple[Any, ...]


class Segment:
    """Adjacent places of one optimiser's parameters, and what it remembers of them.

    `positions` are those of the parameters. Each flat array is laid out as this part of the block.
    """

    def __init__(self, places: list[Place], positions: list[int], names: tuple[str, ...]) -> None:
        self.places, self.positions = places, positions
        self.block, self.start = places[0].block, places[0].start
        size = places[-1].end - self.start
        values = self.block.values
        self.memory = {name: aligned_zeros(self.block.device, values.dtype, size) for name in names}

    def memory_of(self, place: Place) -> dict[str, Any]:
        """What is remembered of one parameter: views of its shape."""
        start, stop = place.start - self.start, place.stop - self.start
        return {
            name: flat[start:stop].reshape(place.value.shape) for name, flat in self.memory.items()
        }

    def run(self, first: int, last: int) -> Run:
        """The run of the parameters from the `first` to the `last` of the segment."""
        start, stop = self.places[first].start, self.places[last].stop
        here = slice(start - self.start, stop - self.start)
        return Run(
            self.block.device,
            self.positions[first],
            self.block.values[start:stop],
            self.block.gradients[start:stop],
            tuple(flat[here] for flat in self.memory.values()),
        )
