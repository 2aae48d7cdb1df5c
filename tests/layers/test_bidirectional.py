"""Bidirectional: against PyTorch, merging, masks, states, configuration, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.masks import mask_of
from chainrule.layers import GRU, LSTM, Bidirectional, Dense, SimpleRNN, from_config
from chainrule.models import Sequential

from .test_recurrent import numbers, to_torch

MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize(
    ("name", "layer"), [("LSTM", LSTM), ("GRU", GRU), ("SimpleRNN", SimpleRNN)]
)
def test_equals_pytorch(name, layer):
    torch = pytest.importorskip("torch")
    kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}[name]
    ours = Bidirectional(layer(3, return_sequences=True, return_state=True, dtype="float64"))
    x = cr.tensor(numbers(2, 5, 4), requires_grad=True)
    ours.build((None, 5, 4))
    for i, weight in enumerate(ours.parameters()):
        weight.assign(numbers(*weight.shape, seed=i))
    y, *states = ours(x)
    theirs = kind(4, 3, bidirectional=True, batch_first=True, dtype=torch.float64)
    values = []
    for each in (ours.forward_layer, ours.backward_layer):
        bias = each.bias.numpy()
        pair = bias if name == "GRU" else (bias, 0 * bias)
        values += [each.kernel.numpy(), each.recurrent_kernel.numpy(), *pair]
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(to_torch(name, value)))
    theirs_x = torch.tensor(x.numpy(), requires_grad=True)
    expected, last = theirs(theirs_x)
    upstream = numbers(2, 5, 6, seed=9)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), theirs_x.grad.numpy(), atol=1e-12)
    last = [each[way] for way in (0, 1) for each in (last if name == "LSTM" else [last])]
    for one, other in zip(states, last, strict=True):
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), atol=1e-12)
    grads = dict(theirs.named_parameters())
    for ending, each in (("", ours.forward_layer), ("_reverse", ours.backward_layer)):
        for key, weight in (("ih", each.kernel), ("hh", each.recurrent_kernel)):
            right = to_torch(name, grads[f"weight_{key}_l0{ending}"].grad.numpy().T).T
            np.testing.assert_allclose(weight.grad.numpy(), right, atol=1e-12)


@pytest.mark.parametrize("merge_mode", MERGES)
@pytest.mark.parametrize("sequences", [False, True])
def test_results_are_merged(merge_mode, sequences):
    layer = Bidirectional(SimpleRNN(3, return_sequences=sequences, dtype="float64"), merge_mode)
    x = numbers(2, 4, 2)
    found = layer(x).numpy()
    ahead, back = layer.forward_layer(x).numpy(), layer.backward_layer(x).numpy()
    back = back[:, ::-1] if sequences else back
    np.testing.assert_allclose(found, MERGES[merge_mode](ahead, back), rtol=1e-15)
    assert layer.compute_output_shape((None, 4, 2)) == (None, *found.shape[1:])
    cr.assert_gradients(layer, numbers(1, 2, 2), order=2)


def test_without_merging_there_are_two_results():
    layer = Bidirectional(GRU(3, dtype="float64"), merge_mode=None)
    x = numbers(2, 4, 2)
    ahead, back = layer(x)
    np.testing.assert_array_equal(ahead.numpy(), layer.forward_layer(x).numpy())
    np.testing.assert_array_equal(back.numpy(), layer.backward_layer(x).numpy())


@pytest.mark.parametrize("sequences", [False, True])
def test_padded_sequences_equal_those_without_padding(sequences):
    layer = Bidirectional(LSTM(3, return_sequences=sequences, dtype="float64"))
    x, mask = numbers(2, 5, 2), np.array([[True] * 5, [True, True, True, False, False]])
    y, alone = layer(x, mask=mask), layer(x[1:, :3]).numpy()
    found = y[1:, :3].numpy() if sequences else y[1:].numpy()
    np.testing.assert_allclose(found, alone, rtol=1e-13)
    if sequences:
        assert not y[1, 3:].numpy().any()
        np.testing.assert_array_equal(mask_of(y), mask)
    else:
        assert mask_of(y) is None


def test_states_are_given_to_both():
    layer = Bidirectional(LSTM(3, return_sequences=True, return_state=True, dtype="float64"))
    x = numbers(2, 4, 2)
    states = [cr.tensor(numbers(2, 3, seed=i)) for i in range(4)]
    _, *found = layer(x, initial_state=states)
    _, *ahead = layer.forward_layer(x, initial_state=states[:2])
    _, *back = layer.backward_layer(x, initial_state=states[2:])
    for one, other in zip(found, [*ahead, *back], strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    with pytest.raises(cr.ShapeError, match="Bidirectional: initial_state must be a list of 4"):
        layer(x, initial_state=states[:2])


def test_the_layers_have_weights_of_their_own_by_keras_names():
    layer = Bidirectional(GRU(3))
    layer.build((None, 4, 2))
    names = [name for name, _ in layer.named_parameters()]
    assert names[:2] == ["forward_layer.kernel", "forward_layer.recurrent_kernel"]
    assert names[3] == "backward_layer.kernel"
    assert abs(layer.forward_layer.kernel - layer.backward_layer.kernel).max() > 0


@pytest.mark.parametrize("own", [False, True])
def test_configurations_round_trip(own):
    backward = GRU(2, go_backwards=True, dtype="float64") if own else None
    layer = Bidirectional(LSTM(3, dtype="float64"), backward_layer=backward)
    config = json.loads(json.dumps(layer.to_config()))
    assert from_config(config).to_config() == config
    assert from_config(config)(numbers(2, 4, 2)).shape == (2, 5 if own else 6)
    assert repr(Bidirectional(LSTM(3))) == "Bidirectional(layer=LSTM(units=3))"


def test_a_part_that_is_frozen_stays_so_in_a_copy():
    layer = Bidirectional(LSTM(3))
    layer.backward_layer.trainable = False
    again = from_config(json.loads(json.dumps(layer.to_config())))
    again(numbers(2, 4, 2))
    assert [p.requires_grad for p in again.parameters()] == 3 * [True] + 3 * [False]
    layer = Bidirectional(LSTM(3))
    layer.forward_layer.trainable = False
    again = from_config(layer.to_config())
    again(numbers(2, 4, 2))
    assert [p.requires_grad for p in again.parameters()] == 3 * [False] + 3 * [True]


def test_both_of_two_results_carry_the_mask():
    mask = np.array([[True, True, False]])
    pair = Bidirectional(LSTM(2, return_sequences=True), merge_mode=None)(
        numbers(1, 3, 2), mask=mask
    )
    for each in pair:
        np.testing.assert_array_equal(mask_of(each), mask)


def test_in_a_model():
    model = Sequential([Bidirectional(LSTM(4, return_sequences=True)), Dense(1)])
    model.build((None, 6, 2))
    model.compile("adam", "mse")
    x = numbers(16, 6, 2).astype("float32")
    y = x.sum(axis=(1, 2), keepdims=True) + 0 * x[:, :, :1]
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


def test_layers_that_do_not_fit():
    with pytest.raises(TypeError, match=r"Bidirectional: layer must be a recurrent layer.*Dense"):
        Bidirectional(Dense(3))
    with pytest.raises(ValueError, match="Bidirectional: merge_mode must be one of 'concat'"):
        Bidirectional(LSTM(3), merge_mode="add")
    with pytest.raises(ValueError, match="backward_layer must go the other way"):
        Bidirectional(LSTM(3), backward_layer=LSTM(3))
    with pytest.raises(ValueError, match="same return_sequences"):
        Bidirectional(LSTM(3), backward_layer=LSTM(3, go_backwards=True, return_sequences=True))
    with pytest.raises(ValueError, match="same units"):
        Bidirectional(LSTM(3), "sum", backward_layer=LSTM(2, go_backwards=True))
