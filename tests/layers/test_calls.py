"""Calls of layers: modes, masks, several inputs and results."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.engine.masks import mask_of, with_mask
from chainrule.layers import (
    LSTM,
    Add,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MultiHeadAttention,
    ReLU,
)
from chainrule.models import Model, Sequential

MASK = np.array([[True, True, False], [True, False, False]])


class Tells(Layer):
    """Keeps what it was told."""

    supports_masking = True

    def call(self, x, mask=None, training=None):
        self.told = training, self.training, mask
        return x * 1


class Ids(Layer):
    """Integers pass; the mask is where they are not 0."""

    keeps_integers = True

    def call(self, x):
        self.kind = x.dtype.kind
        return cr.stack([x, x], axis=-1).astype(self.dtype)

    def compute_mask(self, x, mask):
        return x.numpy() != 0


class Sum(Layer):
    many_inputs = True

    def call(self, inputs, mask=None):
        self.masks = mask
        return inputs[0] + inputs[1]


def test_a_call_is_prediction_unless_told_and_those_below_are_told_too():
    below = Tells()
    model = Sequential([Dense(2), below])
    model([[1.0]])
    assert below.told[:2] == (False, False)
    model([[1.0]], training=True)
    assert below.told[:2] == (True, True)
    model([[1.0]])
    assert below.told[:2] == (False, False)


def test_a_call_that_fails_leaves_the_mode_as_it_was():
    class Fails(Layer):
        def call(self, x):
            raise KeyError("no")

    with pytest.raises(KeyError):
        Fails()([[1.0]], training=True)
    assert not Tells().training


def test_fit_trains_and_evaluate_and_predict_do_not():
    heard = []

    class Hears(Layer):
        def call(self, x, training):
            heard.append((cr.is_recording(), training))
            return x * 1

    model = Sequential([Dense(1), Hears()])
    model.compile("sgd", "mse")
    x = np.ones((4, 2))
    model.fit(x, x[:, :1], epochs=1, batch_size=2, verbose=0, validation_data=(x, x[:, :1]))
    assert all(training == recording for recording, training in heard)
    assert sum(training for _, training in heard) == 2
    heard.clear()
    model.predict(x)
    model.evaluate(x, x[:, :1], verbose=0)
    model.test_on_batch(x, x[:, :1])
    assert not any(training for _, training in heard)
    model.train_on_batch(x, x[:, :1])
    assert heard[-1] == (True, True)
    model(x, training=True)
    assert heard[-1] == (True, True)


def test_a_model_that_is_evaluated_within_a_training_call_predicts():
    heard = []

    class Hears(Layer):
        def call(self, x, training):
            heard.append(training)
            return x * 1

    inner, x = Sequential([Dense(1), Hears()]), np.ones((2, 2))
    inner.compile("sgd", "mse")

    class Asks(Layer):
        def call(self, x):
            inner.evaluate(x.numpy(), x.numpy()[:, :1], verbose=0)
            inner.predict(x.numpy())
            inner.predict_on_batch(x.numpy())
            inner.test_on_batch(x.numpy(), x.numpy()[:, :1])
            return x * 1

    Asks()(x, training=True)
    assert len(heard) >= 4 and not any(heard)


@pytest.mark.parametrize("name", ["train", "eval"])
def test_pytorch_s_switches_are_answered_with_the_way_here(name):
    with pytest.raises(AttributeError, match=r"layer\(x, training=True\)"):
        getattr(Dense(1), name)()


def test_a_mask_goes_along_where_steps_stay_apart():
    x = [[3, 4, 0], [5, 0, 0]]
    tells = Tells()
    model = Sequential([Ids(), Dense(4), ReLU(), Dropout(0.5), tells])
    y = model(x)
    np.testing.assert_array_equal(tells.told[2], MASK)
    np.testing.assert_array_equal(mask_of(y), MASK)
    assert mask_of(Flatten()(y)) is None
    assert mask_of(y * 2) is None  # operations know nothing of masks
    assert model.layers[0].kind == "i"


def test_a_mask_survives_casts_and_checkpoints():
    y = Ids(dtype="float64")([[1, 0]])
    tells = Tells(dtype="float32")
    assert mask_of(tells(y)).tolist() == [[True, False]]
    dense = Dense(2)
    dense(y)
    again = cr.checkpoint(lambda y: tells(dense(y)), y)
    assert again.requires_grad and mask_of(again).tolist() == [[True, False]]
    again.sum().backward()
    assert tells.told[2].tolist() == [[True, False]]


def test_an_explicit_mask_wins_and_leaves_the_input_as_it_was():
    x = cr.ones((2, 3, 1))
    tells = Tells()
    y = tells(x, mask=MASK.tolist())
    np.testing.assert_array_equal(mask_of(y), MASK)
    assert mask_of(x) is None and mask_of(Dropout(0.1)(x, mask=MASK)) is not None
    assert mask_of(x) is None
    with pytest.raises(DtypeError, match=r"Tells: mask must be of booleans.*mask != 0"):
        tells(x, mask=MASK.astype(int))
    with pytest.raises(ShapeError, match=r"mask has shape \(3, 2\)"):
        tells(x, mask=MASK.T)


def test_a_mask_that_was_given_is_not_shared_with_whoever_gave_it():
    mask = MASK.copy()
    y = Dropout(0.5)(cr.ones((2, 3, 1)), mask=mask)
    mask[:] = False
    np.testing.assert_array_equal(mask_of(y), MASK)


def test_an_explicit_mask_reaches_the_layers_below_and_replaces_one_that_is_carried():
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    recurrent = LSTM(2)
    model = Sequential([Dropout(0.5), recurrent])
    found = model(x, mask=MASK).numpy()
    np.testing.assert_array_equal(found, recurrent(x, mask=MASK).numpy())
    assert not np.allclose(found, model(x).numpy())
    carrying = with_mask(cr.tensor(x), np.ones((2, 3), bool))
    np.testing.assert_array_equal(model(carrying, mask=MASK).numpy(), found)
    np.testing.assert_array_equal(mask_of(Dropout(0.5)(carrying, mask=MASK)), MASK)
    assert mask_of(carrying).all()
    added = Add()([carrying, carrying], mask=[None, MASK])
    np.testing.assert_array_equal(mask_of(added), MASK)


def test_several_inputs_each_cast_and_each_with_its_mask():
    layer = Sum()
    a, b = Ids()([[1, 0]]), np.ones((1, 2, 2))
    y = layer([a, b])
    assert y.dtype == np.float32 and layer.masks[0].tolist() == [[True, False]]
    assert layer.masks[1] is None
    with pytest.raises(TypeError, match=r"Sum: x must be a list of tensors, .*\(\[a, b\]\)"):
        layer(a)
    assert layer.compute_output_shape([(None, 2, 2), (None, 2, 2)]) == (None, 2, 2)


def test_further_arguments_are_cast_and_results_may_be_several():
    class Attends(Layer):
        def call(self, x, memory, scale=1.0, ids=None):
            self.kinds = memory.dtype, ids.dtype.kind
            return [x + memory * scale, memory]

    layer = Attends()
    y, memory = layer(np.ones((1, 2)), np.ones((1, 2)), scale=2.0, ids=np.arange(2))
    assert layer.kinds == (np.float32, "i") and y.dtype == memory.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), [[3.0, 3.0]])


def test_of_several_results_the_first_carries_the_mask():
    layer = LSTM(2, return_sequences=True, return_state=True)
    y, *states = layer(np.ones((2, 3, 1)), mask=MASK)
    np.testing.assert_array_equal(mask_of(y), MASK)
    assert all(mask_of(each) is None for each in states)
    scored = MultiHeadAttention(1)
    y, weights = scored(np.ones((2, 3, 1)), mask=MASK, return_attention_scores=True)
    np.testing.assert_array_equal(mask_of(y), MASK)
    assert mask_of(weights) is None


def test_a_mixed_bag_of_results_is_refused():
    class Mixed(Layer):
        def call(self, x):
            return x, 3

    with pytest.raises(TypeError, match=r"Mixed: call.* got 3 of type int among 2 results"):
        Mixed()([[1.0]])


def test_a_model_keeps_integers_if_a_layer_within_takes_them():
    class Embeds(Model):
        def __init__(self):
            super().__init__()
            self.ids, self.out = Ids(), Dense(1)

        def call(self, x):
            return self.out(self.ids(x))

    model = Embeds()
    model(np.array([[2**24 + 1]]))  # float32 could not hold it
    assert model.ids.kind == "i"


class TestLossesOfPaddedSequences:
    """Padding counts neither in the loss, nor in its gradient, nor in metrics and averages."""

    x = np.array([[3, 4, 0], [5, 0, 0], [1, 2, 3]])
    y = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0]])

    def model(self, last="softmax"):
        cr.seed(0)
        model = Sequential([Ids(), Dense(4, activation="tanh"), Dense(2, activation=last)])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.build((None, 3))
        return model

    def test_what_stands_on_padding_changes_nothing(self):
        results = []
        for junk in (0, 1):
            y = np.where(self.x == 0, junk, self.y)
            model = self.model()
            model.fit(self.x, y, epochs=2, batch_size=2, verbose=0, shuffle=False)
            results.append((model.history.history, [w.tolist() for w in model.get_weights()]))
        assert results[0] == results[1]

    def test_the_loss_is_the_mean_over_real_steps_of_all_batches(self):
        model = self.model()
        real = self.x != 0
        probabilities = model.predict(self.x)[real]
        wanted = -np.log(probabilities[np.arange(real.sum()), self.y[real]]).mean()
        hits = (probabilities.argmax(-1) == self.y[real]).mean()
        for batch_size in (1, 2, 3):
            loss, accuracy = model.evaluate(self.x, self.y, batch_size=batch_size, verbose=0)
            assert loss == pytest.approx(wanted, rel=1e-5)
            assert accuracy == pytest.approx(hits)
