"""Models of several inputs, and what is asked of a model and its samples before the first step."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import (
    LSTM,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
)
from chainrule.models import Model, Sequential

rng = np.random.default_rng(0)
A, B = rng.standard_normal((20, 5)), rng.standard_normal((20, 3))
Y = rng.integers(0, 4, 20)


class Pair(Model):
    """Two inputs, joined."""

    def __init__(self, keys=(0, 1)):
        super().__init__()
        self.keys = keys
        self.left, self.right, self.out = Dense(4), Dense(4, "tanh"), Dense(4, "softmax")
        self.join = Concatenate()

    def call(self, x):
        a, b = (x[key] for key in self.keys)
        return self.out(self.join([self.left(a), self.right(b)]))


class Joined(Model):
    """The same of one array."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.out = Dense(4), Dense(4, "tanh"), Dense(4, "softmax")
        self.join = Concatenate()

    def call(self, x):
        return self.out(self.join([self.left(x[:, :5]), self.right(x[:, 5:])]))


def compiled(model, loss="sparse_categorical_crossentropy", metrics=("accuracy",)):
    model.compile("adam", loss, metrics=metrics)
    return model


@pytest.mark.parametrize(
    ("keys", "x"), [((0, 1), (A, B)), (("left", "right"), {"right": B, "left": A})]
)
def test_several_inputs_are_trained_on_as_one_would_be(keys, x):
    """Batches, their order, the part set aside, results: all is as of one array of both."""
    results = []
    for model, samples in ((Pair(keys), x), (Joined(), np.concatenate([A, B], axis=1))):
        cr.seed(3)
        first = samples if isinstance(samples, np.ndarray) else None
        compiled(model)(samples if first is None else first)
        history = model.fit(
            samples, Y, epochs=2, batch_size=8, validation_split=0.25, verbose=0
        ).history
        results.append(
            [
                *history.values(),
                model.evaluate(samples, Y, verbose=0),
                model.train_on_batch(samples, Y),
                model.predict(samples, batch_size=6).ravel(),
                model.predict_on_batch(samples).ravel(),
            ]
        )
    for several, one in zip(*results, strict=True):
        np.testing.assert_allclose(several, one, rtol=1e-5)


def test_validation_data_summary_and_cost_of_several_inputs(capsys):
    model = compiled(Pair())
    model.fit((A, B), Y, validation_data=((A, B), Y), verbose=0)
    model.summary(batch_size=8)
    assert "(None, 8)" in capsys.readouterr().out
    connections = 5 * 4 + 3 * 4 + 8 * 4
    assert model.cost(16).forward == 2 * 16 * connections
    other = Pair(("a", "b"))
    assert other.cost(16, {"a": (None, 5), "b": (None, 3)}).forward == 2 * 16 * connections
    assert other.built is False


def test_several_inputs_that_do_not_fit():
    model = compiled(Pair())
    with pytest.raises(
        ValueError, match=r"fit: x is a list of arrays .*\(20, 5\), \(20, 3\).*tuple"
    ):
        model.fit([A, B], Y)
    with pytest.raises(ValueError, match=r"fit: x is a list of arrays .*tuple"):
        model.fit([A, A], Y)
    with pytest.raises(ValueError, match=r"fit: x\[1\] has 19 rows but x\[0\] has 20"):
        model.fit((A, B[:-1]), Y)
    with pytest.raises(
        ValueError, match=r"fit: x\['b'\] has 1 value that is NaN .*x\['b'\]\[2, 1\]"
    ):
        wrong = B.copy()
        wrong[2, 1] = np.nan
        model.fit({"a": A, "b": wrong}, Y)
    with pytest.raises(ValueError, match="empty dict"):
        model.predict({})
    with pytest.raises(TypeError, match="augment changes one array, but x is a tuple of 2 arrays"):
        model.fit((A, B), Y, augment=lambda batch: batch)
    model.fit((A, B), Y, verbose=0)
    with pytest.raises(cr.ShapeError, match=r"must be a tuple of 2 arrays .*got one array"):
        model.predict(A)
    with pytest.raises(cr.ShapeError, match=r"must be a tuple of 2 arrays .*keys 'a', 'b'"):
        model.predict({"b": B, "a": A})
    single = compiled(Sequential([Dense(4, "softmax")]))
    single.fit(A, Y, verbose=0)
    with pytest.raises(cr.ShapeError, match=r"must be one array .*got a tuple of 2 arrays"):
        single.evaluate((A, B), Y)


