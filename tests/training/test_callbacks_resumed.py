"""Runs with all callbacks at once, cut off and taken up again, end as the uninterrupted one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.models import Sequential

EPOCHS, BATCHES = 7, 4


class Power(Exception):  # noqa: N818 - it stands for a power cut
    """Ends a run."""


class Cut(Callback):
    """Raises at one moment of the run, after the others have heard of it or before."""

    def __init__(self, hook="", epoch=0, batch=0):
        super().__init__()
        self.hook, self.moment, self.now = hook, (epoch, batch), 0

    def _may_raise(self, hook, batch):
        if self.hook == hook and self.moment == (self.now, batch):
            raise Power

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch
        self._may_raise("on_epoch_begin", 0)

    def on_train_batch_begin(self, batch, logs=None):
        self._may_raise("on_train_batch_begin", batch)

    def on_train_batch_end(self, batch, logs=None):
        self._may_raise("on_train_batch_end", batch)

    def on_test_end(self, logs=None):
        self._may_raise("on_test_end", 0)

    def on_epoch_end(self, epoch, logs=None):
        self._may_raise("on_epoch_end", 0)


def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 3)).astype("float32")
    return x, (x[:, :1] + generator.normal(size=(16, 1))).astype("float32")


def made(folder, first, last, rates):
    """The model, and its callbacks, between a first and a last one."""
    cr.seed(3)
    model = Sequential([Dense(6, activation="tanh"), BatchNormalization(), Dropout(0.3), Dense(1)])
    model.compile(cr.optim.Adam(learning_rate=0.1), "mse")
    callbacks = [
        EarlyStopping(patience=3),
        ModelCheckpoint(folder / "best", keep=2),
        TerminateOnNaN(),
        CSVLogger(folder / "log.csv"),
        ReduceLROnPlateau(factor=0.5, patience=1, cooldown=1)
        if rates == "plateau"
        else LearningRateScheduler(lambda epoch, rate: rate * 0.7),
    ]
    return model, [first, *callbacks, last]


def fit(model, callbacks, folder, every=3, **options):
    x, y = data()
    checkpoint = {"checkpoint": folder / "run", "checkpoint_every": every}
    return model.fit(
        x[:12],
        y[:12],
        batch_size=3,
        epochs=EPOCHS,
        verbose=0,
        callbacks=callbacks,
        validation_data=(x[12:], y[12:]),
        **{**checkpoint, **options},
    )


def contents(folder):
    """What is in all files but the checkpoints'."""
    files = [Path(where, name) for where, _, names in os.walk(folder) for name in names]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if "run" not in file.relative_to(folder).parts
    }


