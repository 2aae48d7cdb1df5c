"""SimpleRNN, LSTM, GRU: against PyTorch, masks, states, directions, dropout, configuration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.masks import mask_of
from chainrule.layers import GRU, LSTM, Embedding, Masking, SimpleRNN
from chainrule.models import Sequential

LAYERS = {"SimpleRNN": SimpleRNN, "LSTM": LSTM, "GRU": GRU}
NAMES = sorted(LAYERS)
GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def made(name, units=3, features=2, **options):
    """A layer in float64 with weights that are nowhere 0."""
    layer = LAYERS[name](units, dtype="float64", **options)
    layer.build((None, None, features))
    for i, weight in enumerate(layer.parameters()):
        weight.assign(numbers(*weight.shape, seed=i + 1))
    return layer


# Equality -----------------------------------------------------------------------------------

#: Of each block of PyTorch's rows, which of our blocks of columns it is.
ORDER = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "SimpleRNN": (0,)}


def to_torch(name, weight):
    """A kernel or bias as PyTorch has it; exchanging blocks is its own inverse."""
    blocks = np.split(weight, GATES[name], axis=-1)
    return np.ascontiguousarray(np.concatenate([blocks[i] for i in ORDER[name]], axis=-1).T)


def torch_twin(torch, layers):
    """One module of PyTorch with the weights of a stack of layers."""
    name = type(layers[0]).__name__
    kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}[name]
    features, units = layers[0].kernel.shape[0], layers[0].units
    dtype = getattr(torch, layers[0].dtype.name)
    twin = kind(features, units, num_layers=len(layers), batch_first=True, dtype=dtype)
    values = []
    for layer in layers:
        bias = layer.bias.numpy()
        pair = bias if name == "GRU" else (bias, 0 * bias)
        weights = [layer.kernel.numpy(), layer.recurrent_kernel.numpy(), *pair]
        values += [to_torch(name, each) for each in weights]
    with torch.no_grad():
        for parameter, value in zip(twin.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))
    return twin


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("name", NAMES)
def test_two_layers_equal_pytorch(name, dtype, bound):
    torch = pytest.importorskip("torch")
    layers = [
        LAYERS[name](4, return_sequences=True, return_state=i == 1, dtype=dtype) for i in range(2)
    ]
    x = cr.tensor(numbers(3, 6, 2).astype(dtype), requires_grad=True)
    y, *states = layers[1](layers[0](x))
    twin = torch_twin(torch, layers)
    theirs_x = torch.tensor(x.numpy(), requires_grad=True)
    theirs, last = twin(theirs_x)
    last = [each[1] for each in last] if name == "LSTM" else [last[1]]
    upstream = numbers(3, 6, 4, seed=9).astype(dtype)
    y.backward(upstream)
    theirs.backward(torch.tensor(upstream))
    pairs = [(y, theirs), *zip(states, last, strict=True), (x.grad, theirs_x.grad)]
    for one, other in pairs:
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), rtol=bound, atol=bound)
    found = [each.grad.numpy() for layer in layers for each in layer.parameters()]
    right = [to_torch(name, each.grad.numpy().T).T for each in twin.parameters()]
    for i in range(2):  # PyTorch has two biases, of which ours is one, but for GRU
        both = np.stack(right[4 * i + 2 : 4 * i + 4])
        expected = [*right[4 * i : 4 * i + 2], both if name == "GRU" else both[0]]
        for one, other in zip(found[3 * i : 3 * i + 3], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=bound, atol=bound)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_gradients_of_first_and_second_order(
    name, steps, units, use_bias, sequences, backwards, seed
):
    layer = made(name, units, use_bias=use_bias, return_sequences=sequences, go_backwards=backwards)
    cr.assert_gradients(layer, numbers(2, steps, 2, seed=seed), order=2, seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_the_composition_equals_the_operation(name):
    """A function of one's own has no name, and so runs step by step."""
    gates = {} if name == "SimpleRNN" else {"recurrent_activation": lambda x: cr.sigmoid(x)}
    fused, stepwise = made(name), made(name, activation=lambda x: cr.tanh(x), **gates)
    x = numbers(2, 4, 2)
    mask = np.array([[True, True, False, True], [False, True, True, False]])
    results = []
    for layer in (fused, stepwise):
        y = layer(x, mask=mask)
        y.backward(numbers(2, 3))
        results.append([y.numpy(), *(each.grad.numpy() for each in layer.parameters())])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_other_activations(name):
    options = {} if name == "SimpleRNN" else {"recurrent_activation": "hard_sigmoid"}
    layer = made(name, activation="softplus", return_sequences=True, **options)
    cr.assert_gradients(layer, numbers(1, 2, 2), order=2)
    assert abs(layer(numbers(1, 2, 2)) - made(name, return_sequences=True)(numbers(1, 2, 2))).max()


