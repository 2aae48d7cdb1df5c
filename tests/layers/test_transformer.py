"""Transformer blocks: causality, padding, gradients, memory; training on a task."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.masks import mask_of, with_mask
from chainrule.layers import (
    Dense,
    SinusoidalPositions,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
    from_config,
)
from chainrule.models import Sequential

RNG = np.random.default_rng(0)
BLOCKS = pytest.mark.parametrize("kind", [TransformerEncoderBlock, TransformerDecoderBlock])
NORM_FIRST = pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])


def drawn(*shape):
    return RNG.normal(size=shape)


@NORM_FIRST
def test_a_decoder_block_is_causal_and_an_encoder_block_is_not(norm_first):
    x = drawn(2, 5, 4)
    for kind, causal in ((TransformerDecoderBlock, True), (TransformerEncoderBlock, False)):
        block = kind(2, 6, norm_first=norm_first, dtype="float64")
        before = block(x).numpy()
        for t in range(1, 5):
            moved = x.copy()
            moved[:, t] += drawn(2, 4)
            same = before[:, :t] == block(moved).numpy()[:, :t]
            assert same.all() if causal else not same.any()
    block = TransformerEncoderBlock(2, 6, norm_first=norm_first, dtype="float64")
    whole = block(x, use_causal_mask=True).numpy()
    np.testing.assert_allclose(block(x[:, :3], use_causal_mask=True).numpy(), whole[:, :3])


@BLOCKS
@NORM_FIRST
def test_padding_does_not_reach_real_steps(kind, norm_first):
    real = np.array([[True, True, False], [True, False, False]])
    block, x = kind(2, 6, norm_first=norm_first, dtype="float64"), drawn(2, 3, 4)
    expected = block(x, mask=real)
    np.testing.assert_array_equal(mask_of(expected), real)
    for fill in (np.nan, 1e9):
        with np.errstate(invalid="ignore"):
            y = block(np.where(real[:, :, None], x, fill), mask=real).numpy()
        np.testing.assert_array_equal(y[real], expected.numpy()[real])


@NORM_FIRST
def test_padding_of_a_memory_never_matters(norm_first):
    """The mask that it carries, or the one that is given: in the result, and all gradients."""
    real = np.array([[True, True, False], [True, False, False]])
    x, memory = drawn(2, 4, 4), drawn(2, 3, 6)
    block, found = TransformerDecoderBlock(2, 6, norm_first=norm_first, dtype="float64"), []
    for fill, carried in ((0.0, True), (np.nan, True), (np.nan, False)):
        block.zero_grad() if block.built else None
        given = cr.tensor(np.where(real[:, :, None], memory, fill), requires_grad=True)
        t = cr.tensor(x, requires_grad=True)
        y = block(t, with_mask(given, real)) if carried else block(t, given, memory_mask=real)
        y.backward(np.cos(np.arange(32)).reshape(2, 4, 4))
        grads = [t.grad, given.grad, *(each.grad for each in block.parameters())]
        found.append([y.numpy(), *(each.numpy() for each in grads)])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    rng = np.random.default_rng(draw(0, 99))
    options = {"activation": "tanh", "norm_first": bool(draw(0, 1)), "epsilon": 0.1}
    x = rng.normal(size=(1, draw(1, 2), 2))
    if draw(0, 1):
        block = TransformerDecoderBlock(draw(1, 2), 2, **options)
        cr.assert_gradients(block, x, rng.normal(size=(1, draw(1, 2), 1)), order=2)
    else:
        kind = data.draw(st.sampled_from([TransformerEncoderBlock, TransformerDecoderBlock]))
        cr.assert_gradients(kind(draw(1, 2), 2, **options), x, order=2)


@BLOCKS
def test_dropout_is_for_training_and_repeated_by_checkpoints(kind):
    x = drawn(2, 5, 8)
    block = kind(2, 16, dropout=0.3, dtype="float64")
    plain = block(x).numpy()
    np.testing.assert_array_equal(block(x).numpy(), plain)
    found = []
    for call in (lambda f, t: f(t), cr.checkpoint):
        cr.seed(3)
        t = cr.tensor(x, requires_grad=True)
        y = call(lambda v: block(v, training=True), t)
        y.backward(np.cos(np.arange(80)).reshape(x.shape))
        found.append([y.numpy(), t.grad.numpy()])
        assert not np.allclose(y.numpy(), plain)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("memory", [None, drawn(1, 2, 6)])
def test_what_is_dropped(memory):
    """The weights of each attention, the hidden layer, and what each part adds."""
    block = TransformerDecoderBlock(2, 10, dropout=0.3)
    x = cr.tensor(drawn(1, 3, 4), requires_grad=True)
    waiting, dropped = {block(x, memory, training=True)._node}, []
    while waiting:
        node = max(waiting, key=lambda each: each.moment)
        waiting.remove(node)
        if node.record is not None and node.record.name == "dropout":
            dropped.append(node.shape)
        waiting |= {each for each in node.parents if each is not None}
    attention = [(1, 3, 4), (1, 2, 3, 3)]
    of_memory = [] if memory is None else [(1, 3, 4), (1, 2, 3, 2)]
    assert dropped == [(1, 3, 4), (1, 3, 10), *of_memory, *attention]


@BLOCKS
def test_freezing_reaches_all_that_is_within(kind):
    block = kind(2, 6, trainable=False)
    y = block(drawn(1, 3, 4).astype("float32"))
    assert not y.requires_grad and not any(each.requires_grad for each in block.parameters())
    block.trainable = True
    assert all(each.requires_grad for each in block.parameters())


def test_layers_within_and_their_counts():
    block = TransformerDecoderBlock(2, 6)
    block.build((None, 3, 4), (None, 5, 8))
    assert block.count_params() == (
        4 * (4 * 4 + 4)  # self-attention
        + 2 * (4 * 4 + 4) + 2 * (8 * 4 + 4)  # attention to a memory of width 8
        + (4 * 6 + 6) + (6 * 4 + 4) + 3 * 8
    )  # fmt: skip
    names = [name for name, _ in block.sublayers() if name != "activation"]
    assert sorted(names) == [
        "cross_attention", "cross_attention_norm", "feed_forward_1", "feed_forward_2",
        "feed_forward_norm", "self_attention", "self_attention_norm",
    ]  # fmt: skip
    assert block.compute_output_shape((None, 3, 4)) == (None, 3, 4)
    model = Sequential([SinusoidalPositions(), TransformerEncoderBlock(2, 6), Dense(3)])
    model.build((None, 5, 4))
    assert model.count_params() == 80 + 30 + 28 + 16 + 15
    lines = []
    model.summary(print_fn=lines.append)
    assert "(None, 5, 4)" in "\n".join(map(str, lines)) and "154" in "\n".join(map(str, lines))


@BLOCKS
def test_configuration_and_weights(kind, tmp_path):
    block = kind(2, 6, 0.1, "gelu", True, 1e-4, "he_normal", name="block", dtype="float64")
    again = from_config(block.to_config())
    assert again.get_config() == block.get_config()
    assert repr(kind(2, 6)) == f"{kind.__name__}(num_heads=2, intermediate_dim=6)"
    x = drawn(1, 3, 4)
    model, other = Sequential([block]), Sequential([again])
    expected = model(x).numpy()
    model.save_weights(tmp_path / "w.safetensors")
    other.build((None, 3, 4))
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other(x).numpy(), expected)


def test_it_learns_to_look_at_the_first_step():
    """The answer stands at the start of the sequence; the loss of a guess is log 4 = 1.39."""
    cr.seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 128)
    x = 0.3 * rng.normal(size=(128, 6, 8)).astype("float32")
    x[np.arange(128), 0, labels] += 3.0
    block = TransformerEncoderBlock(2, 16, norm_first=True)
    model = Sequential([SinusoidalPositions(), block, Dense(4)])
    loss_of = lambda: cr.sparse_softmax_cross_entropy(model(x)[:, -1], labels).mean()  # noqa: E731
    loss_of()
    optimizer = cr.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        model.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda k: k(0, 4), ValueError, "num_heads must be a positive integer"),
        (lambda k: k(1, 4.0), TypeError, "intermediate_dim must be a positive integer"),
        (lambda k: k(1, 4, dropout=2), ValueError, "dropout must be at least 0"),
        (lambda k: k(1, 4, epsilon=-1), ValueError, "epsilon must be finite"),
        (lambda k: k(1, 4)(np.ones((2, 3))), cr.ShapeError, "at least 3 axes"),
        (lambda k: k(1, 4)(np.ones((1, 2, 3, 4))), cr.ShapeError, r"\(None, time, width\)"),
    ],
)
@BLOCKS
def test_errors(kind, call, error, text):
    with pytest.raises(error, match=f"{kind.__name__}: .*{text}"):
        call(kind)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(cr.ShapeError, match="num_heads=3 does not divide the width of"):
        TransformerEncoderBlock(3, 4)(np.ones((1, 2, 4)))


def test_a_memory_is_given_always_or_never():
    x, memory = np.ones((1, 2, 4)), np.ones((1, 3, 6))
    block = TransformerDecoderBlock(1, 4)
    block(x)
    with pytest.raises(ValueError, match=r"memory is shape \(1, 3, 6\).*built without a memory"):
        block(x, memory)
    block = TransformerDecoderBlock(1, 4)
    block(x, memory)
    with pytest.raises(ValueError, match="memory is None, but the layer was built with one"):
        block(x)
    with pytest.raises(cr.DtypeError, match="memory_mask: mask must be of booleans"):
        block(x, memory, memory_mask=np.ones((1, 3)))
