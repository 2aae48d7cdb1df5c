"""The mutants seen through layers, models and losses: in their records, and in the layers.

A wrong VJP in a record must be found when it is only a part of what is checked; and a fault in a
layer itself (an identity with a wrong gradient, put on its input or on its result) likewise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import layers
from chainrule.engine.record import RECORDS, Record
from chainrule.engine.tape import Node
from chainrule.engine.tensor import Tensor
from chainrule.layers.activations import ACTIVATIONS
from chainrule.layers.layer import Layer
from chainrule.training.losses import LOSSES, get_loss
from chainrule.training.sequential import Sequential

from .kinds import KINDS, Kind
from .plant import faulty_identity, mutants_of
from .sites import Array, Site, observe, quiet, same, sharing

#: The kinds planted in records here (the campaign on the table has them all), and in layers.
IN_RECORDS = (
    "sign", "factor 2", "missing factor", "missing argument", "unbroadcast dropped",
    "unbroadcast mean", "unbroadcast axis", "transposed", "transposed operand", "wrong axis",
    "zero", "swapped gradients", "swapped operands", "detached branch", "part ignored",
    "one entry", "negative values", "error 1e-4", "second: lost",
)  # fmt: skip
IN_LAYERS = (
    "sign", "factor 2", "zero", "transposed", "part ignored", "one entry", "nonzero for zero",
    "negative upstream", "absolute upstream", "strided upstream", "not deterministic",
    "error 1e-4", "error 1e-6", "single precision", "reused buffer", "second: upstream",
)  # fmt: skip


@dataclass(frozen=True)
class Whole(Site):
    """A layer, a model with its loss, or a loss, as users check it: `subject` and `inputs`.

    `function` is the same as a function of the first input; `parameters` are those of the layer.
    """

    subject: Any = None
    inputs: tuple[Any, ...] = ()
    parameters: tuple[Tensor, ...] = ()
    layers: tuple[Layer, ...] = ()

    def vjp(self, g: Array, *arrays: Array) -> list[Array]:
        """The gradients of the inputs, and of the parameters."""
        tensors = [sharing(each, True) for each in arrays]
        result = self.function(*tensors)
        wanted = [*tensors, *self.parameters]
        if not result.requires_grad:
            return [np.zeros(each.shape) for each in wanted]
        found = cr.grad([result], wanted, [sharing(np.asarray(g))], allow_unused=True)
        return [each._data for each in found]

    def second(self, u: Sequence[Array], g: Array, *arrays: Array) -> list[Array]:
        """The gradients of Σ <u_i, vjp_i(g, arrays)>, with weights that are not random."""
        tensors = [sharing(np.asarray(each), True) for each in (g, *arrays)]
        result = self.function(*tensors[1:])
        wanted = [*tensors[1:], *self.parameters]
        if not result.requires_grad:
            return [np.zeros(each.shape) for each in wanted]
        first = cr.grad([result], wanted, [tensors[0]], create_graph=True, allow_unused=True)
        outputs = [each for each in first if each.requires_grad]
        if not outputs:
            return [np.zeros(each.shape) for each in wanted]
        weights = [sharing(np.cos(np.arange(o.size)).reshape(o.shape)) for o in outputs]
        found = cr.grad(outputs, [*tensors, *self.parameters], weights, allow_unused=True)
        return [each.numpy() for each in found]

    def finds(self, order: int) -> bool:
        """Does `cr.gradcheck` find something wrong?"""
        try:
            return not cr.gradcheck(self.subject, *self.inputs, order=order)
        except Exception:
            return True

    def records(self) -> list[Record]:
        """The records of which the result is made."""
        tensors = [sharing(each, True) for each in self.arrays]
        found: dict[str, Record] = {}
        waiting: list[Node | None] = [self.function(*tensors)._node]
        seen: set[Node] = set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node.record is not None and node.record.name in RECORDS:
                found[node.record.name] = node.record
            waiting += node.parents or ()
        return [found[name] for name in sorted(found)]


def _points(*shape: int, seed: int = 0) -> Array:
    """Numbers off zero, of both signs."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 1.8, shape) * rng.choice([-1.0, 1.0], shape)