# States and directions ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_may_be_read_in_two_pieces(name):
    layer = made(name, return_sequences=True, return_state=True)
    x = numbers(2, 5, 2)
    whole, *last = layer(x)
    first, *states = layer(x[:, :2])
    second, *end = layer(x[:, 2:], initial_state=states)
    np.testing.assert_allclose(cr.concat([first, second], axis=1).numpy(), whole.numpy(), 1e-13)
    for one, other in zip(end, last, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), 1e-13)
    np.testing.assert_array_equal(whole[:, -1].numpy(), last[0].numpy())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_go_through_states_that_are_given_and_returned(name):
    layer = made(name, return_state=True)
    count = 2 if name == "LSTM" else 1

    def function(x, *states):
        found = layer(x, initial_state=list(states))
        return cr.concat(found, axis=-1)

    cr.assert_gradients(function, numbers(2, 2, 2), *[numbers(2, 3, seed=5)] * count, order=2)


@pytest.mark.parametrize("name", NAMES)
def test_backwards_is_forwards_on_the_reversed_sequence(name):
    there, back = (
        made(name, go_backwards=way, return_sequences=True, return_state=True)
        for way in (False, True)
    )
    x = numbers(3, 4, 2)
    mask = np.array([[True] * 4, [True, True, False, False], [False, True, True, True]])
    expected, found = there(x[:, ::-1], mask=mask[:, ::-1]), back(x, mask=mask)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    np.testing.assert_array_equal(mask_of(found[0]), mask[:, ::-1])


# Masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_padded_sequences_equal_those_without_padding(name):
    """Outputs, states, and the gradients of all parameters; the padding has gradient 0."""
    layer = made(name, return_sequences=True, return_state=True)
    lengths, x = (5, 2, 4), numbers(3, 5, 2)
    mask = np.arange(5) < np.array(lengths)[:, None]
    tensor, upstream = cr.tensor(x, requires_grad=True), numbers(3, 3, seed=8)
    y, *states = layer(tensor, mask=mask)
    states[-1].backward(upstream)
    together = [each.grad.numpy().copy() for each in layer.parameters()]
    layer.zero_grad()
    for i, length in enumerate(lengths):
        alone, *ends = layer(x[i : i + 1, :length])
        np.testing.assert_allclose(y[i : i + 1, :length].numpy(), alone.numpy(), 1e-13)
        np.testing.assert_array_equal(
            y[i, length:].numpy(), y[i, [length - 1] * (5 - length)].numpy()
        )
        for one, other in zip(states, ends, strict=True):
            np.testing.assert_allclose(one[i : i + 1].numpy(), other.numpy(), 1e-13)
        ends[-1].backward(upstream[i : i + 1])
    for one, weight in zip(together, layer.parameters(), strict=True):
        np.testing.assert_allclose(one, weight.grad.numpy(), rtol=1e-11, atol=1e-12)
    assert not tensor.grad.numpy()[~mask].any()
    np.testing.assert_array_equal(mask_of(y), mask)


@pytest.mark.parametrize("options", [{}, {"activation": "relu"}, {"go_backwards": True}])
@pytest.mark.parametrize("name", NAMES)
def test_padding_never_matters_even_if_it_is_nan(name, options):
    layer, x = made(name, return_sequences=True, **options), numbers(2, 4, 2)
    mask, upstream = np.array([[True, True, False, False], [False] * 4]), numbers(2, 4, 3, seed=3)
    found = []
    for fill in (0.5, np.nan):
        layer.zero_grad()
        tensor = cr.tensor(np.where(mask[..., None], x, fill), requires_grad=True)
        y = layer(tensor, mask=mask)
        y.backward(upstream)
        found.append([y, tensor.grad, *(each.grad for each in layer.parameters())])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_another_activation_of_the_gates_alone_is_used(name):
    x = numbers(2, 4, 2)
    usual, always_open = made(name), made(name, recurrent_activation=lambda z: z * 0 + 1)
    assert not np.allclose(usual(x).numpy(), always_open(x).numpy())
    if name == "GRU":  # z is 1: the state stays what it was
        assert not always_open(x).numpy().any()


@pytest.mark.parametrize("name", NAMES)
def test_before_the_first_real_step_the_result_is_zero_whatever_the_state(name):
    layer = made(name, return_sequences=True, return_state=True)
    state = [numbers(2, 3, seed=3)] * (2 if name == "LSTM" else 1)
    mask = np.array([[False, True, False], [False, False, False]])
    y, *ends = layer(numbers(2, 3, 2), initial_state=[cr.tensor(s) for s in state], mask=mask)
    assert not y[:, :1].numpy().any() and not y[1].numpy().any() and y[0, 1].numpy().all()
    np.testing.assert_array_equal(y[0, 2].numpy(), y[0, 1].numpy())
    np.testing.assert_array_equal(ends[0][1].numpy(), state[0][1])
    last = made(name)(numbers(2, 3, 2), initial_state=[cr.tensor(s) for s in state], mask=mask)
    np.testing.assert_array_equal(last.numpy(), y[:, -1].numpy())


