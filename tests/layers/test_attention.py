"""MultiHeadAttention: shapes, masks, what is hidden, one product, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.errors import ShapeError
from chainrule.engine.masks import mask_of, with_mask
from chainrule.layers import Dense, LayerNormalization, MultiHeadAttention, from_config
from chainrule.models import Sequential

RNG = np.random.default_rng(0)


def made(heads=2, *widths, **options):
    options = {"dtype": "float64", "bias_initializer": "random_normal", **options}
    return MultiHeadAttention(heads, *widths, **options)


def drawn(*shape):
    return RNG.normal(size=shape)


def by_hand(layer, query, value, key=None):
    """The formula, head by head."""
    key = value if key is None else key
    w = {name: each.numpy() for name, each in layer.named_weights()}
    q, k, v = (
        x @ w[f"{name}_kernel"] + w[f"{name}_bias"]
        for name, x in (("query", query), ("key", key), ("value", value))
    )
    heads = layer.num_heads
    parts = []
    for q_h, k_h, v_h in zip(*(np.split(each, heads, axis=-1) for each in (q, k, v)), strict=True):
        scores = np.exp(q_h @ k_h.swapaxes(1, 2) / np.sqrt(q_h.shape[-1]))
        parts.append(scores / scores.sum(-1, keepdims=True) @ v_h)
    return np.concatenate(parts, -1) @ w["output_kernel"] + w["output_bias"]


# What it computes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_dim", "value_dim", "sizes"), [(None, None, (4, 4)), (3, None, (3, 3)), (3, 5, (3, 5))]
)
def test_the_formula_and_the_shapes_of_the_weights(key_dim, value_dim, sizes):
    layer, x = made(2, key_dim, value_dim), drawn(2, 5, 8)
    np.testing.assert_allclose(layer(x).numpy(), by_hand(layer, x, x), atol=1e-13)
    shapes = {name: each.shape for name, each in layer.named_parameters()}
    of_keys, of_values = (2 * n for n in sizes)
    assert shapes == {
        "query_kernel": (8, of_keys), "query_bias": (of_keys,),
        "key_kernel": (8, of_keys), "key_bias": (of_keys,),
        "value_kernel": (8, of_values), "value_bias": (of_values,),
        "output_kernel": (of_values, 8), "output_bias": (8,),
    }  # fmt: skip


def test_other_sequences_may_have_other_widths():
    query, value, key = drawn(2, 5, 8), drawn(2, 3, 6), drawn(2, 3, 7)
    layer = made()
    y = layer(query, value, key)
    assert y.shape == query.shape
    np.testing.assert_allclose(y.numpy(), by_hand(layer, query, value, key), atol=1e-13)
    layer = made()
    np.testing.assert_allclose(
        layer(query, value).numpy(), by_hand(layer, query, value), atol=1e-13
    )


def test_self_attention_is_attention_to_oneself():
    """One product, or three: the same result, and the same gradients."""
    layer, x = made(), drawn(2, 5, 8)
    found = []
    for call in (lambda t: layer(t), lambda t: layer(t, t), lambda t: layer(t, t, t)):
        layer.zero_grad() if layer.built else None
        t = cr.tensor(x, requires_grad=True)
        y = call(t)
        y.backward(np.cos(np.arange(80)).reshape(y.shape))
        found.append([y.numpy(), t.grad.numpy(), *(w.grad.numpy() for w in layer.parameters())])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-13)


def test_self_attention_projects_in_one_product():
    def products(*sequences):
        y = layer(*(cr.tensor(each, requires_grad=True) for each in sequences))
        seen, waiting = set(), [y._node]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += node.parents
        return sum(each.record is not None and each.record.name == "matmul" for each in seen)

    layer, x = made(), drawn(1, 3, 4)
    assert products(x) == 2  # and the output
    assert products(x, x) == 4


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    heads, time, keys = draw(1, 2), draw(1, 3), draw(1, 3)
    rng = np.random.default_rng(draw(0, 99))
    layer = made(heads, draw(1, 2), draw(1, 2), use_bias=bool(draw(0, 1)))
    query = rng.normal(size=(draw(1, 2), time, draw(1, 2)))
    causal, masked = bool(draw(0, 1)), bool(draw(0, 1))
    if draw(0, 1):
        value = rng.normal(size=(len(query), keys, draw(1, 2)))
        allowed = rng.random((time, keys)) < 0.7 if masked else None
        cr.assert_gradients(
            lambda q, v: layer(q, v, attention_mask=allowed, use_causal_mask=causal),
            query,
            value,
            order=2,
        )
    else:
        mask = rng.random(query.shape[:2]) < 0.7 if masked else None
        call = lambda q: layer(q, mask=mask, use_causal_mask=causal)  # noqa: E731
        cr.assert_gradients(call, query, order=2)


def test_the_gradient_check_finds_all_weights():
    cr.assert_gradients(made(), drawn(1, 3, 4), order=2)


# What is hidden -----------------------------------------------------------------------------


def test_an_earlier_step_does_not_see_a_later_one():
    layer, x = made(), drawn(2, 6, 8)
    before = layer(x, use_causal_mask=True).numpy()
    for t in range(6):
        moved = x.copy()
        moved[:, t] += drawn(2, 8)
        after = layer(moved, use_causal_mask=True).numpy()
        np.testing.assert_array_equal(before[:, :t], after[:, :t])
        assert (before[:, t:] != after[:, t:]).all()


def test_padded_keys_never_matter_even_if_they_are_nan():
    """Nor in the gradients of the query, of the keys that are real, and of all weights."""
    real = np.array([[True, True, False], [True, False, False]])
    query, value = drawn(2, 4, 8), drawn(2, 3, 8)
    layer, found = made(), []
    for fill in (0.0, np.nan, 1e9, np.inf):
        layer.zero_grad() if layer.built else None
        q = cr.tensor(query, requires_grad=True)
        v = cr.tensor(np.where(real[:, :, None], value, fill), requires_grad=True)
        y = layer(q, with_mask(v, real))
        y.backward(np.cos(np.arange(64)).reshape(2, 4, 8))
        grads = [q.grad, v.grad, *(each.grad for each in layer.parameters())]
        found.append([y.numpy(), *(each.numpy() for each in grads)])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    assert (found[0][2][~real] == 0).all() and (found[0][2][real] != 0).all()


def test_padding_of_a_sequence_does_not_reach_its_real_steps():
    real = np.array([[True, True, False, False], [True, True, True, False]])
    layer, x = made(), drawn(2, 4, 8)
    for causal in (False, True):
        expected = layer(x, mask=real, use_causal_mask=causal)
        np.testing.assert_array_equal(mask_of(expected), real)
        for fill in (np.nan, 1e9):
            filled = np.where(real[:, :, None], x, fill)
            with np.errstate(invalid="ignore"):
                y = layer(filled, mask=real, use_causal_mask=causal).numpy()
            np.testing.assert_array_equal(y[real], expected.numpy()[real])
        short = layer(x[:1, :2], use_causal_mask=causal).numpy()
        np.testing.assert_allclose(expected.numpy()[0, :2], short[0], atol=1e-14)


def test_masks_of_value_and_key_and_attention_hide_together():
    query, value, key = drawn(2, 3, 8), drawn(2, 4, 8), drawn(2, 4, 8)
    of_value = np.array([[True, True, True, False], [True] * 4])
    of_key = np.array([[True, True, False, True], [False, True, True, True]])
    allowed = RNG.random((2, 3, 4)) < 0.8
    layer = made()
    y, scores = layer(
        query,
        with_mask(cr.tensor(value), of_value),
        with_mask(cr.tensor(key), of_key),
        attention_mask=allowed,
        return_attention_scores=True,
    )
    shown = np.broadcast_to(allowed & (of_value & of_key)[:, None], (2, 3, 4))[:, None]
    assert scores.shape == (2, 2, 3, 4)
    np.testing.assert_array_equal(scores.numpy() > 0, np.broadcast_to(shown, scores.shape))
    again = layer(query, value, key, attention_mask=shown).numpy()
    np.testing.assert_allclose(y.numpy(), again, atol=1e-14)


def test_a_query_that_sees_nothing_gets_the_bias():
    layer, x = made(), drawn(1, 3, 4)
    allowed = np.array([[True, False, False], [False] * 3, [True] * 3])
    y = layer(x, attention_mask=allowed).numpy()
    np.testing.assert_array_equal(y[0, 1], layer.output_bias.numpy())


def test_dropout_of_the_weights_is_for_training():
    cr.seed(0)
    layer, x = made(2, dropout=0.5), drawn(2, 40, 8)
    plain = layer(x).numpy()
    np.testing.assert_array_equal(layer(x).numpy(), plain)
    y, scores = layer(x, training=True, return_attention_scores=True)
    assert not np.allclose(y.numpy(), plain)
    # As in Keras, the weights returned are those before.
    np.testing.assert_array_equal(scores.numpy(), layer(x, return_attention_scores=True)[1].numpy())


def test_half_of_the_weights_are_dropped():
    """Seen in the result: the value of each step stands in a feature of its own."""
    cr.seed(0)
    layer = MultiHeadAttention(1, 80, dropout=0.5, dtype="float64")
    x = np.eye(80)[None]
    layer(x)
    for name in ("value_kernel", "output_kernel"):
        getattr(layer, name).assign(np.eye(80))
    dropped, weights = layer(x, training=True).numpy()[0], layer(x).numpy()[0]
    # Of 6,400 decisions the share has a standard deviation of 0.0063.
    assert abs((dropped == 0).mean() - 0.5) < 5 * 0.0063
    np.testing.assert_allclose(dropped[dropped != 0], 2 * weights[dropped != 0], rtol=1e-12)


def test_a_key_alone_may_have_another_width():
    layer, x, key = made(2, dtype="float64"), drawn(2, 3, 4), drawn(2, 3, 6)
    np.testing.assert_allclose(layer(x, key=key).numpy(), layer(x, x, key).numpy(), rtol=1e-12)
    assert layer.key_kernel.shape == (6, 4) and layer.value_kernel.shape == (4, 4)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4)])
def test_nothing_is_attended_to_in_nothing(shape):
    layer, x = made(2), cr.tensor(np.zeros(shape), requires_grad=True)
    y = layer(x, use_causal_mask=True, mask=np.ones(shape[:2], bool))
    y.sum().backward()
    assert y.shape == x.grad.shape == shape


def test_the_mask_of_something_else_than_steps_is_refused():
    with pytest.raises(ShapeError, match=r"mask must be \(batch, time\), got shape \(2,\)"):
        made(2)(drawn(2, 3, 4), mask=np.ones(2, bool))


# Memory -------------------------------------------------------------------------------------


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_checkpoints_keep_the_weights_of_one_layer_only():
    """Six layers at length 192: their weights are what memory goes to."""
    layers = [made(2, 4, dtype="float32") for _ in range(6)]
    x = cr.tensor(drawn(1, 192, 8), dtype="float32", requires_grad=True)
    for layer in layers:
        layer(x)

    def run(call):
        y = x
        for layer in layers:
            y = call(layer, y)
        y.backward(np.ones(y.shape, "float32"))

    plain = peak(lambda: run(lambda layer, y: layer(y)))
    kept_less = peak(lambda: run(cr.checkpoint))
    assert kept_less < plain / 2


# Arguments ----------------------------------------------------------------------------------


def test_configuration_counts_and_dtypes():
    layer = MultiHeadAttention(2, 3, 4, 0.1, False, kernel_regularizer="l2", name="look")
    again = from_config(layer.to_config())
    assert again.get_config() == layer.get_config()
    y = again(drawn(1, 2, 5).astype("float32"))
    assert y.dtype == np.float32 and again.count_params() == 5 * (6 + 6 + 8) + 8 * 5
    assert len(again.losses) == 4
    model = Sequential([MultiHeadAttention(2), LayerNormalization(), Dense(3)])
    model.build((None, 7, 4))
    assert model.compute_output_shape((None, 7, 4)) == (None, 7, 3)
    assert model.count_params() == 4 * 20 + 8 + 15


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: MultiHeadAttention(0), ValueError, "num_heads must be a positive integer"),
        (lambda: MultiHeadAttention(2, 1.5), TypeError, "key_dim must be a positive integer"),
        (lambda: MultiHeadAttention(2, dropout=1.0), ValueError, "dropout must be at least 0"),
        (
            lambda: MultiHeadAttention(3)(drawn(1, 2, 8)),
            cr.ShapeError,
            "num_heads=3 does not divide the width of the query, 8;.*key_dim",
        ),
        (lambda: made()(drawn(2, 8)), cr.ShapeError, "at least 3 axes"),
        (lambda: made()(drawn(1, 2, 3, 8)), cr.ShapeError, r"query must be \(batch, time, width\)"),
        (lambda: made()(drawn(1, 2, 4), drawn(2, 4)), cr.ShapeError, "at least 3 axes"),
        (
            lambda: made()(drawn(2, 3, 4), drawn(1, 3, 4)),
            cr.ShapeError,
            r"of one batch.*query has shape \(2, 3, 4\)",
        ),
        (
            lambda: made()(drawn(1, 3, 4), drawn(1, 3, 4), drawn(1, 2, 4)),
            cr.ShapeError,
            "key and value of one time",
        ),
        (
            lambda: made()(drawn(1, 3, 4), attention_mask=np.ones((3, 3))),
            cr.DtypeError,
            "attention_mask must be boolean.*float64",
        ),
        (
            lambda: made()(drawn(1, 3, 4), attention_mask=np.ones((2, 3), bool)),
            cr.ShapeError,
            r"attention_mask must be \(queries, keys\).*here of \(1, 2, 3, 3\), got shape \(2, 3\)",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=f"MultiHeadAttention: .*{text}"):
        call()


def test_another_width_than_the_layer_was_built_on():
    layer = made()
    layer(drawn(1, 2, 4), drawn(1, 3, 6))
    for sequences in ((drawn(1, 2, 6), drawn(1, 3, 6)), (drawn(1, 2, 4),)):
        with pytest.raises(cr.ShapeError, match=r"expected .* \(the layer was built on it\)"):
            layer(*sequences)
