"""Dropout: what share is dropped, when, the same mask again, and in second runs too."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.random import moment, replaying
from chainrule.layers import Dense, Dropout, Layer
from chainrule.models import Sequential


def test_prediction_is_the_identity_and_a_share_is_dropped_in_training():
    cr.seed(1)
    x = cr.random.normal((100, 200), dtype="float32")
    layer = Dropout(0.2)
    assert layer(x).numpy() is not None and np.array_equal(layer(x).numpy(), x.numpy())
    y = layer(x, training=True).numpy()
    kept = y != 0
    # Of 20,000 decisions the share has a standard deviation of 0.0028.
    assert abs(kept.mean() - 0.8) < 5 * 0.0029
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y[kept], (x.numpy() * np.float32(1.25))[kept])


def test_no_two_calls_have_the_same_mask_and_the_seed_repeats_them():
    layer, x = Dropout(0.5), cr.ones((4, 50))
    runs = []
    for _ in range(2):
        cr.seed(3)
        runs.append([layer(x, training=True).numpy().copy() for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0][0] != runs[0][1]).any()


def test_rows_and_columns_are_independent():
    """The correlation of neighbours is that of chance: a mask that repeats would show."""
    cr.seed(0)
    mask = Dropout(0.5)(cr.ones((300, 300)), training=True).numpy() != 0
    centered = mask - mask.mean()
    for shift in ((0, 1), (1, 0), (0, 4), (4, 0), (1, 1)):
        moved = np.roll(centered, shift, axis=(0, 1))
        assert abs((centered * moved).mean() / centered.var()) < 5 / 300


def test_the_gradient_is_that_of_what_was_dropped():
    cr.seed(5)
    x = cr.random.normal((3, 7), requires_grad=True)
    upstream = np.random.default_rng(0).standard_normal((3, 7))
    y = Dropout(0.4, dtype="float64")(x, training=True)
    y.backward(cr.tensor(upstream))
    kept = y.numpy() != 0
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, upstream / 0.6, 0), rtol=1e-15)


def test_an_infinity_that_is_dropped_leaves_no_nan():
    cr.seed(0)
    y = cr.dropout(np.full(100, np.inf), 0.5).numpy()
    assert set(y.tolist()) == {0.0, np.inf}


def test_axes_of_length_one_share_a_decision():
    cr.seed(0)
    y = Dropout(0.5, noise_shape=(None, 1, None))(cr.ones((5, 6, 7)), training=True).numpy()
    assert (y == y[:, :1]).all() and 0 < (y != 0).mean() < 1
    with pytest.raises(cr.ShapeError, match=r"noise_shape \(3, 1\) does not fit x.*\(5, 6\)"):
        Dropout(0.5, noise_shape=(3, 1))(cr.ones((5, 6)))


class Calls(Layer):
    """Calls a model, plainly or within a checkpoint."""

    def __init__(self, model, again):
        super().__init__()
        self.model, self.again = model, again

    def call(self, x):
        return cr.checkpoint(self.model, x) if self.again else self.model(x)


def test_a_checkpoint_drops_the_same_again():
    model = Sequential([Dense(8, activation="tanh"), Dropout(0.5), Dense(4)])
    x = np.random.default_rng(0).standard_normal((6, 5))
    model.build((None, 5))
    gradients, sources = [], []
    for again in (False, True):
        cr.seed(2)
        model.zero_grad()
        y = Calls(model, again)(x, training=True)
        (y * y).sum().backward()  # outside of training
        gradients.append([each.grad.numpy().copy() for each in model.parameters()])
        sources.append(moment())
    assert sources[0] == sources[1]
    for plain, checkpointed in zip(*gradients, strict=True):
        np.testing.assert_array_equal(plain, checkpointed)
        assert plain.any()


def test_replaying_goes_back_to_the_words_that_were_drawn():
    cr.seed(9)
    then = moment()
    first = cr.dropout(cr.ones(40)).numpy().copy()
    now = moment()
    with replaying(then):
        np.testing.assert_array_equal(cr.dropout(cr.ones(40)).numpy(), first)
    assert moment() == now != then


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match="rate must be at least 0 and less than 1"):
        Dropout(rate)
    with pytest.raises(ValueError, match="rate is the share"):
        cr.dropout(cr.ones(3), rate)