def test_a_mask_travels_from_the_embedding_to_the_last_layer():
    model = Sequential(
        [
            Embedding(9, 2, mask_zero=True, dtype="float64"),
            LSTM(3, return_sequences=True, dtype="float64"),
            GRU(3, dtype="float64"),
        ]
    )
    short, padded = model([[4, 7, 2]]).numpy(), model([[4, 7, 2, 0, 0]])
    np.testing.assert_allclose(padded.numpy(), short, 1e-13)
    assert mask_of(padded) is None
    masked = Sequential([Masking(-1.0, dtype="float64"), SimpleRNN(3, dtype="float64")])
    x = numbers(1, 3, 2)
    ahead = np.concatenate([np.full((1, 2, 2), -1.0), x], axis=1)
    np.testing.assert_allclose(masked(ahead).numpy(), masked(x).numpy(), 1e-13)


# Dropout and weights -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_dropout_drops_the_same_features_at_all_steps_in_training_only(name):
    """With equal inputs at all steps, and no memory, all results of a sequence are equal."""
    layer = made(name, units=2, features=40, dropout=0.5, return_sequences=True)
    layer.recurrent_kernel.assign(0 * layer.recurrent_kernel)
    layer.bias.assign(0 * layer.bias)
    if name == "LSTM":  # the forget gate is shut
        layer.bias.assign(np.repeat([0.0, -1e3, 0.0, 0.0], 2))
    if name == "GRU":  # so is the gate that keeps the state
        layer.bias.assign(np.stack([np.repeat([-1e3, 0.0, 0.0], 2), np.zeros(6)]))
    x = np.repeat(numbers(3, 1, 40), 4, axis=1)
    cr.seed(0)
    trained = layer(x, training=True).numpy()
    np.testing.assert_allclose(trained[:, 1:], trained[:, :-1], rtol=1e-12)
    again = layer(x, training=True).numpy()
    assert abs(trained - again).max() > 1e-3
    predicted = layer(x).numpy()
    np.testing.assert_array_equal(predicted, layer(x).numpy())
    assert abs(trained - predicted).max() > 1e-3


def test_weights_have_keras_names_shapes_and_starts():
    for name, layer_class in LAYERS.items():
        layer = layer_class(5)
        layer.build((None, 7, 3))
        columns = GATES[name] * 5
        bias = (2, 15) if name == "GRU" else (columns,)
        found = [(key, weight.shape) for key, weight in layer.named_parameters()]
        assert found == [
            ("kernel", (3, columns)),
            ("recurrent_kernel", (5, columns)),
            ("bias", bias),
        ]
        recurrent = layer.recurrent_kernel.numpy().astype("float64")
        np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(5), atol=1e-6)
    layer = LSTM(2)
    layer.build((None, 7, 3))
    assert layer.bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    layer = LSTM(2, unit_forget_bias=False)
    layer.build((None, 7, 3))
    assert not layer.bias.numpy().any()


def test_regularisers_of_each_weight_are_penalties():
    layer = GRU(2, kernel_regularizer="l1", recurrent_regularizer="l2", bias_regularizer="l2")
    layer.build((None, 3, 2))
    assert len(layer.losses) == 3
    assert layer.losses[0].item() == pytest.approx(0.01 * abs(layer.kernel.numpy()).sum(), 1e-5)


def kept_numbers(steps):
    """Of a graph of two LSTMs: how many numbers its nodes keep, each array counted once."""
    layers = [LSTM(64, return_sequences=True) for _ in range(2)]
    waiting = [layers[1](layers[0](numbers(16, steps, 3)))._node]
    found, seen = {}, set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        flat = list(node.saved)
        while flat:
            each = flat.pop()
            if isinstance(each, (list, tuple)):
                flat += each
            elif isinstance(each, np.ndarray):
                base = each
                while isinstance(base.base, np.ndarray):
                    base = base.base
                found[id(base)] = base.size
        waiting += node.parents or ()
    return len(found), sum(found.values())


def test_what_two_layers_keep_grows_linearly_with_the_steps():
    """For each unit and step: 4 gates, 2 states, the input of a layer; weights beside them."""
    (count, short), (same_count, double), (_, long) = map(kept_numbers, (10, 20, 40))
    assert count == same_count < 30  # arrays of all steps, none for a step
    assert long - double == 2 * (double - short)
    assert (long - short) / 30 <= 2 * 16 * 64 * (4 + 2 + 1)