def same(model, history, callbacks, folder, expected):
    """Is all that a run leaves behind as that of another?"""
    straight, straight_history, straight_callbacks, straight_folder = expected
    pairs = zip(model.get_weights(), straight.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert history.epoch == straight_history.epoch
    assert history.history == straight_history.history
    assert contents(folder) == contents(straight_folder)
    for one, other in zip(callbacks[1:-1], straight_callbacks[1:-1], strict=True):
        for name in ("wait", "best_epoch", "stopped_epoch", "cooldown_counter", "monitor"):
            assert getattr(one, name, None) == getattr(other, name, None)


@pytest.fixture(params=["plateau", "schedule"], scope="module")
def straight(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    model, callbacks = made(folder, Cut(), Cut(), request.param)
    history = fit(model, callbacks, folder)
    stop = callbacks[1]
    assert 0 < stop.best_epoch < len(history.epoch) - 1  # the best is not the last
    assert len(set(history.history["learning_rate"])) > 1
    return request.param, (model, history, callbacks, folder)


MOMENTS = [
    ("on_epoch_begin", 0, 0),
    ("on_epoch_begin", 2, 0),
    ("on_train_batch_begin", 1, 2),
    ("on_train_batch_end", 1, 0),
    ("on_train_batch_end", 2, 3),
    ("on_test_end", 2, 0),
    ("on_epoch_end", 0, 0),
    ("on_epoch_end", 3, 0),
]


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize(("hook", "epoch", "batch"), MOMENTS)
def test_a_run_that_a_callback_ends_is_taken_up_as_if_nothing_had_been(
    straight, tmp_path, hook, epoch, batch, place
):
    rates, expected = straight
    cut = Cut(hook, epoch, batch)
    first, last = (cut, Cut()) if place == "first" else (Cut(), cut)
    model, callbacks = made(tmp_path, first, last, rates)
    with pytest.raises(Power) as raised:
        fit(model, callbacks, tmp_path)
    index = 0 if place == "first" else len(callbacks) - 1
    assert f"the callback Cut (callbacks[{index}]) in {hook}(" in raised.value.__notes__[0]
    assert "resume=True" in raised.value.__notes__[1]
    model, callbacks = made(tmp_path, Cut(), Cut(), rates)
    cr.seed(99)
    history = fit(model, callbacks, tmp_path, resume=True)
    same(model, history, callbacks, tmp_path, expected)


@pytest.mark.parametrize("step", [3, 4, 7, 12])
def test_a_run_that_is_killed_goes_back_to_its_last_checkpoint(straight, tmp_path, step):
    """What the callbacks have written since then is written again, and nothing twice."""
    rates, expected = straight

    class Killed(BaseException):
        pass

    seen = []

    def kill(batch, logs):
        seen.append(batch)
        if len(seen) == step:
            raise Killed

    model, callbacks = made(tmp_path, Cut(), LambdaCallback(on_train_batch_end=kill), rates)
    with pytest.raises(Killed):
        fit(model, callbacks, tmp_path)
    model, callbacks = made(tmp_path, Cut(), LambdaCallback(), rates)
    history = fit(model, callbacks, tmp_path, resume="auto")
    same(model, history, callbacks, tmp_path, expected)


def test_a_run_that_was_finished_is_as_it_was(straight, tmp_path):
    rates, expected = straight
    model, callbacks = made(tmp_path, Cut(), Cut(), rates)
    fit(model, callbacks, tmp_path)
    model, callbacks = made(tmp_path, Cut(), Cut(), rates)
    history = fit(model, callbacks, tmp_path, resume=True)
    same(model, history, callbacks, tmp_path, expected)


def test_the_best_model_is_that_of_its_epoch(straight):
    _, (model, history, callbacks, _) = straight
    keeper, (x, y) = callbacks[2], data()
    best = cr.load_model(keeper.best)
    losses = history.history["val_loss"]
    assert keeper.best.name == f"epoch-{int(np.argmin(losses)) + 1:04d}"
    assert best.evaluate(x[12:], y[12:], batch_size=3, verbose=0) == min(losses)
    assert all(
        np.array_equal(a, b) for a, b in zip(best.get_weights(), model.get_weights(), strict=True)
    )  # which EarlyStopping has restored


def test_on_nan_the_last_good_checkpoint_stays_and_the_run_can_be_taken_up(straight, tmp_path):
    rates, expected = straight

    def spoil(batch, logs):
        if model.history.epoch == [0, 1] and batch == 2:
            model.set_weights([weight + np.float32("nan") for weight in model.get_weights()])

    model, callbacks = made(tmp_path, Cut(), LambdaCallback(on_train_batch_end=spoil), rates)
    with pytest.warns(RuntimeWarning, match="TerminateOnNaN"):
        fit(model, callbacks, tmp_path, every=1)
    assert model.stop_training
    model, callbacks = made(tmp_path, Cut(), LambdaCallback(), rates)
    history = fit(model, callbacks, tmp_path, every=1, resume=True)
    same(model, history, callbacks, tmp_path, expected)


def test_resuming_without_a_callback_that_remembers_is_an_error_that_names_it(straight, tmp_path):
    rates, _ = straight
    model, callbacks = made(tmp_path, Cut(), Cut("on_epoch_end", 1), rates)
    with pytest.raises(Power):
        fit(model, callbacks, tmp_path)
    model, callbacks = made(tmp_path, Cut(), Cut(), rates)
    with pytest.raises(ValueError, match="lacks: EarlyStopping"):
        fit(model, [callbacks[0], *callbacks[2:]], tmp_path, resume=True)