def test_a_list_is_one_array():
    model = compiled(Sequential([Dense(4, "softmax")]))
    model.fit([*A], [*Y], verbose=0)
    np.testing.assert_array_equal(model.predict([*A]), model.predict(A))
    np.testing.assert_array_equal(model.predict(tuple(A.tolist())), model.predict(A))


# What call does ---------------------------------------------------------------------------------


def model_of(call, **parts):
    class Own(Model):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

    Own.call = call
    return compiled(Own())


def test_a_layer_made_in_call_is_refused_before_a_step():
    def anew(self, x):
        return Dense(4, "softmax")(self.first(x))

    def kept_anew(self, x):
        self.out = Dense(4, "softmax")
        return self.out(self.first(x))

    for call in (anew, kept_anew):
        model = model_of(call, first=Dense(3))
        with pytest.raises(ValueError, match=r"fit: the Dense 'dense' .*make it in __init__"):
            model.fit(A, Y, verbose=0)


def test_a_layer_that_is_not_called_is_refused_before_a_step():
    model = model_of(lambda self, x: self.a(x), a=Dense(4, "softmax"), b=[Dense(3)])
    with pytest.raises(ValueError, match=r"fit: the Dense 'b\.0' .*does not call it"):
        model.fit(A, Y, verbose=0)


def test_layers_that_training_need_not_reach_may_be_anywhere():
    elsewhere = Dense(3, trainable=False)

    def call(self, x):
        if self.out is None:  # made once
            self.out = Dense(4, "softmax")
        return self.out(Dropout(0.5)(elsewhere(x)))

    model = model_of(call, out=None)
    history = model.fit(A, Y, epochs=2, verbose=0)
    assert history.history["loss"][1] != history.history["loss"][0]
    around = model_of(
        lambda self, x: Sequential([self.inner, self.out])(x), inner=model, out=Dense(4)
    )
    around.compile("sgd", "mse")
    around.fit(A, np.eye(4)[Y], verbose=0)  # a layer made in call, but all of its weights are held


