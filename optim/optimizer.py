"""The base of the optimisers: their parameters, which of them a step concerns, what they remember.

A rule such as Adam says how a flat run of parameters is changed (`_update`); here is the rest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from itertools import compress
from operator import add
from typing import Any

import numpy as np

from chainrule.engine.devices import Device, Kernels, active_kernels, moved
from chainrule.engine.errors import Allocating, ShapeError, describe
from chainrule.engine.tape import mark_changed
from chainrule.engine.tensor import Tensor

from .arguments import checked, number
from .clipping import Clipping
from .packing import Block, Place, adjacent, pack, place_of
from .rated import Rated
from .segments import Run, Segment


class Optimizer(Rated, ABC):
    """Changes parameters step by step so that a loss falls.

    At its first step an optimiser packs its parameters: their values are copied, to the bit, into
    one buffer per dtype and device, in which one kernel call steps all neighbours. Parameters
    remain the Tensors that they were; but what shared their memory before (`.numpy()`,
    `.detach()`) keeps the old values from then on. Gradients lie in such a buffer too: a `.grad`
    that you hold keeps its values; what shares its memory (`.grad.numpy()`, `.grad.detach()`,
    `.grad.T`) shows the next gradient after the next `backward()`; copy it to keep it.

    A parameter is stepped if it requires gradients and has one. Any other is left entirely alone:
    no momentum, no weight decay, and the step does not count for it.

    Parameters may be moved to another device between steps: what is remembered of them follows.

    Gradients may be clipped before a step, by one of three limits (see `Clipping`): `clipnorm` of
    the norm of each parameter's gradient, `global_clipnorm` of that of all gradients of the step
    together, `clipvalue` of each element. `.grad` holds the clipped gradient afterwards.

    Arguments: `parameters`, Tensors (any iterable, or pairs of a name and a Tensor); one that
    occurs twice counts once; None if `attach` gives them later. `learning_rate`, positive, or a
    schedule (see `optim.schedules`; any function of the number of steps taken), which then gives
    the rate of each step; `clipping`, or None.

    Raises ValueError if there are no parameters, or a number is outside its range; TypeError for
    what is no Tensor, or no number; DtypeError for integers; GradientError for a Tensor that was
    computed from others.

    A subclass defines `_update`, and calls this constructor.
    """

    #: What a step remembers of each parameter, in the order in which `_update` gets it.
    _remembers: tuple[str, ...] = ()
    #: Operations of a step for each parameter: additions, multiplications, quotients, roots.
    operations = 2

    def __init__(
        self,
        parameters: Iterable[Any] | None,
        learning_rate: float | Callable[[int], float],
        clipping: Clipping | None = None,
    ) -> None:
        super().__init__(learning_rate, clipping)
        self._parameters: tuple[Tensor, ...] = ()
        self._start_anew()
        if parameters is not None:
            self.attach(parameters)

    def _start_anew(self) -> None:
        """Starts again as before the first step."""
        self._memory: list[dict[str, Any]] = [{} for _ in self._parameters]
        # Where what is remembered of each is, which may have been moved since the last step.
        self._homes: list[Device] = [each._device for each in self._parameters]
        self._steps = [0] * len(self._parameters)
        self._places: list[Place] = []
        self._segments: list[Segment] = []
        self._blocks: list[Block] = []
        self._active: list[bool] = []
        self._runs: list[Run] = []
        self._seats: list[tuple[Tensor, Place]] = []  # where all are, if all are stepped

    # Parameters -----------------------------------------------------------------------------

    def attach(self, parameters: Iterable[Any]) -> None:
        """Gives an optimiser that was made without parameters those that it shall step.

        Giving it the ones that it has changes nothing.

        Raises ValueError if it has others; else what the constructor raises.

        >>> import chainrule as cr
        >>> sgd = cr.optim.SGD(learning_rate=0.1)
        >>> sgd.attach([cr.ones((2, 3))])
        >>> len(sgd.parameters)
        1
        """
        where = type(self).__name__
        found = checked(parameters, where)
        if self._parameters:
            if set(map(id, found)) == set(map(id, self._parameters)):
                return
            raise ValueError(
                f"{where}: attach: it has {len(self._parameters)} parameters already, and these "
                f"{len(found)} are not the same; make another optimiser for them"
            )
        self._parameters = tuple(found)
        self._start_anew()

    @property
    def memories(self) -> int:
        """How many numbers a step remembers of each parameter."""
        return len(self._remembers)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The Tensors that it steps, each once."""
        return self._parameters

    # Stepping -------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Forgets the gradients of its parameters, so that the next ones do not add to them."""
        for parameter in self._parameters:
            node = parameter._node
            if node is not None and node.watch is not None:
                node.watch.grad = None

    def step(self) -> None:
        """Changes every parameter that requires gradients and has one, in place, by the rule.

        Graphs that need the values from before are refused by `backward()` from then on.

        Raises RuntimeError if it was made without parameters and was given none since.
        """
        if not self._parameters:
            name = type(self).__name__
            raise RuntimeError(
                f"{name}: step: it has no parameters yet; make it as {name}(parameters, ...), or "
                "give it some by attach(parameters)"
            )
        if self._schedule is not None:
            self._learning_rate = self._scheduled(self._schedule)
        if not self._undisturbed():
            active = self._gather()
            if active != self._active:
                self._runs, self._active = self._find_runs(active), active
            seats = zip(self._parameters, self._places, strict=True)
            self._seats = list(seats) if all(active) else []
        self._steps = list(map(add, self._steps, self._active))
        mark_changed(*[each._storage for each in compress(self._parameters, self._active)])
        if self._clipping is not None:
            self._clip(self._clipping)
        for run in self._runs:
            kernels = active_kernels(run.device)
            self._update(kernels, run.w, run.g, *run.memory, t=self._steps[run.first])
        self._iterations += 1

    @abstractmethod
    def _update(self, kernels: Kernels, w: Any, g: Any, *memory: Any, t: int) -> None:
        """Changes a run of parameters `w` with gradients `g` in place, for the `t`-th time.

        All arrays are flat, of one length and dtype.
        """

    def _undisturbed(self) -> bool:
        """Is everything in its place, and all to be stepped, as the last time?"""
        for parameter, place in self._seats:
            node = parameter._node
            if node is None or parameter._data is not place.value:
                return False
            watch: Any = node.watch
            if watch.grad is None or watch.buffer is not place.gradient:
                return False
            if watch.grad._data is not place.gradient:
                place.receive(watch)
        return bool(self._seats and self._active)

    def _gather(self) -> list[bool]:
        """Puts values and gradients in their places. Which parameters are to be stepped?"""
        if not self._places or any(
            parameter._data is not place.value
            for parameter, place in zip(self._parameters, self._places, strict=True)
        ):
            with Allocating(f"{type(self).__name__}: step", self._parameters[0]._device):
                self._lay_out()
        active = []
        for parameter, place in zip(self._parameters, self._places, strict=True):
            node = parameter._node
            if node is None:
                active.append(False)
                continue
            watch = node.watch
            assert watch is not None, "leaves have one"
            if watch.buffer is not place.gradient:
                place.adopt(watch)
            gradient = watch.grad
            if gradient is not None and gradient._data is not place.gradient:
                place.receive(watch)
            active.append(gradient is not None)
        return active

    def _clip(self, clipping: Clipping) -> None:
        """Clips the gradients of the parameters to be stepped, where they lie."""
        places = [each for each, steps in zip(self._places, self._active, strict=True) if steps]
        for place in places:
            place.show()
        clipping.clip(self._runs, places)

    def _lay_out(self) -> None:
        """Gives every parameter a place, and what is remembered of it one in flat arrays.

        Parameters that another optimiser has packed stay where they are, so that two never move
        the same one in turn. If some have no place, those that this one packed move with them.
        """
        found = [place_of(parameter) for parameter in self._parameters]
        if None in found:
            moving = [
                i for i, place in enumerate(found) if place is None or place.block in self._blocks
            ]
            packed = pack([self._parameters[i] for i in moving])
            self._blocks = list({id(place.block): place.block for place in packed}.values())
            for i, new in zip(moving, packed, strict=True):
                found[i] = new
        self._places = [place for place in found if place is not None]
        self._active, self._runs = [], []
        self._segments = [
            Segment([self._places[i] for i in group], group, self._remembers)
            for group in adjacent(self._places)
        ]
        for segment in self._segments:
            for i, place in zip(segment.positions, segment.places, strict=True):
                kept, self._memory[i] = self._memory[i], segment.memory_of(place)
                home, self._homes[i] = self._homes[i], place.block.device
                if any(array.shape != place.value.shape for array in kept.values()):
                    self._steps[i] = 0  # another parameter, in the Tensor of an earlier one
                    continue
                for name, array in kept.items():
                    self._memory[i][name][...] = moved(array, home, place.block.device)

    def _find_runs(self, active: list[bool]) -> list[Run]:
        """The runs of adjacent active parameters that were stepped equally often."""
        runs = []
        for segment in self._segments:
            run: list[int] = []
            for i, place in enumerate(segment.places):
                if place.stop == place.start:
                    continue
                position = segment.positions[i]
                if run and not (
                    active[position]
                    and self._steps[position] == self._steps[segment.positions[run[0]]]
                ):
                    runs.append(segment.run(run[0], run[-1]))
                    run = []
                if active[position]:
                    run.append(i)
            if run:
                runs.append(segment.run(run[0], run[-1]))
        return runs

    # What it remembers ----------------------------------------------------------------------

    def state(self, *, copy: bool = True) -> dict[str, Any]:
        """What `load_state` needs to go on as if there had been no interruption.

        A dict of numbers and NumPy arrays: "learning_rate", None where a schedule gives it;
        "iterations"; and for each parameter, by its position, "steps.0" and one array for each
        thing that the rule remembers, as "m.0". With `copy=False` these may be the optimiser's own
        memory, which the next step changes.

        >>> import chainrule as cr
        >>> sorted(cr.optim.Adam([cr.ones(2)]).state())
        ['iterations', 'learning_rate', 'm.0', 'steps.0', 'v.0']
        """
        rate = self._learning_rate if self._schedule is None else None
        state: dict[str, Any] = {"learning_rate": rate, "iterations": self._iterations}
        for i, (parameter, memory) in enumerate(zip(self._parameters, self._memory, strict=True)):
            state[f"steps.{i}"], home = self._steps[i], self._homes[i]
            for name in self._remembers:
                if name in memory:
                    array = home.to_host(memory[name])
                    array = np.array(array) if copy else array
                else:
                    array = np.zeros(parameter.shape, parameter.dtype)
                state[f"{name}.{i}"] = array
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes on what `state()` of an optimiser of the same kind returned.

        Nothing is changed unless all of it fits. A learning rate that was set takes the place of
        the optimiser's, and of its schedule. An old state without "iterations" is read if there
        is no schedule: the parameter with most steps tells them.

        Raises ValueError if names are missing or unknown, if it has no parameters yet, or if the
        learning rate was a schedule's and there is none now; ShapeError if an array does not have
        its parameter's shape.
        """
        where = f"{type(self).__name__}: load_state"
        if not self._parameters:
            raise ValueError(f"{where}: it has no parameters yet; call attach(parameters) first")
        expected = self.state()
        if self._schedule is None and "iterations" not in state:
            del expected["iterations"]
        if set(state) != set(expected):
            missing = sorted(set(expected) - set(state))
            unknown = sorted(set(state) - set(expected))
            raise ValueError(
                f"{where}: the state is of another optimiser or other parameters: missing "
                f"{missing}, unknown {unknown}"
            )
        schedule, rate = self._schedule, state["learning_rate"]
        if rate is not None:
            schedule, rate = None, self._checked_rate(rate, "load_state: learning_rate")
        elif schedule is None:
            raise ValueError(
                f"{where}: the learning rate followed a schedule, and this optimiser has none; "
                "give it the same learning_rate=schedule"
            )
        steps = [_count(state[f"steps.{i}"], where, i) for i in range(len(self._parameters))]
        iterations = max(steps)
        if "iterations" in state:
            iterations = _count(state["iterations"], where)
        arrays: list[dict[str, Any]] = []
        for i, parameter in enumerate(self._parameters):
            arrays.append({})
            for name in self._remembers:
                array = np.asarray(state[f"{name}.{i}"])
                if array.shape != parameter.shape or array.dtype.kind != "f":
                    raise ShapeError(
                        f"{where}: {name}.{i} has {describe(array)}, the parameter "
                        f"{describe(parameter)}"
                    )
                arrays[i][name] = np.array(array, dtype=parameter.dtype)
        self._schedule, self._iterations, self._steps = schedule, iterations, steps
        self._learning_rate = self._learning_rate if rate is None else rate
        for i, (memory, loaded) in enumerate(zip(self._memory, arrays, strict=True)):
            for name, array in loaded.items():
                there = self._homes[i].from_host(array)
                if name in memory:
                    memory[name][...] = there
                else:
                    memory[name] = there
        self._active, self._runs = [], []

    def __getstate__(self) -> dict[str, Any]:
        """What a copy gets: everything but the layout, since copies of parameters lie elsewhere."""
        layout: dict[str, Any] = {
            "_places": [],
            "_segments": [],
            "_blocks": [],
            "_active": [],
            "_runs": [],
            "_seats": [],
        }
        memory = [dict(each) for each in self._memory]
        lists = {"_memory": memory, "_steps": list(self._steps), "_homes": list(self._homes)}
        return {**self.__dict__, **layout, **lists}


def _count(value: Any, where: str, parameter: int | None = None) -> int:
    name = "iterations" if parameter is None else f"steps.{parameter}"
    rule = "a whole number, not negative"
    return int(number(value, f"{where}: {name}", rule, lambda n: 0 <= n < math.inf and n == int(n)))
