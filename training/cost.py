"""The cost model (DERIVATIONS 2.6): operations, memory and time of a training step, by layer.

    operations   2 for each connection forward, and backward 2 for each gradient: of the weight, and
                 of the input where that needs one; they are read off the shapes of the products
    memory       parameters + gradients + the optimiser's state + what a step needs besides: the
                 values kept for the gradient, and the gradients on their way
    time         what a call costs however small the batch, + operations / rate

All but the first line of memory is a constant and a multiple of the batch. Both come from two
smaller batches (of 1 and 2 samples at least) that are run on this machine, on a copy of the model:
so the rates are those of this model's operations here.
"""

from __future__ import annotations

import copy
import statistics
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.engine.errors import ShapeError
from chainrule.engine.kernels import blocks
from chainrule.engine.random import moment, replaying
from chainrule.engine.tape import enable_grad, no_grad
from chainrule.engine.tensor import Tensor
from chainrule.engine.tracing import Cost, Trace, tracing

from . import loop
from .data import check_batch_size
from .inputs import known, mapped_shapes, parts
from .losses import FunctionLoss
from .objective import Objective
from .summary import format_bytes

#: Steps of each of the two batches before any is timed, and steps that are.
WARM_UP, REPEATS = 2, 9
#: Steps of which the times of each layer are taken: the least, as others may want the machine.
TRACES = 3


@dataclass
class LayerCost:
    """What one layer costs in one training step.

    Attributes: `name`; `parameters`, how many; `forward` and `backward`, operations in products of
    matrices; `elements`, numbers that its other operations compute, both ways; `kept`, bytes kept
    for the gradient; `seconds`, within its operations.
    """

    name: str
    parameters: int
    forward: int
    backward: int
    elements: int
    kept: int
    seconds: float


@dataclass
class ModelCost:
    """What one training step on a batch costs: `str` of it is a table.

    Attributes: `batch_size`; `layers`, a `LayerCost` each, of which the last, "(the rest)", is
    what is computed outside of them: the loss, and what Python needs; `parameters`, how many;
    `update`, operations of the optimiser; `state`, bytes of parameters, gradients and optimiser;
    `working`, bytes that a step needs besides, at its peak; `seconds`.
    """

    batch_size: int
    layers: list[LayerCost]
    parameters: int
    update: int
    state: int
    working: int
    seconds: float

    @property
    def forward(self) -> int:
        """Operations in products of matrices, forward."""
        return sum(each.forward for each in self.layers)

    @property
    def backward(self) -> int:
        """Operations in products of matrices, backward."""
        return sum(each.backward for each in self.layers)

    @property
    def operations(self) -> int:
        """All operations: products, the other operations' results, and the update."""
        elements = sum(each.elements for each in self.layers)
        return self.forward + self.backward + elements + self.update

    @property
    def kept(self) -> int:
        """Bytes kept for the gradient."""
        return sum(each.kept for each in self.layers)

    @property
    def memory(self) -> int:
        """Bytes at the peak of a step: state and working memory."""
        return self.state + self.working

    def energy(self, watts: float) -> float:
        """Joules of a step, for a machine that takes so many watts: power times time."""
        return self.seconds * watts

    def __str__(self) -> str:
        head = ("layer", "params", "forward", "backward", "kept", "time")
        rows = [
            (
                each.name,
                f"{each.parameters:,}",
                format_count(each.forward),
                format_count(each.backward),
                format_bytes(each.kept),
                f"{1e3 * each.seconds:.3f} ms",
            )
            for each in self.layers
        ]
        total = (
            "total",
            f"{self.parameters:,}",
            format_count(self.forward),
            format_count(self.backward),
            format_bytes(self.kept),
            f"{1e3 * self.seconds:.3f} ms",
        )
        lines = [head, *rows, total]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        text = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
        rule = "-" * max(map(len, text))
        notes = [
            f"a training step on a batch of {self.batch_size}: {format_count(self.operations)} "
            f"operations, {1e3 * self.seconds:.3f} ms",
            f"memory at its peak: {format_bytes(self.memory)} = {format_bytes(self.state)} of "
            f"parameters, gradients and optimiser + {format_bytes(self.working)}",
        ]
        return "\n".join([text[0], rule, *text[1:-1], rule, text[-1], *notes])


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *rest = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]


