"""SimpleRNN, LSTM, GRU in models: what they learn, shapes and counts, configuration, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import LSTM, Dense, Embedding, from_config
from chainrule.models import Sequential

from .test_recurrent import LAYERS, NAMES, made, numbers

# Models -------------------------------------------------------------------------------------


def language_model():
    return Sequential(
        [
            Embedding(input_dim=11, output_dim=4),
            LSTM(units=6, activation="tanh", return_sequences=True),
            LSTM(units=6, activation="tanh", return_sequences=True),
            Dense(units=11, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_the_program_of_the_derivation_learns(loss):
    """Of a cycle of eleven ids the next one is told after 60 steps (DERIVATIONS 5.2)."""
    cr.seed(0)
    model = language_model()
    model.compile(optimizer=cr.optim.Adam(learning_rate=0.05), loss=loss, metrics=["accuracy"])
    ids = (np.arange(48)[:, None] + np.arange(9)) % 11
    x, y = ids[:, :8], ids[:, 1:]
    targets = y if loss.startswith("sparse") else np.eye(11, dtype="float32")[y]
    model.fit(x, targets, epochs=20, batch_size=16, verbose=0)
    value, accuracy = model.evaluate(x, targets, verbose=0)
    assert accuracy > 0.9
    assert value < np.log(11) / 2
    assert model.predict(x, verbose=0).shape == (48, 8, 11)


def test_the_summary_tells_shapes_and_counts(capsys):
    model = language_model()
    model.build((None, 20))
    model.summary()
    told = capsys.readouterr().out
    for line in ("(None, 20, 4)", "(None, 20, 6)", "264", "312", "(None, 20, 11)", "77"):
        assert line in told
    assert model.count_params() == 44 + 264 + 312 + 77


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_told_before_anything_is_computed(name):
    assert LAYERS[name](3).compute_output_shape((None, 20, 5)) == (None, 3)
    layer = LAYERS[name](3, return_sequences=True)
    assert layer.compute_output_shape((None, None, 5)) == (None, None, 3)
    assert layer(numbers(2, 4, 5)).shape == (2, 4, 3)


# Configuration and errors -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_configurations_round_trip(name):
    layer = LAYERS[name](
        3,
        activation="relu",
        use_bias=False,
        kernel_initializer="he_normal",
        recurrent_regularizer="l2",
        dropout=0.25,
        return_sequences=True,
        go_backwards=True,
        name="mine",
        dtype="float64",
        **({"unit_forget_bias": False} if name == "LSTM" else {}),
    )
    config = json.loads(json.dumps(layer.to_config()))
    again = from_config(config)
    assert again.to_config() == config
    assert repr(again) == repr(layer)
    assert again.recurrent_initializer.name == "orthogonal"
    assert repr(LAYERS[name](3)) == f"{name}(units=3)"


@pytest.mark.parametrize("name", NAMES)
def test_inputs_that_do_not_fit(name):
    layer = made(name)
    with pytest.raises(cr.ShapeError, match=rf"{name}: x must have at least 3 axes"):
        layer(numbers(2, 2))
    with pytest.raises(cr.ShapeError, match=rf"{name}: x must be \(batch, time, features\)"):
        layer(numbers(2, 2, 2, 2))
    with pytest.raises(cr.ShapeError, match=rf"{name}: .*at least one step.*\(2, 0, 2\)"):
        layer(numbers(2, 0, 2))
    with pytest.raises(cr.ShapeError, match=rf"{name}: .*last axis of x to be 2.*\(2, 3, 4\)"):
        layer(numbers(2, 3, 4))
    with pytest.raises(cr.ShapeError, match=rf"{name}: initial_state must be .*here \(2, 3\), got"):
        layer(numbers(2, 3, 2), initial_state=[cr.zeros((2, 4))] * (2 if name == "LSTM" else 1))
    with pytest.raises(cr.ShapeError, match=rf"{name}: initial_state must be .*, got 3"):
        layer(numbers(2, 3, 2), initial_state=[cr.zeros((2, 3))] * 3)
    with pytest.raises(cr.ShapeError, match=rf"{name}: mask"):
        layer(numbers(2, 3, 2), mask=np.ones((2, 4), bool))
    with pytest.raises(cr.ShapeError, match=rf"{name}: mask must be \(batch, time\)"):
        layer(numbers(2, 3, 2), mask=np.ones(2, bool))
    with pytest.raises(cr.ShapeError, match=rf"{name}: input_shape must be"):
        LAYERS[name](3).build((None, 20))


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_do_not_fit(name):
    with pytest.raises(ValueError, match=f"{name}: units must be a positive integer, got 0"):
        LAYERS[name](0)
    with pytest.raises(ValueError, match=f"{name}: dropout must be at least 0 and less than 1"):
        LAYERS[name](2, dropout=1.0)
    with pytest.raises(ValueError, match="activation: 'tahn' is unknown"):
        LAYERS[name](2, activation="tahn")
    with pytest.raises(cr.DtypeError, match=f"{name}: the activation .* has dtype float32"):
        LAYERS[name](2, activation=Dense(2, dtype="float32"), dtype="float64")