def _of_layer(name: str, layer: Layer, x: Array) -> Whole:
    layer(x)  # builds it
    inside = (layer, *(each for _, each in layer.sublayers()))
    return Whole(name, layer, (x,), layer, (x,), tuple(layer.parameters()), inside)


def _of_model(name: str, stack: Sequence[Layer], loss: str, x: Array, y: Array) -> Whole:
    model = Sequential(stack)
    model.compile("sgd", loss=loss)
    model(x)

    def function(t: Tensor) -> Tensor:
        objective = model._current_objective()
        outputs = objective.outputs(model, t)
        computed = objective.computed
        return computed.reduce(computed.call(computed.targets(y, outputs), outputs))

    return Whole(name, function, (x,), model, (x, y), tuple(model.parameters()), tuple(stack))


def _of_loss(name: str) -> Whole:
    loss = get_loss(name)
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.ones(3), 2)
    y: Array = np.array([[0.3, -1.2, 0.7], [2.0, -0.4, 1.1]])
    x = _points(2, 3)
    if name in ("kl_divergence", "categorical_crossentropy", "sparse_categorical_crossentropy"):
        y, x = rows[::-1].copy(), rows
    if name.startswith("sparse"):
        y = np.array([2, 0])
    if name in ("hinge", "binary_crossentropy"):
        y, x = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), rng.uniform(0.2, 0.8, (2, 3))
    if name == "poisson":
        y, x = np.array([[1.0, 0.0, 3.0], [2.0, 5.0, 1.0]]), rng.uniform(0.5, 2.0, (2, 3))
    subject = lambda p: loss(y, p)  # noqa: E731
    return Whole(f"loss {name}", subject, (x,), subject, (x,))


def wholes() -> Iterator[Whole]:
    """Every kind of layer, with every activation; models with their losses; every loss."""
    wide = {"dtype": "float64"}
    for name in ACTIVATIONS:
        cr.seed(0)
        yield _of_layer(f"Dense {name}", layers.Dense(3, name, **wide), _points(3, 3))
    cr.seed(0)
    yield _of_layer("Dense on 3 axes", layers.Dense(2, "tanh", **wide), _points(2, 2, 3))
    yield _of_layer("Dense without bias", layers.Dense(2, use_bias=False, **wide), _points(2, 3))
    yield _of_layer("Flatten", layers.Flatten(**wide), _points(2, 2, 3))
    for axis in (-1, (1, 2)):
        normalization = layers.Normalization(axis, **wide)
        normalization.adapt(_points(5, 2, 3, seed=4))
        yield _of_layer(f"Normalization axis={axis}", normalization, _points(2, 2, 3))
    cr.seed(0)
    row, image = _points(2, 4, 2), _points(1, 4, 3, 2)
    yield _of_layer("Conv1D", layers.Conv1D(2, 2, padding="causal", **wide), row)
    strided = layers.Conv2D(2, 2, 2, "same", groups=2, activation="tanh", **wide)
    yield _of_layer("Conv2D", strided, image)
    yield _of_layer("MaxPooling2D", layers.MaxPooling2D(2, 1, **wide), image)
    yield _of_layer("AveragePooling2D", layers.AveragePooling2D(2, padding="same", **wide), image)
    yield _of_layer("Softmax axis=1", layers.Softmax(axis=1, **wide), _points(2, 3, 3))
    yield _of_layer("LayerNormalization", layers.LayerNormalization(**wide), _points(2, 2, 3))
    yield _of_layer("BatchNormalization", layers.BatchNormalization(1, **wide), _points(2, 2, 3))
    yield _of_layer("MultiHeadAttention", layers.MultiHeadAttention(2, **wide), _points(1, 3, 4))
    cr.seed(0)
    steps = _points(1, 3, 2)
    for kind in (layers.SimpleRNN, layers.LSTM, layers.GRU):
        yield _of_layer(kind.__name__, kind(2, return_sequences=True, **wide), steps)
    both = layers.Bidirectional(layers.GRU(1, **wide))
    yield _of_layer("Bidirectional", both, steps)
    yield _of_layer("LearnedPositions", layers.LearnedPositions(3, **wide), steps)
    yield _of_layer("GlobalMaxPooling1D", layers.GlobalMaxPooling1D(**wide), steps)
    x = _points(4, 3, seed=5)
    for loss, last, y in (
        ("sparse_categorical_crossentropy", (3, "softmax"), np.array([0, 2, 1, 1])),
        ("categorical_crossentropy", (3, "softmax"), np.eye(3)[[0, 2, 1, 1]]),
        ("binary_crossentropy", (1, "sigmoid"), np.array([[0.0], [1.0], [1.0], [0.0]])),
        ("mse", (2,), _points(4, 2, seed=6)),
    ):
        stack = [layers.Dense(4, "tanh", **wide), layers.Dense(4, "relu", **wide)]
        stack.append(layers.Dense(*last, **wide))
        cr.seed(1)
        yield _of_model(f"MLP {loss}", stack, loss, x, y)
    for name in LOSSES:
        yield _of_loss(name)


