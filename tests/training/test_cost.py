"""The cost model: exact operations, memory as measured, and nothing of the model changed."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.errors import ShapeError
from chainrule.engine.kernels import blocks
from chainrule.engine.random import moment
from chainrule.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    LearnedPositions,
    MaxPooling2D,
    SimpleRNN,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from chainrule.models import Model, Sequential
from chainrule.training.cost import cost_of


def mlp():
    return Sequential(
        [
            Flatten(),
            Dense(50, activation="relu"),
            Dropout(0.1),
            Dense(40, activation="tanh"),
            Dense(10, activation="softmax"),
        ]
    )


class Skip(Model):
    def __init__(self):
        super().__init__()
        self.blocks = [Dense(4, activation="tanh"), Dense(4)]

    def call(self, x):
        return x + self.blocks[1](self.blocks[0](x))


MODELS = {
    "mlp": (mlp, (5, 4), "sparse_categorical_crossentropy"),
    "skip": (Skip, (4,), "mse"),
    "lstm": (
        lambda: Sequential(
            [
                Embedding(9, 4, mask_zero=True),
                LSTM(5, return_sequences=True, dropout=0.2),
                LSTM(3, use_bias=False),
                Dense(2),
            ]
        ),
        (6,),
        "mse",
    ),
    "gru": (lambda: Sequential([GRU(5, activation="relu"), Dense(2)]), (6, 3), "mse"),
    "both ways": (
        lambda: Sequential([Bidirectional(GRU(4, return_sequences=True)), SimpleRNN(3)]),
        (6, 3),
        "mse",
    ),
    "cnn": (
        lambda: Sequential(
            [
                Conv2D(4, 3, groups=2, activation="relu"),
                BatchNormalization(),
                MaxPooling2D(2),
                Conv2D(3, 2, padding="same"),
                Flatten(),
                Dense(2),
            ]
        ),
        (8, 8, 2),
        "mse",
    ),
    "encoder": (
        lambda: Sequential(
            [TransformerEncoderBlock(2, 6, dropout=0.1), GlobalAveragePooling1D(), Dense(2)]
        ),
        (5, 4),
        "mse",
    ),
    "gpt": (
        lambda: Sequential(
            [
                Embedding(9, 4),
                LearnedPositions(8),
                TransformerDecoderBlock(2, 6, norm_first=True),
                Dense(9, activation="softmax"),
            ]
        ),
        (6,),
        "sparse_categorical_crossentropy",
    ),
}


def built(name, optimizer="adam"):
    make, shape, loss = MODELS[name]
    cr.seed(0)
    model = make()
    model.compile(optimizer, loss)
    model(_inputs(model, shape, 1))
    return model, shape


def _inputs(model, shape, size):
    if model.keeps_integers:
        return np.random.default_rng(0).integers(1, 9, (size, *shape))
    return np.random.default_rng(0).standard_normal((size, *shape))


def train(model, shape, size):
    x = _inputs(model, shape, size)
    outputs = model(x[:1]).shape
    y = model._objective.loss.example((size, *outputs[1:]))
    return lambda: model.train_on_batch(x, y)


class Counted:
    """Stands in for the matrix products of the kernel set, and counts what they are asked for."""

    def __init__(self, monkeypatch):
        self.operations = 0
        kernels = get_device("cpu").kernels

        def counting(product):
            def count(a, b, **options):
                result = product(a, b, **options)
                self.operations += 2 * math.prod(result.shape) * a.shape[-1]
                return result

            return count

        monkeypatch.setattr(kernels, "matmul", counting(np.matmul), raising=False)
        monkeypatch.setattr(np, "dot", counting(np.dot))  # within recurrent kernels


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [1, 7, 32])
def test_the_operations_are_those_that_are_run(monkeypatch, name, size):
    model, shape = built(name)
    cost = model.cost(size)
    step = train(model, shape, size)
    step()
    counted = Counted(monkeypatch)
    step()
    assert cost.forward + cost.backward == counted.operations > 0
    counted.operations = 0
    model(_inputs(model, shape, size))
    assert cost.forward == counted.operations


def _traced_peak(step):
    """How many bytes more than before there are at most during a step."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with blocks.aside():
            step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", MODELS)
