"""Weights in PyTorch's layout: there and back, the same outputs there, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.errors import ShapeError
from chainrule.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNormalization,
    LearnedPositions,
    MaxPooling1D,
    MaxPooling2D,
    MultiHeadAttention,
    Normalization,
    ReLU,
    SimpleRNN,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from chainrule.models import Model, Sequential
from chainrule.utils import from_torch_weights, to_torch_weights

rng = np.random.default_rng(0)
B = {"bias_initializer": "random_normal", "dtype": "float64"}
R = B | {"return_sequences": True}
N = {"epsilon": 1e-5, "dtype": "float64"}


class Own(Model):
    def __init__(self):
        super().__init__(dtype="float64")
        self.hidden, self.out = Dense(4, activation="relu", **B), Dense(2, **B)

    def call(self, x):
        return self.out(self.hidden(x))


#: Of each kind: the layer, the shape of its input, and a function of torch.nn that makes the twin.
TWINS = {
    "dense": (lambda: Dense(3, **B), (2, 5), lambda nn: nn.Linear(5, 3)),
    "conv1d": (
        lambda: Conv1D(4, 3, groups=2, **B),
        (2, 7, 6),
        lambda nn: nn.Conv1d(6, 4, 3, groups=2),
    ),
    "conv2d": (lambda: Conv2D(4, (2, 3), **B), (2, 5, 6, 3), lambda nn: nn.Conv2d(3, 4, (2, 3))),
    "embedding": (lambda: Embedding(9, 4, dtype="float64"), (2, 5), lambda nn: nn.Embedding(9, 4)),
    "rnn": (lambda: SimpleRNN(4, **R), (2, 5, 3), lambda nn: nn.RNN(3, 4, batch_first=True)),
    "lstm": (lambda: LSTM(4, **R), (2, 5, 3), lambda nn: nn.LSTM(3, 4, batch_first=True)),
    "gru": (lambda: GRU(4, **R), (2, 5, 3), lambda nn: nn.GRU(3, 4, batch_first=True)),
    "bidirectional": (
        lambda: Bidirectional(GRU(4, **R), dtype="float64"),
        (2, 5, 3),
        lambda nn: nn.GRU(3, 4, batch_first=True, bidirectional=True),
    ),
    "layer_norm": (
        lambda: LayerNormalization(
            gamma_initializer="random_normal", epsilon=1e-5, dtype="float64"
        ),
        (2, 5),
        lambda nn: nn.LayerNorm(5),
    ),
    "batch_norm": (
        lambda: BatchNormalization(beta_initializer="random_normal", **N),
        (4, 5),
        lambda nn: nn.BatchNorm1d(5),
    ),
    "attention": (
        lambda: MultiHeadAttention(2, **B),
        (2, 5, 6),
        lambda nn: nn.MultiheadAttention(6, 2, batch_first=True),
    ),
    "encoder": (
        lambda: TransformerEncoderBlock(2, 7, **B),
        (2, 5, 6),
        lambda nn: nn.TransformerEncoderLayer(6, 2, 7, 0.0, batch_first=True),
    ),
    "sequential": (
        lambda: Sequential([Dense(4, **B), ReLU(dtype="float64"), Dense(2, **B)]),
        (2, 5),
        lambda nn: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)),
    ),
}


def drawn(shape, integers=False):
    return rng.integers(0, 9, shape) if integers else rng.standard_normal(shape)


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_computes_the_same(name):
    torch = pytest.importorskip("torch")
    make, shape, twin = TWINS[name]
    layer, x = make(), drawn(shape, name == "embedding")
    expected = layer(x).numpy()
    module = twin(torch.nn).double().eval()
    module.load_state_dict(
        {each: torch.tensor(array) for each, array in to_torch_weights(layer).items()},
        strict=name != "batch_norm",  # which counts its batches too
    )
    there = torch.tensor(np.moveaxis(x, -1, 1) if name.startswith("conv") else x)
    result = module(there, there, there) if name == "attention" else module(there)
    found = (result[0] if isinstance(result, tuple) else result).detach().numpy()
    if name.startswith("conv"):
        found = np.moveaxis(found, 1, -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

    # And back: weights that PyTorch has drawn.
    module = twin(torch.nn).double().eval()
    from_torch_weights(layer, module.state_dict())
    result = module(there, there, there) if name == "attention" else module(there)
    found = (result[0] if isinstance(result, tuple) else result).detach().numpy()
    if name.startswith("conv"):
        found = np.moveaxis(found, 1, -1)
    np.testing.assert_allclose(found, layer(x).numpy(), rtol=0, atol=1e-12)


MORE = {
    "own": (Own, (2, 3)),
    "positions": (lambda: LearnedPositions(6, dtype="float64"), (2, 5, 4)),
    "decoder": (lambda: TransformerDecoderBlock(2, 7, **B), (2, 5, 6)),
    "without bias": (
        lambda: Sequential([LSTM(3, use_bias=False), Dense(2, use_bias=False)]),
        (2, 4, 3),
    ),
    "no weights": (lambda: Sequential([Flatten(), Dropout(0.5), Dense(2)]), (2, 4, 3)),
    "narrow values": (lambda: MultiHeadAttention(2, 3, 4), (2, 5, 6)),
}


@pytest.mark.parametrize("name", [*TWINS, *MORE])
def test_there_and_back_changes_nothing(name):
    make, shape, *_ = (TWINS | MORE)[name]
    one, other = make(), make()
    x = drawn(shape, name == "embedding")
    y = one(x).numpy()
    other(x)
    from_torch_weights(other, to_torch_weights(one))
    np.testing.assert_allclose(other(x).numpy(), y, rtol=1e-6)


def images(spatial):
    """A convolutional network of ours, one of PyTorch's, and inputs of both."""
    torch = pytest.importorskip("torch")
    nn, options = torch.nn, {"dtype": "float64"}
    make, pool = ((Conv1D, MaxPooling1D), (Conv2D, MaxPooling2D))[spatial - 1]
    ours = Sequential(
        [
            Sequential([make(3, 2, **B), pool(2, **options)]),
            BatchNormalization(**N),
            Sequential([Flatten(**options), ReLU(**options)]),
            BatchNormalization(gamma_initializer="random_normal", **N),
            LayerNormalization(gamma_initializer="random_normal", **N),
            Dense(4, **B),
            Dense(2, **B),
        ]
    )
    x = drawn((3, *(9, 7)[:spatial], 2))
    ours(x)
    width = ours.layers[5].kernel.shape[0]
    conv, pooled, norm = (
        (nn.Conv1d, nn.MaxPool1d, nn.BatchNorm1d),
        (nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d),
    )[spatial - 1]
    theirs = nn.Sequential(
        nn.Sequential(conv(2, 3, 2), pooled(2)),
        norm(3),
        nn.Sequential(nn.Flatten(), nn.ReLU()),
        nn.BatchNorm1d(width),
        nn.LayerNorm(width),
        nn.Linear(width, 4),
        nn.Linear(4, 2),
    )
    return ours, theirs.double().eval(), x, torch.tensor(np.moveaxis(x, -1, 1).copy()), torch