@contextlib.contextmanager
def faulty_layer(layer: Layer, kind: Kind, on_result: bool) -> Iterator[None]:
    """A layer whose input, or result, passes through an identity with a wrong gradient."""
    faulty, call = faulty_identity(kind), layer.call
    name = "_affine" if hasattr(layer, "_affine") else "call"
    right = getattr(layer, name)
    wrong: Callable[[Tensor], Tensor]
    if on_result:
        wrong = lambda x: faulty(right(x))  # noqa: E731
    else:
        wrong = lambda x: right(faulty(x))  # noqa: E731
    object.__setattr__(layer, name, wrong)
    try:
        yield
    finally:
        vars(layer).pop(name)
        assert layer.call == call


@dataclass
class LayerOutcomes:
    """What came of the mutants in layers: planted, equivalent, found; and those that were not."""

    planted: int = 0
    equivalent: int = 0
    found: int = 0
    alarms: int = 0
    wholes: int = 0
    by_whole: dict[str, tuple[int, int]] = field(default_factory=dict)
    survivors: list[str] = field(default_factory=list)


def layer_campaign(
    subjects: Sequence[Whole],
    in_records: Sequence[str] = IN_RECORDS,
    in_layers: Sequence[str] = IN_LAYERS,
    progress: Callable[[str], None] = lambda text: None,
    every: int = 1,
) -> LayerOutcomes:
    """Plants every mutant that fits (or every so manieth), and checks it with `cr.gradcheck`."""
    outcome = LayerOutcomes()
    for whole in subjects:
        progress(whole.name)
        outcome.wholes += 1
        if whole.finds(1) or whole.finds(2):
            outcome.alarms += 1
            outcome.survivors.append(f"FALSE ALARM: {whole.name}")
            continue
        right = {second: [*map(np.array, observe(whole, second))] for second in (False, True)}
        planted: list[tuple[str, Kind, Any]] = []
        for record in whole.records():
            mutants = mutants_of(record, [kind for kind in KINDS if kind.name in in_records])
            planted += [(repr(each), each.kind, each.planted) for each in mutants]
        for layer in whole.layers:
            for kind in KINDS:
                if kind.name in in_layers:
                    for on_result in (False, True):
                        place = "result" if on_result else "input"
                        text = f"{kind.name} on the {place} of {layer.name}"
                        planted.append((text, kind, _planter(layer, kind, on_result)))
        live = found = 0
        for text, kind, plant in planted[::every]:
            second = kind.group == "second"
            with plant(), quiet():
                try:
                    pairs = zip(observe(whole, second), right[second], strict=True)
                    differs = not all(same(a, b) for a, b in pairs)
                except Exception:
                    differs = True
                if not differs:
                    continue
                live += 1
                killed = whole.finds(2 if second else 1)
            found += killed
            if not killed:
                outcome.survivors.append(f"{text}, in {whole.name}")
        outcome.planted += live
        outcome.equivalent += len(planted[::every]) - live
        outcome.found += found
        outcome.by_whole[whole.name] = found, live
    return outcome


def _planter(layer: Layer, kind: Kind, on_result: bool) -> Callable[[], Any]:
    return lambda: faulty_layer(layer, kind, on_result)