def format_count(count: float) -> str:
    """Text of a large number, in thousands, millions and so on.

    >>> [format_count(n) for n in (0, 999, 612_000, 2_000_000_000)]
    ['0', '999', '612 k', '2 G']
    """
    number = float(count)
    for unit in ("", " k", " M", " G"):
        if number < 1000:
            return f"{number:.4g}{unit}"
        number /= 1000
    return f"{number:.4g} T"


@dataclass
class _Measured:
    """What a batch of one size took: by layer, working memory and seconds of a step."""

    costs: dict[str, Cost]
    working: int
    seconds: float


def cost_of(model: Any, batch_size: int, input_shape: Any = None) -> ModelCost:
    """The cost of a training step: see `Model.cost`."""
    batch = check_batch_size(batch_size, where="cost")
    twin = copy.deepcopy(model).cpu()
    twin.history = None
    shape = _input_shape(twin, input_shape)
    with replaying(moment()):
        inputs = _example(twin, shape)
        sizes = max(1, batch // 4), max(2, 3 * batch // 4)
        measured = _measure(twin, inputs, sizes)
    return _extrapolated(twin, batch, sizes, measured)


def _input_shape(model: Any, given: Any) -> Any:
    """The shape of a batch, the batch first; of each input, where there are several."""
    shape = model.built_for if given is None else given
    if shape is None:
        raise ShapeError(
            f"cost: {model.name} is not built, and so has no input shape; give one: "
            "cost(32, input_shape=(None, 100)), or build it before: build((None, 100))"
        )
    if not known(shape):
        raise ShapeError(
            "cost: input_shape must be a tuple with the batch first, and a length for every other "
            f"axis, such as (None, 100), got {shape}"
        )
    return shape


def _example(model: Any, shape: Any) -> Callable[[int], Any]:
    """A function that makes a batch of some size: ids of 1 for a model that takes integers."""
    rng = np.random.default_rng(0)

    def make(size: int, shape: Any) -> np.ndarray:
        if model.keeps_integers:
            return np.ones((size, *shape[1:]), np.int64)
        return rng.standard_normal((size, *shape[1:])).astype(model.dtype)

    return lambda size: mapped_shapes(lambda each: make(size, each), shape)


def _targets(objective: Objective, outputs: Tensor) -> np.ndarray:
    """Targets that fit outputs: those of the loss, or, for a function, of the kind it takes."""
    y = objective.loss.example(outputs.shape)
    if not isinstance(objective.loss, FunctionLoss):
        return y
    labels = np.full(outputs.shape[:-1], min(1, outputs.shape[-1] - 1), np.int64)
    errors = []
    for each in (y, labels):
        try:
            with no_grad():
                objective.loss_of(each, outputs)
            return each
        except (TypeError, ValueError, IndexError) as error:
            errors.append(error)
    raise ValueError(
        f"cost: the loss {objective.loss.name} takes neither targets of shape {y.shape} nor labels "
        f"of shape {labels.shape}: {errors[0]}"
    ) from errors[0]


def _measure(model: Any, inputs: Callable[[int], Any], sizes: tuple[int, int]) -> list[_Measured]:
    """What batches of each size take; in turn, so that both meet the machine at its moods."""
    names = [name for name, _ in model.sublayers()]
    measured = []
    with loop.mode(training=True), enable_grad():
        steps = [_step(model, inputs(size)) for size in sizes]
        times: list[list[float]] = [[], []]
        for repeat in range(WARM_UP + REPEATS):
            for step, taken in zip(steps, times, strict=True):
                begin = perf_counter()
                step()
                if repeat >= WARM_UP:
                    taken.append(perf_counter() - begin)
        for step, taken in zip(steps, times, strict=True):
            costs = [_by_layer(_traced(step), model.name, names) for _ in range(TRACES)]
            for name, cost in costs[0].items():  # all but the times are alike
                cost.seconds = min(each[name].seconds for each in costs)
                cost.pulled_seconds = min(each[name].pulled_seconds for each in costs)
            measured.append(_Measured(costs[0], _peak(step), statistics.median(taken)))
    return measured


def _traced(step: Callable[..., None]) -> Trace:
    with tracing() as trace:
        step(trace)
    return trace


def _step(model: Any, x: Any) -> Callable[..., None]:
    """A training step on a batch; without a loss, back from a random gradient of the outputs."""
    objective = model._objective and model._current_objective().copy()
    with loop.mode(training=False):
        outputs = model(x) if objective is None else objective.outputs(model, x)
    y = None if objective is None else _targets(objective, outputs)
    if objective is not None:
        model._attach("cost")
    upstream = np.random.default_rng(0).standard_normal(outputs.shape).astype(outputs.dtype)

    def step(trace: Trace | None = None) -> None:
        outputs = model(x) if objective is None else objective.outputs(model, x)
        result: Tensor = outputs
        if objective is not None:
            result = objective.evaluate(y, outputs, model.losses)
            objective.update_metrics(y, outputs)
        if trace is not None:
            arrays = [each for _, each in parts(x)] + [p._data for p in model.parameters()]
            trace.keep(result, {id(_base(each)) for each in arrays})
        if objective is None:
            model.zero_grad()
            result.backward(upstream)
        else:
            model.optimizer.zero_grad()
            result.backward()
            model.optimizer.step()

    return step


def _base(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _peak(step: Callable[[], None]) -> int:
    """Bytes that a step needs at its peak beyond what there was before it."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        with blocks.aside():  # what waits there to be used again would not be counted
            step()
        return max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if not running:
            tracemalloc.stop()


def _by_layer(trace: Trace, model: str, names: list[str]) -> dict[str, Cost]:
    """The costs by the name of the model's layer; "" is for what lies outside of all."""
    found: dict[str, Cost] = {name: Cost() for name in (*names, "")}
    for path, cost in trace.costs.items():
        inside = path[1:] if path[:1] == (model,) else path
        name = inside[0] if inside and inside[0] in found else ""
        total = found[name]
        for field in vars(cost):
            setattr(total, field, getattr(total, field) + getattr(cost, field))
    return found


def _extrapolated(
    model: Any, batch: int, sizes: tuple[int, int], measured: list[_Measured]
) -> ModelCost:
    a, b = measured

    def at(first: float, second: float) -> float:
        """A straight line through two points, which does not fall (as noise might have it)."""
        slope = max(0.0, (second - first) / (sizes[1] - sizes[0]))
        return max(0.0, second + slope * (batch - sizes[1]))

    def count(field: str, name: str) -> int:
        return round(at(getattr(a.costs[name], field), getattr(b.costs[name], field)))

    sublayers = dict(model.sublayers())
    rows = []
    for name in [*sublayers, ""]:
        layer = sublayers.get(name)
        elements = count("elements", name) + count("pulled_elements", name)
        taken = [each.costs[name].seconds + each.costs[name].pulled_seconds for each in measured]
        rows.append(
            LayerCost(
                name or "(the rest)",
                layer.count_params() if layer is not None else 0,
                count("products", name),
                count("pulled_products", name),
                elements,
                count("kept", name),
                at(*taken),
            )
        )
    seconds = at(a.seconds, b.seconds)
    rows[-1].seconds = max(0.0, seconds - sum(each.seconds for each in rows[:-1]))
    parameters = model.parameters()
    size = sum(each.size for each in parameters)
    trained = [each for each in parameters if each.requires_grad]
    weights = sum(each.size * each.dtype.itemsize for _, each in model.named_weights())
    per_parameter = 1 + (0 if model.optimizer is None else model.optimizer.memories)
    state = weights + per_parameter * sum(each.size * each.dtype.itemsize for each in trained)
    update = 0
    if model.optimizer is not None:
        update = model.optimizer.operations * sum(each.size for each in trained)
    working = round(at(a.working, b.working))
    return ModelCost(batch, rows, size, update, state, working, seconds)