def test_the_trial_leaves_statistics_as_they_are():
    layer = BatchNormalization(momentum=0.5)
    model = compiled(Sequential([layer, Dense(4, "softmax")]))
    model.fit(A, Y, batch_size=20, verbose=0)
    expected = 0.5 * A.astype(np.float32).mean(axis=0)
    np.testing.assert_allclose(layer.moving_mean.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_calls_that_return_something_else_are_explained():
    two = model_of(lambda self, x: (self.out(x), x), out=Dense(4, "softmax"))
    with pytest.raises(
        TypeError, match=r"fit: the model must return one Tensor, .*got 2 in a list"
    ):
        two.fit(A, Y)
    with pytest.raises(TypeError, match="predict: the model must return one Tensor, got 2"):
        two.predict(A)
    with pytest.raises(TypeError, match="predict_on_batch: the model must return one Tensor"):
        two.predict_on_batch(A)

    def forgot(self, x):
        self.out(x)

    with pytest.raises(TypeError, match=r"call\(x\) must return a Tensor, got None"):
        model_of(forgot, out=Dense(4)).fit(A, Y)

    def both(self, a, b):
        return self.out(a) + self.out(b)

    with pytest.raises(TypeError, match=r"call needs a, b, but fit gives it x .*a, b = x"):
        model_of(both, out=Dense(4)).fit((A, A), Y)


def test_an_encoder_of_two_models_is_trained_by_both_and_frozen_in_both():
    encoder = Sequential([Dense(4, "tanh")])
    first, second = (compiled(Sequential([encoder, Dense(4, "softmax")])) for _ in range(2))
    for frozen in (False, True, False):
        encoder.trainable = not frozen
        for trained, other in ((first, second), (second, first), (first, second)):
            other.fit(A, Y, verbose=0)
            before, heads = encoder.get_weights()[0], other.get_weights()[2]
            trained.fit(A, Y, verbose=0)
            assert np.array_equal(encoder.get_weights()[0], before) is frozen
            np.testing.assert_array_equal(other.get_weights()[0], trained.get_weights()[0])
            np.testing.assert_array_equal(other.get_weights()[2], heads)


# Samples ----------------------------------------------------------------------------------------


def test_ids_are_looked_at_before_the_first_step():
    x = rng.integers(1, 9, (50, 6))
    y = rng.integers(0, 2, 50)
    layers = [Embedding(9, 4, mask_zero=True), LSTM(3), Dense(2, "softmax")]
    model = compiled(Sequential([Sequential(layers[:2]), layers[2]]))
    model.build((None, 6))
    before = model.get_weights()
    high, low, empty = x.copy(), x.copy(), x.copy()
    high[41, 2], low[42, 3], empty[43] = 9, -1, 0
    for wrong, message in (
        (high, r"x\[41, 2\] = 9 is not in the vocabulary of input_dim=9"),
        (low, r"x\[42, 3\] = -1 is not"),
        (empty, r"x\[43\].* is nothing but padding"),
    ):
        with pytest.raises(ValueError, match=f"fit: {message}"):
            model.fit(wrong, y, shuffle=False, batch_size=10)
        with pytest.raises(ValueError, match=f"predict: {message}"):
            model.predict(wrong)
        with pytest.raises(
            ValueError, match="fit: validation_data" + message[1:].replace(r"\[4", r"\[0\]\[4", 1)
        ):
            model.fit(x, y, validation_data=(wrong, y))
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    model.fit(x, y, verbose=0)


def test_sequences_of_different_lengths_are_sent_to_pad_sequences():
    model = compiled(Sequential([Embedding(9, 4), GlobalAveragePooling1D(), Dense(2, "softmax")]))
    with pytest.raises(ValueError, match="pad_sequences fills up"):
        model.fit([[1, 2], [3]], [0, 1])
    with pytest.raises(TypeError, match=r"x is a generator, .*from_generator"):
        model.fit(batch for batch in [(A, Y)])


def test_shapes_that_beginners_meet_are_explained():
    images, digits = rng.random((4, 8, 8)), [0, 1, 2, 3]
    convolution = compiled(Sequential([Conv2D(2, 3), Flatten(), Dense(4, "softmax")]))
    with pytest.raises(cr.ShapeError, match=r"x\[\.\.\., None\] adds it .*Reshape\(\(8, 8, 1\)\)"):
        convolution.fit(images, digits)
    twice = compiled(Sequential([Embedding(9, 4), LSTM(3), LSTM(3), Dense(4, "softmax")]))
    with pytest.raises(cr.ShapeError, match="return_sequences=True keeps the steps"):
        twice.fit([[1, 2], [3, 4]], [0, 1])
    one_hot = compiled(Sequential([Dense(4, "softmax")]), "categorical_crossentropy")
    with pytest.raises(
        cr.ShapeError, match=r"targets of 2 classes do not fit 4 units; .*\(labels, 4\)"
    ):
        one_hot.fit([[1.0], [2.0]], cr.utils.to_categorical([0, 1]))


def test_targets_beside_padding_count_nowhere_but_must_be_some():
    x, labels = np.array([[1, 2, 0], [3, 0, 0]]), np.array([[1, 1, -1], [0, -1, -1]])
    layers = [Embedding(9, 4, mask_zero=True), LSTM(3, return_sequences=True), Dense(2, "softmax")]
    model = compiled(Sequential(layers))
    with pytest.raises(ValueError, match=r"y\[0, 2\] = -1 .*fill y up with 0 there"):
        model.fit(x, labels)
    results = [model.evaluate(x, np.where(x, labels, fill), verbose=0) for fill in (0, 1)]
    assert results[0] == results[1]


# Cost -------------------------------------------------------------------------------------------


def test_the_cost_of_a_model_with_a_loss_of_labels_or_of_values():
    def of_labels(y_true, y_pred):
        asked = (y_true != 0).astype(y_pred.dtype)
        return (cr.sparse_softmax_cross_entropy(y_pred, y_true) * asked).sum() / asked.sum()

    def of_values(y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean()

    def of_nothing(y_true, y_pred):
        raise ValueError("never")

    model = Sequential([Dense(3), Dense(4)])
    model.build((None, 7))
    for loss in (of_labels, of_values):
        model.compile("adam", loss)
        assert model.cost(8).forward == 2 * 8 * (7 * 3 + 3 * 4)
    model.compile("adam", of_nothing)
    with pytest.raises(ValueError, match=r"cost: the loss of_nothing takes neither .*: never"):
        model.cost(8)


@pytest.mark.parametrize(("samples", "batch_size"), [(9, 4), (3, 1)])
def test_a_last_batch_of_one_sample_is_found_before_the_first_step(samples, batch_size):
    model = Sequential([Dense(3), BatchNormalization(), Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((samples, 2))
    with pytest.raises(ValueError, match=r"'batch_normalization'.*at least two; .*batch_size"):
        model.fit(x, x[:, :1], batch_size=batch_size, verbose=0)
    assert not model.optimizer._steps or set(model.optimizer._steps) == {0}
    model.fit(x, x[:, :1], batch_size=3, verbose=0)