@pytest.mark.parametrize("spatial", [1, 2])
def test_flattened_images_have_their_channels_first_there(spatial):
    ours, theirs, x, there, torch = images(spatial)
    for _ in range(2):  # the running averages move
        ours(x, training=True)
    weights = {each: torch.tensor(array) for each, array in to_torch_weights(ours).items()}
    theirs.load_state_dict(weights, strict=False)
    found = theirs(there).detach().numpy()
    np.testing.assert_allclose(found, ours(x).numpy(), rtol=0, atol=1e-12)
    ours, theirs, x, there, torch = images(spatial)
    from_torch_weights(ours, theirs.state_dict())
    found = theirs(there).detach().numpy()
    np.testing.assert_allclose(found, ours(x).numpy(), rtol=0, atol=1e-12)


def test_flattened_sequences_have_the_order_that_they_have_here():
    model = Sequential([Conv1D(3, 2), LSTM(2, return_sequences=True), Flatten(), Dense(2)])
    model(drawn((1, 5, 2)))
    found = to_torch_weights(model)["3.weight"]
    np.testing.assert_array_equal(found, model.layers[3].kernel.numpy().T)


def test_what_goes_backwards_has_no_counterpart():
    for layer in (LSTM(2, go_backwards=True), Bidirectional(GRU(2, go_backwards=True))):
        layer.build((None, 3, 2))
        with pytest.raises(ShapeError, match="go_backwards=True has no counterpart"):
            to_torch_weights(layer)


def test_parameters_of_a_module_are_weights_too():
    torch = pytest.importorskip("torch")
    module, layer = torch.nn.Linear(3, 2), Dense(2)
    layer.build((None, 3))
    from_torch_weights(layer, dict(module.named_parameters()))
    np.testing.assert_array_equal(layer.kernel.numpy().T, module.weight.detach().numpy())


def test_the_names_are_those_of_modules():
    model = Own()
    model(drawn((1, 3)))
    assert [*to_torch_weights(model)] == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    decoder = TransformerDecoderBlock(2, 7)
    decoder(drawn((1, 3, 4)), drawn((1, 2, 4)))
    assert {each.split(".")[0] for each in to_torch_weights(decoder)} == {
        *("self_attn", "multihead_attn", "linear1", "linear2", "norm1", "norm2", "norm3")
    }


def test_what_does_not_fit_is_listed_and_nothing_is_changed():
    layer = Dense(2)
    layer.build((None, 3))
    before = layer.kernel.numpy().copy()
    with pytest.raises(ShapeError, match=r"weight has shape \(3, 2\), not \(2, 3\)"):
        from_torch_weights(layer, {"weight": np.ones((3, 2)), "bias": np.ones(2)})
    with pytest.raises(ShapeError, match="bias is missing; extra is unknown"):
        from_torch_weights(layer, {"weight": np.ones((2, 3)), "extra": np.ones(2)})
    np.testing.assert_array_equal(layer.kernel.numpy(), before)
    with pytest.raises(RuntimeError, match="has no weights yet"):
        to_torch_weights(Dense(2))
    odd = Normalization(mean=[0.0], variance=[1.0])
    odd.build((None, 1))
    with pytest.raises(ShapeError, match="mean, variance of normalization have no counterpart"):
        to_torch_weights(odd)


def test_arrays_that_come_out_are_copies():
    layer = Dense(2)
    layer.build((None, 3))
    to_torch_weights(layer)["bias"][:] = 7
    assert not layer.bias.numpy().any()
    assert cr.utils.to_torch_weights(layer)["weight"].flags.c_contiguous
