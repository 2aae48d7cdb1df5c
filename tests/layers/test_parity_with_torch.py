"""Normalisation, attention and Transformer blocks compute what PyTorch's layers do."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import (
    BatchNormalization,
    LayerNormalization,
    MultiHeadAttention,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)

from .torch_weights import TOLERANCES, compare, flat

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
NORM_FIRST = pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])
ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "gelu"])

BATCH, TIME, KEYS, WIDTH, HEADS = 3, 5, 4, 8, 2


def drawn(*shape):
    return RNG.normal(size=shape)


def shuffled(module, dtype):
    """Random parameters, also where PyTorch begins with zeros and ones."""
    module.to(getattr(torch, dtype))
    with torch.no_grad():
        for each in module.parameters():
            each.copy_(torch.tensor(0.4 * drawn(*each.shape)))
    return module


def padding(batch, time):
    """Some of the last steps are hidden, of no sample all."""
    lengths = RNG.integers(1, time + 1, batch)
    lengths[0] = time - 1
    return np.arange(time) < lengths[:, None]


def far(time):
    return torch.nn.Transformer.generate_square_subsequent_mask(time, dtype=torch.float64).bool()


# Normalisation ------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize(("axis", "shape"), [(-1, (4, 3, 6)), ((1, 2), (4, 3, 6)), (-1, (3, 4))])
def test_layer_normalization(axis, shape, dtype):
    kept = [axis] if isinstance(axis, int) else list(axis)
    lengths = [shape[i] for i in kept]
    theirs = shuffled(torch.nn.LayerNorm(lengths, eps=1e-3), dtype)
    layer = LayerNormalization(axis, dtype=dtype)
    compare(layer, theirs, layer, flat(theirs), [drawn(*shape) * 3 + 1], dtype)


@DTYPES
@pytest.mark.parametrize(
    ("kind", "shape", "axis"),
    [("BatchNorm1d", (6, 4), -1), ("BatchNorm2d", (3, 4, 2, 3), 1), ("BatchNorm1d", (3, 4, 5), 1)],
)
def test_batch_normalization_in_both_modes(kind, shape, axis, dtype):
    theirs = shuffled(getattr(torch.nn, kind)(4, eps=1e-3, momentum=0.2), dtype)
    layer = BatchNormalization(axis, momentum=0.8, dtype=dtype)
    layer.build((None, *shape[1:]))
    x = drawn(*shape) * 3 + 1
    trained = lambda v: layer(v, training=True)  # noqa: E731
    compare(trained, theirs, layer, flat(theirs), [x], dtype)
    # `compare` called ours twice; the unbiased variance is PyTorch's.
    n = x.size // 4
    axes = tuple(i for i in range(x.ndim) if i != 1)
    seen = 1 - 0.8**2
    scale = TOLERANCES[dtype]
    expected = seen * x.mean(axes), 0.8**2 + seen * x.var(axes)
    np.testing.assert_allclose(layer.moving_mean.numpy(), expected[0], atol=scale)
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected[1], rtol=scale)
    once = theirs.running_var.numpy() - 0.8
    np.testing.assert_allclose(once * (n - 1) / n, 0.2 * x.var(axes), rtol=10 * scale)
    theirs.running_mean.copy_(torch.tensor(layer.moving_mean.numpy()))
    theirs.running_var.copy_(torch.tensor(layer.moving_variance.numpy()))
    theirs.eval()
    for each in (*layer.parameters(), *theirs.parameters()):
        each.grad = None
    compare(layer, theirs, layer, flat(theirs), [drawn(*shape) * 2], dtype)


# Attention ----------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("how", ["plain", "padding", "causal", "both"])
def test_self_attention(how, dtype):
    theirs = shuffled(torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), dtype)
    layer = MultiHeadAttention(HEADS, dtype=dtype)
    real = padding(BATCH, TIME) if how in ("padding", "both") else None
    causal = how in ("causal", "both")
    compare(
        lambda x: layer(x, mask=real, use_causal_mask=causal),
        lambda x: theirs(
            x, x, x,
            key_padding_mask=None if real is None else torch.tensor(~real),
            attn_mask=far(TIME) if causal else None,
            need_weights=False,
        )[0],
        layer, flat(theirs), [drawn(BATCH, TIME, WIDTH)], dtype,
    )  # fmt: skip


@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("keys_width", [WIDTH, 6])
def test_cross_attention(keys_width, bias, dtype):
    theirs = torch.nn.MultiheadAttention(
        WIDTH, HEADS, bias=bias, kdim=keys_width, vdim=keys_width + 1, batch_first=True
    )
    if keys_width == WIDTH:
        theirs = torch.nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True)
    theirs = shuffled(theirs, dtype)
    layer = MultiHeadAttention(HEADS, use_bias=bias, dtype=dtype)
    real, allowed = padding(BATCH, KEYS), RNG.random((TIME, KEYS)) < 0.7
    allowed[:, 0] = True
    values_width = keys_width + (keys_width != WIDTH)

    def ours(query, value, key):
        value = cr.layers.layer.with_mask(value, real)
        return layer(query, value, key, attention_mask=allowed)

    compare(
        ours,
        lambda q, v, k: theirs(
            q, k, v, key_padding_mask=torch.tensor(~real), attn_mask=torch.tensor(~allowed),
            need_weights=False,
        )[0],
        layer, flat(theirs),
        [
            drawn(BATCH, TIME, WIDTH), drawn(BATCH, KEYS, values_width),
            drawn(BATCH, KEYS, keys_width),
        ],
        dtype,
    )  # fmt: skip


@DTYPES
@pytest.mark.parametrize("is_causal", [False, True])
def test_scaled_dot_product_attention(is_causal, dtype):
    arrays = [drawn(2, HEADS, 5, 3) for _ in range(3)]
    ours = [cr.tensor(each.astype(dtype), requires_grad=True) for each in arrays]
    theirs = [torch.tensor(each.astype(dtype), requires_grad=True) for each in arrays]
    y = cr.scaled_dot_product_attention(*ours, is_causal=is_causal)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=is_causal)
    upstream = drawn(*y.shape).astype(dtype)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    tolerance = TOLERANCES[dtype]
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=0, atol=tolerance)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=0, atol=tolerance)


def test_the_scores_are_those_of_each_head():
    theirs = shuffled(torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), "float64")
    layer = MultiHeadAttention(HEADS, dtype="float64")
    x = drawn(BATCH, TIME, WIDTH)
    layer(x)
    for name, (each, pick) in flat(theirs).items():
        dict(layer.named_parameters())[name].assign(pick(each.detach().numpy()))
    y, scores = layer(x, return_attention_scores=True)
    t = torch.tensor(x)
    expected, weights = theirs(t, t, t, average_attn_weights=False)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(scores.numpy(), weights.detach().numpy(), atol=1e-12)


# Blocks -------------------------------------------------------------------------------------


def of_block(theirs, decoder=False):
    """The parameters of a block of PyTorch's under our names."""
    norms = ["self_attention_norm", "cross_attention_norm", "feed_forward_norm"]
    if not decoder:
        norms.remove("cross_attention_norm")
    parts = {"self_attention": theirs.self_attn}
    parts |= {"cross_attention": theirs.multihead_attn} if decoder else {}
    parts |= {"feed_forward_1": theirs.linear1, "feed_forward_2": theirs.linear2}
    parts |= {name: getattr(theirs, f"norm{i + 1}") for i, name in enumerate(norms)}
    found = {}
    for name, each in parts.items():
        found |= flat(each, f"{name}.")
    return found


