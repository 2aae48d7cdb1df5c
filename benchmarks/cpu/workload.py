"""What is measured: a workload, and a program of each library that carries it out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Modules of this folder that make workloads, in the order of the table.
MODULES = ("mlp", "text", "cnn", "transformer", "expression", "adam")

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Program:
    """One library's way through a workload.

    `convert` makes of drawn NumPy arrays what a user of the library holds before a step, `step`
    takes it through one step and returns when all of it is done: what is timed.
    """

    convert: Callable[[Arrays], Any]
    step: Callable[[Any], Any]


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    `name` begins with the row's group ("p1-adam" is of "p1"); `draw` makes the random arrays of
    one step; `programs` holds, by the key of its builder, what makes a library's `Program`;
    `target` is what our time over the best peer's should not exceed; `against` are the kinds of
    peers that this counts for, the others stand beside it; `pool`, how many batches are drawn for
    a slice at most; `memory`: is its peak measured too?
    """

    name: str
    title: str
    draw: Callable[[np.random.Generator], Arrays]
    programs: dict[str, Callable[[], Program]] = field(repr=False)
    target: float | None = None
    against: tuple[str, ...] = ("eager", "compiled")
    pool: int = 64
    memory: bool = False

    @property
    def group(self) -> str:
        """The row's group, such as "p1"."""
        return self.name.partition("-")[0]


def workloads(smoke: bool) -> dict[str, Workload]:
    """All workloads by name; for a smoke run of tiny sizes, and without variants."""
    made: list[Workload] = []
    for module in MODULES:
        made += importlib.import_module(f"benchmarks.cpu.{module}").workloads(smoke)
    return {each.name: each for each in made}
