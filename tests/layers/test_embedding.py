"""Embedding and Masking: vectors, gradients, masks, ids that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import chainrule as cr
from chainrule.engine.errors import DtypeError
from chainrule.engine.masks import mask_of
from chainrule.layers import LSTM, Dense, Embedding, Masking, Reshape, from_config
from chainrule.models import Model, Sequential


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 3), st.integers(1, 4)), elements=st.integers(0, 4))
)
def test_the_gradient_of_a_vector_is_the_sum_over_its_ids(ids):
    layer = Embedding(5, 3, dtype="float64")
    y = layer(ids)
    np.testing.assert_array_equal(y.numpy(), layer.embeddings.numpy()[ids])
    upstream = np.random.default_rng(0).normal(size=y.shape)
    y.backward(upstream)
    one_hot = np.eye(5)[ids].reshape(-1, 5)
    right = one_hot.T @ upstream.reshape(-1, 3)
    np.testing.assert_allclose(layer.embeddings.grad.numpy(), right, rtol=1e-13, atol=1e-14)


def test_gradients_of_first_and_second_order():
    layer = Embedding(4, 2, dtype="float64")
    layer.build((None, 3))
    ids = np.array([[1, 1, 0], [3, 1, 2]])

    def function(embeddings):
        layer.embeddings = embeddings
        return cr.tanh(layer(ids))

    cr.assert_gradients(function, layer.embeddings.numpy().copy(), order=2)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "float32", "float64"])
def test_whole_numbers_of_any_dtype_are_ids(dtype):
    layer = Embedding(300, 2)
    ids = np.array([[0, 7, 255]], dtype)
    for given_ids in (ids, ids.tolist(), cr.tensor(ids)):
        np.testing.assert_array_equal(
            layer(given_ids).numpy(), layer.embeddings.numpy()[[[0, 7, 255]]]
        )


def test_large_ids_given_as_floats_are_not_rounded():
    """float32 would turn 2²⁴ + 1 into 2²⁴, which would be in the vocabulary."""
    layer = Embedding(2**24 + 1, 1, embeddings_initializer="zeros")
    with pytest.raises(ValueError, match=r"x\[0, 0\] = 16777217 is not"):
        layer(np.array([[2.0**24 + 1]]))


def test_the_mask_tells_the_padding():
    ids = np.array([[3, 1, 0], [2, 0, 0]])
    assert mask_of(Embedding(5, 2)(ids)) is None
    np.testing.assert_array_equal(mask_of(Embedding(5, 2, mask_zero=True)(ids)), ids != 0)
    np.testing.assert_array_equal(mask_of(Embedding(5, 2, mask_zero=True)(1.0 * ids)), ids != 0)


def test_ids_that_do_not_fit():
    layer = Embedding(5, 2, mask_zero=True)
    with pytest.raises(ValueError, match=r"Embedding: x\[1, 0\] = 5 is not.*input_dim=5 ids"):
        layer([[1, 2], [5, 3]])
    with pytest.raises(ValueError, match=r"Embedding: x\[0, 1\] = -1 is not"):
        layer([[1, -1]])
    with pytest.raises(cr.DtypeError, match=r"must be integers, got 1.5 at index \(0, 1\)"):
        layer([[1.0, 1.5]])
    with pytest.raises(cr.DtypeError, match=r"must be integers, got nan"):
        layer([[float("nan")]])
    with pytest.raises(ValueError, match=r"Embedding: x\[1\].* nothing but padding"):
        layer([[1, 0], [0, 0]])
    with pytest.raises(cr.ShapeError, match=r"Embedding: .*at least one step.*\(2, 0\)"):
        layer(np.zeros((2, 0), int))
    with pytest.raises(ValueError, match="Embedding: input_dim must be a positive integer"):
        Embedding(0, 2)


def test_shapes_weights_and_configuration():
    layer = Embedding(7, 3, embeddings_initializer="he_normal", mask_zero=True, name="words")
    assert layer.compute_output_shape((None, 20)) == (None, 20, 3)
    assert layer.compute_output_shape((None, None)) == (None, None, 3)
    config = json.loads(json.dumps(layer.to_config()))
    assert from_config(config).to_config() == config
    assert repr(Embedding(7, 3)) == "Embedding(input_dim=7, output_dim=3)"
    model = Sequential([Embedding(7, 3, embeddings_regularizer="l2")])
    model.build((None, 4))
    assert [name for name, _ in model.named_parameters()] == ["embedding.embeddings"]
    start = model.layers[0].embeddings.numpy()
    assert 0 < abs(start).max() <= 0.05
    assert len(model.losses) == 1


def test_no_samples():
    assert Embedding(5, 2, mask_zero=True)(np.zeros((0, 3), int)).shape == (0, 3, 2)


def test_masking_finds_the_steps_of_one_value():
    x = cr.tensor([[[2.0, 2.0], [2.0, 1.0], [0.0, 0.0]]], dtype="float64", requires_grad=True)
    layer = Masking(2.0, dtype="float64")
    y = layer(x)
    assert mask_of(y).tolist() == [[False, True, True]]
    assert y.tolist() == [[[0.0, 0.0], [2.0, 1.0], [0.0, 0.0]]]
    y.backward([[[1.0, -2.0], [3.0, -4.0], [5.0, 6.0]]])
    assert x.grad.tolist() == [[[0.0, 0.0], [3.0, -4.0], [5.0, 6.0]]]
    assert from_config(layer.to_config()).mask_value == 2.0


def test_floats_that_have_lost_digits_are_no_ids():
    """Those of a model that casts its input, whose first layer is another."""
    layer = Embedding(2**24 + 9, 1, embeddings_initializer="zeros")
    assert layer(np.array([[2.0**24 - 1]], "float32")).shape == (1, 1, 1)
    with pytest.raises(DtypeError, match="ids from 16777216 on are rounded in float32"):
        layer(np.array([[2.0**24]], "float32"))
    with pytest.raises(DtypeError, match="rounded in float32"):
        Sequential([Reshape((1,)), layer])(np.array([[2**24 + 3]]))


def test_masking_compares_in_the_layer_s_dtype():
    x = np.array([[[0.1, 0.1], [0.1, 0.2]]], "float32")
    assert mask_of(Masking(np.float64(0.1))(x)).tolist() == [[False, True]]


def test_masking_finds_nan_and_refuses_what_is_no_number():
    x = np.array([[[np.nan, np.nan], [np.nan, 2.0]]])
    layer = from_config(json.loads(json.dumps(Masking(float("nan")).to_config())))
    y = layer(x)
    assert mask_of(y).tolist() == [[False, True]]
    assert y.numpy()[0, 0].tolist() == [0.0, 0.0]
    with pytest.raises(DtypeError, match="mask_value must be a number"):
        Masking("none")


def test_a_model_of_ids_finds_its_shape_whatever_is_the_padding():
    class Encoder(Model):
        def __init__(self):
            super().__init__()
            self.vectors, self.reader = Embedding(9, 4, mask_zero=True), LSTM(3)

        def call(self, x):
            return self.reader(self.vectors(x))

    model = Sequential([Encoder(), Dense(2)])
    model.build((None, 5))
    assert model.compute_output_shape((None, 5)) == (None, 2)