def test_memory_is_within_a_tenth_of_the_measured_peak(name):
    """What a step needs besides state; of a batch eight and four times as large as were run.

    Sequences that are long enough are computed by a kernel which keeps other arrays.
    """
    size = 512
    with cr.kernels("reference" if name == "lstm" else "numba"):
        model, shape = built(name)
        predicted = model.cost(size)
        step = train(model, shape, size)
        for _ in range(2):
            step()
        peak = min(_traced_peak(step) for _ in range(3))  # what else allocates meanwhile adds to it
    assert predicted.working == pytest.approx(peak, rel=0.1)
    assert predicted.memory == predicted.state + predicted.working


def test_each_connection_is_counted_twice_forward_and_four_times_backward():
    """DERIVATIONS 2.6; in the first layer, whose input needs no gradient, twice backward."""
    model, _ = built("mlp")
    connections = [20 * 50, 50 * 40, 40 * 10]
    dense = [each for each in model.cost(32).layers if each.name.startswith("dense")]
    assert [each.forward for each in dense] == [2 * 32 * each for each in connections]
    assert [each.backward for each in dense] == [
        (2 if i == 0 else 4) * 32 * each for i, each in enumerate(connections)
    ]


def test_the_source_s_example_of_ten_seconds():
    """10^9 operations at 10^8 a second, and the energy of a machine of 50 watts."""
    cost = cost_of(built("skip")[0], 4)
    cost.seconds = 1e9 / 1e8
    assert cost.energy(50) == 500.0


def test_kept_bytes_are_those_of_the_results_that_gradients_read():
    model = Sequential([Dense(50, activation="tanh"), Dense(3)])
    model.build((None, 20))
    first, second, _ = model.cost(64).layers
    # The layer's float32 copy of x, and tanh's result, which the next product reads too.
    assert first.kept == 64 * (20 + 50) * 4 and second.kept == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam", cr.optim.SGD(momentum=0.9)])
def test_the_state_is_parameters_gradients_and_the_optimiser_s_memory(optimizer):
    model, _ = built("skip", optimizer)
    copies = {"SGD": 2, "Adam": 4}[type(model.optimizer).__name__] + model.optimizer.memories % 2
    assert model.cost(8).state == copies * 4 * model.count_params()


def test_nothing_of_the_model_changes():
    model, shape = built("mlp")
    step = train(model, shape, 4)
    step()
    weights, then = [each.copy() for each in model.get_weights()], moment()
    gradients = [each.grad for each in model.parameters()]
    steps = list(model.optimizer._steps)
    model.cost(8)
    assert moment() == then and model.optimizer._steps == steps
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(a is b.grad for a, b in zip(gradients, model.parameters(), strict=True))


def test_without_compile_there_is_neither_loss_nor_update():
    model = Sequential([Dense(3)])
    with pytest.raises(ShapeError, match="cost: sequential is not built"):
        model.cost(8)
    model.build((None, 2))
    cost = model.cost(8)
    assert cost.update == 0 and cost.forward == 2 * 8 * 6 and cost.state == 2 * 4 * 9


def test_the_table_has_a_line_for_each_layer():
    model, _ = built("mlp")
    lines = str(model.cost(16)).splitlines()
    assert [line.split()[0] for line in lines[2:8]] == [
        *("flatten", "dense", "dropout", "dense_1", "dense_2", "(the")
    ]
    shown = []
    model.summary(print_fn=shown.append, batch_size=16)
    assert "Output Shape" in shown[0] and "a training step on a batch of 16" in shown[0]


def test_the_summary_of_a_model_of_one_s_own_shows_what_its_layers_return():
    model, _ = built("skip")
    shown = []
    model.summary(print_fn=shown.append)
    rows = [line.split() for line in shown[0].splitlines()[4:6]]
    assert rows == [
        ["blocks.0", "(Dense)", "(None,", "4)", "20"],
        ["blocks.1", "(Dense)", "(None,", "4)", "20"],
    ]
