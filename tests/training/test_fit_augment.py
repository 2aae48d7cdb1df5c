"""`fit(augment=...)`: the batches to train with are changed, and nothing else is."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Flatten
from chainrule.models import Sequential
from chainrule.optim import SGD
from chainrule.training.callbacks import LambdaCallback


def data(n=10, seed=0):
    draw = np.random.default_rng(seed)
    return draw.random((n, 4, 4), np.float32), draw.integers(0, 3, n)


def compiled():
    cr.seed(1)
    model = Sequential([Flatten(), Dense(3, activation="softmax")])
    model.compile(SGD(learning_rate=0.1), "sparse_categorical_crossentropy")
    return model


def test_it_sees_each_training_sample_once_an_epoch_and_no_other():
    x, y = data()
    x_val, y_val = data(6, seed=1)
    seen = []

    def remember(batch):
        seen.extend(batch[:, 0, 0].tolist())
        return batch

    compiled().fit(x, y, 4, 3, 0, validation_data=(x_val, y_val), augment=remember)
    assert len(seen) == 30
    epochs = [seen[start : start + 10] for start in (0, 10, 20)]
    assert all(sorted(epoch) == sorted(x[:, 0, 0].tolist()) for epoch in epochs)
    assert epochs[0] != epochs[1]  # after the shuffling
    seen.clear()
    model = compiled()
    model.fit(x, y, 4, 1, 0, validation_split=0.3, augment=remember)
    assert len(seen) == 7
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    assert len(seen) == 7


def test_the_step_is_that_of_the_changed_batch_and_validation_that_of_the_data():
    x, y = data()
    plain = compiled()
    plain.fit(1 - x, y, 4, 2, 0, validation_data=(x, y))
    changed = compiled()  # its seed is the same
    changed.fit(x, y, 4, 2, 0, validation_data=(x, y), augment=lambda batch: 1 - batch)
    for one, other in zip(plain.get_weights(), changed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert plain.history.history == changed.history.history


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_function_that_writes_to_the_batch_does_not_change_the_data(shuffle):
    x, y = data()
    before = x.copy()

    def erase(batch):
        batch[:] = 0
        return batch

    model = compiled()
    model.fit(x, y, 4, 1, 0, shuffle=shuffle, augment=erase)
    np.testing.assert_array_equal(x, before)
    cr.seed(1)
    x.flags.writeable = False
    model.fit(x, y, 4, 1, 0, shuffle=shuffle, augment=erase)


def test_a_run_with_random_changes_is_made_again_by_its_seed():
    x, y = data()

    def run():
        return (
            compiled()
            .fit(x, y, 4, 2, 0, augment=lambda batch: cr.images.random_shift(batch, 1))
            .history
        )

    first = run()
    assert run() == first
    assert compiled().fit(x, y, 4, 2, 0).history != first


def jitter(batch):
    return jitter.result(batch)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda batch: None, TypeError, "augment=jitter returned None; it must return the batch"),
        (lambda batch: batch.tolist(), TypeError, "augment=jitter must return an array, got list"),
        (lambda batch: cr.tensor(batch), TypeError, "must return an array, got Tensor"),
        (
            lambda batch: batch.astype("float64"),
            ValueError,
            "augment=jitter was given a batch of shape (4, 4, 4), float32, and returned shape "
            '(4, 4, 4), float64; shape and dtype must stay: convert it back, batch.astype("float32',
        ),
        (
            lambda batch: batch[1:],
            ValueError,
            "returned shape (3, 4, 4), float32; shape and dtype must stay: every sample",
        ),
        (lambda batch: batch.reshape(4, 16), ValueError, "returned shape (4, 16), float32"),
    ],
)
def test_what_is_no_such_batch_is_refused_before_the_step(result, error, message):
    x, y = data()
    model = compiled()
    model.predict(x[:1])
    before = model.get_weights()
    jitter.result = result
    ends = []
    callback = LambdaCallback(on_train_end=lambda logs: ends.append(logs))
    with pytest.raises(error, match=re.escape(message)):
        model.fit(x, y, 4, 1, 0, callback, augment=jitter)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(ends) == 1


def test_what_is_no_function_is_refused_before_anything_is_trained():
    x, y = data()
    with pytest.raises(TypeError, match="fit: augment must be a function of a batch of x, got 3"):
        compiled().fit(x, y, verbose=0, augment=3)