@DTYPES
@NORM_FIRST
@ACTIVATIONS
def test_encoder_block(activation, norm_first, dtype):
    theirs = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 12, dropout=0.0, activation=activation, batch_first=True,
        norm_first=norm_first,
    )  # fmt: skip
    theirs = shuffled(theirs, dtype)
    block = TransformerEncoderBlock(
        HEADS, 12, activation=activation, norm_first=norm_first, dtype=dtype
    )
    real = padding(BATCH, TIME)
    compare(
        lambda x: block(x, mask=real),
        lambda x: theirs(x, src_key_padding_mask=torch.tensor(~real)),
        block, of_block(theirs), [drawn(BATCH, TIME, WIDTH)], dtype,
    )  # fmt: skip


@DTYPES
@NORM_FIRST
@ACTIVATIONS
def test_decoder_block(activation, norm_first, dtype):
    theirs = torch.nn.TransformerDecoderLayer(
        WIDTH, HEADS, 12, dropout=0.0, activation=activation, batch_first=True,
        norm_first=norm_first,
    )  # fmt: skip
    theirs = shuffled(theirs, dtype)
    block = TransformerDecoderBlock(
        HEADS, 12, activation=activation, norm_first=norm_first, dtype=dtype
    )
    real, memory_real = padding(BATCH, TIME), padding(BATCH, KEYS)
    compare(
        lambda x, memory: block(x, memory, memory_real, mask=real),
        lambda x, memory: theirs(
            x, memory, tgt_mask=far(TIME), tgt_key_padding_mask=torch.tensor(~real),
            memory_key_padding_mask=torch.tensor(~memory_real),
        ),
        block, of_block(theirs, decoder=True),
        [drawn(BATCH, TIME, WIDTH), drawn(BATCH, KEYS, WIDTH)], dtype,
    )  # fmt: skip


@NORM_FIRST
def test_a_decoder_block_without_memory_is_a_causal_encoder_block(norm_first):
    """So GPT's blocks are written in PyTorch."""
    theirs = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 12, dropout=0.0, batch_first=True, norm_first=norm_first
    )
    theirs = shuffled(theirs, "float64")
    block = TransformerDecoderBlock(HEADS, 12, norm_first=norm_first, dtype="float64")
    compare(
        block, lambda x: theirs(x, src_mask=far(TIME)), block, of_block(theirs),
        [drawn(BATCH, TIME, WIDTH)], "float64",
    )  # fmt: skip
