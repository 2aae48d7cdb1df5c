"""A run that stops at any moment and is resumed ends as one that was never interrupted."""

from __future__ import annotations

import errno
import functools
import os
import random as python_random

import numpy as np
import pytest

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.models import Model, Sequential
from chainrule.training.saving.folders import checkpoints

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0)
STEPS = 4 * 3  # of 32 samples, 8 left out for validation, in batches of 8, over three epochs


class FaultyError(Exception):
    """What a faulty callback raises."""


class StopAt(Callback):
    """Ends the process, so to speak, after a number of steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Noisy(Callback):
    """The learning rate comes from every global source of random numbers, and from its state."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_train_batch_end(self, batch, logs=None):
        self.drawn.append(np.random.random() + python_random.random())
        self.model.optimizer.learning_rate = 0.01 + 0.001 * (sum(self.drawn) % 1)

    def on_epoch_end(self, epoch, logs=None):
        logs["drawn"] = self.drawn[-1]

    def state(self):
        return {"drawn": np.array(self.drawn)}

    def load_state(self, state):
        self.drawn = state["drawn"].tolist()


def shaken(x, source):
    """An augmentation with a random generator of its own, besides chainrule's."""
    noise = source.normal(size=x.shape) * cr.random.generator().random()
    return x + noise.astype(x.dtype)


def network(seed=5):
    """A compiled network, as a fresh process would make it."""
    cr.seed(seed)
    np.random.seed(seed)
    python_random.seed(seed)
    layers = [Dense(7, activation="tanh"), BatchNormalization(), Dropout(0.4)]
    model = Sequential([*layers, Dense(3, activation="softmax")])
    adam = cr.optim.Adam(learning_rate=0.01, global_clipnorm=1.0)
    model.compile(adam, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model, *others, **options):
    """Three epochs, unless told otherwise, with all that makes exact resumption hard."""
    augment = functools.partial(shaken, source=np.random.default_rng(1))
    given = {"epochs": 3, "batch_size": 8, "validation_split": 0.2, "augment": augment}
    given |= {"verbose": 0, "callbacks": [Noisy(), *others]} | options
    return model.fit(X, Y, **given)


def outcome(model):
    """Weights and history, to the bit."""
    weights = {name: weight.cpu().numpy().tobytes() for name, weight in model.named_weights()}
    return weights, model.history.history, model.history.epoch


@pytest.fixture(scope="module")
def uninterrupted():
    model = network()
    fit(model)
    return outcome(model)


def resumed(folder, *others, **options):
    """The outcome of the run in a folder, resumed in a process with other random numbers."""
    model = network(seed=77)
    fit(model, *others, checkpoint=folder, resume=True, **options)
    return outcome(model)


# ------------------------------------------------------------------------------------ exactness


def test_keeping_a_run_changes_nothing_of_it(tmp_path, uninterrupted):
    model = network()
    fit(model, checkpoint=tmp_path, checkpoint_every=1)
    assert outcome(model) == uninterrupted


@pytest.mark.parametrize("every", [1, 3, None])
def test_a_run_stopped_after_any_step_ends_as_if_it_had_not_been(tmp_path, every, uninterrupted):
    for at in range(1, STEPS + 1):
        folder = tmp_path / str(at)
        with pytest.raises(KeyboardInterrupt):
            fit(network(), StopAt(at), checkpoint=folder, checkpoint_every=every)
        kept = checkpoints(folder)
        assert bool(kept) == (at > {1: 1, 3: 3, None: 4}[every])
        if kept:
            assert resumed(folder, checkpoint_every=every) == uninterrupted, at


def test_a_run_may_be_stopped_again_and_again(tmp_path, uninterrupted):
    for attempt in range(STEPS - 1):
        model = network(seed=attempt or 5)
        with pytest.raises(KeyboardInterrupt):
            fit(model, StopAt(2), checkpoint=tmp_path, checkpoint_every=1, resume="auto")
    assert resumed(tmp_path) == uninterrupted


def test_a_resumed_run_may_go_on_to_a_later_epoch(tmp_path, uninterrupted):
    fit(network(), epochs=1, checkpoint=tmp_path)
    assert resumed(tmp_path, epochs=3) == uninterrupted


def test_a_run_that_is_over_stays_as_it_ended(tmp_path, uninterrupted):
    fit(network(), checkpoint=tmp_path)
    assert resumed(tmp_path) == uninterrupted
    assert resumed(tmp_path) == uninterrupted


def test_a_run_that_a_callback_stopped_is_over(tmp_path):
    class Enough(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model = network()
    fit(model, Enough(), checkpoint=tmp_path, checkpoint_every=3)
    assert len(model.history.epoch) == 2
    assert resumed(tmp_path, Enough(), epochs=9) == outcome(model)


def test_a_model_of_ones_own_is_resumed(tmp_path):
    class Skip(Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = Dense(6, activation="tanh"), Dense(3, activation="softmax")

        def call(self, x):
            return self.out(self.hidden(x) + x)

    def train(seed, **options):
        cr.seed(seed)
        model = Skip()
        model.compile(cr.optim.SGD(momentum=0.9), "sparse_categorical_crossentropy")
        try:
            model.fit(X, Y, batch_size=8, epochs=2, verbose=0, **options)
        except KeyboardInterrupt:
            return None
        return outcome(model)

    whole = train(3)
    train(3, checkpoint=tmp_path, checkpoint_every=2, callbacks=[StopAt(8)])
    assert train(4, checkpoint=tmp_path, resume=True) == whole


def test_resume_auto_starts_a_run_that_was_not_begun(tmp_path, uninterrupted):
    model = network()
    fit(model, checkpoint=tmp_path / "new", resume="auto")
    assert outcome(model) == uninterrupted


# ------------------------------------------------------------------------------------ callbacks


class Broken(Callback):
    """Raises in one hook, the first time that it is called for a place."""

    def __init__(self, hook, where):
        super().__init__()
        self.heard = []
        for name in ("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end"):
            setattr(self, name, functools.partial(self.hear, name, hook, where))
        for name in ("on_epoch_end", "on_test_batch_end"):
            setattr(self, name, functools.partial(self.hear, name, hook, where))

    def hear(self, name, hook, where, place, logs=None):
        if name == hook and place == where:
            raise FaultyError(f"in {name}")
        self.heard.append((name, place))

    def state(self):
        return {"heard": [list(each) for each in self.heard]}

    def load_state(self, state):
        self.heard = [tuple(each) for each in state["heard"]]


HOOKS = [
    ("on_epoch_begin", 1),
    ("on_train_batch_begin", 2),
    ("on_train_batch_end", 2),
    ("on_train_batch_end", 3),
    ("on_test_batch_end", 0),
    ("on_epoch_end", 0),
    ("on_epoch_end", 2),
]


@pytest.mark.parametrize(("hook", "where"), HOOKS)
def test_a_callback_that_raises_ends_the_run_with_its_state_saved(
    tmp_path, hook, where, uninterrupted
):
    before, after = Noisy(), Broken("none", 0)
    broken = Broken(hook, where)
    with pytest.raises(FaultyError, match=f"in {hook}") as caught:
        fit(network(), broken, after, checkpoint=tmp_path, checkpoint_every=100)
    notes = " ".join(getattr(caught.value, "__notes__", []))
    assert f"the callback Broken (callbacks[1]) in {hook}" in notes
    assert "is saved in" in notes
    del before

    mended, later = Broken("none", 0), Broken("none", 0)
    assert resumed(tmp_path, mended, later) == uninterrupted
    if hook != "on_test_batch_end":  # a validation is gone through again, as a whole
        whole = Broken("none", 0)
        fit(network(), whole)
        assert mended.heard == whole.heard
        assert later.heard == whole.heard


def test_the_callback_that_raised_may_be_left_out(tmp_path, uninterrupted):
    with pytest.raises(FaultyError):
        fit(network(), Broken("on_epoch_end", 1), checkpoint=tmp_path)

    class Quiet(Broken):
        def state(self):
            return {}

    folder = tmp_path / "quiet"
    with pytest.raises(FaultyError):
        fit(network(), Quiet("on_epoch_end", 1), checkpoint=folder)
    assert resumed(folder) == uninterrupted
    with pytest.raises(ValueError, match="callbacks that this one lacks"):
        resumed(tmp_path)  # it has a state, which would be lost


def test_an_error_in_the_data_leaves_a_checkpoint(tmp_path, uninterrupted):
    calls = []

    def faulty(x):
        calls.append(1)
        if len(calls) == 7:
            raise FaultyError
        return x

    with pytest.raises(FaultyError):
        model = network()
        fit(model, checkpoint=tmp_path, checkpoint_every=2, augment=faulty)
    assert [each.name for each in checkpoints(tmp_path)] == ["step-0000000004", "step-0000000006"]


# ------------------------------------------------------------------------------------ refusals


def test_another_run_is_refused_and_the_fields_that_differ_are_named(tmp_path):
    fit(network(), epochs=1, checkpoint=tmp_path)

    def refused(model=None, x=X, y=Y, **options):
        model = network() if model is None else model
        before = [w.numpy().tobytes() for _, w in model.named_weights()] if model.built else None
        with pytest.raises(ValueError, match="is of another run") as caught:
            given = {"epochs": 3, "batch_size": 8, "validation_split": 0.2, "verbose": 0}
            given |= {"augment": lambda batch: batch} | options
            model.fit(x, y, checkpoint=tmp_path, resume=True, **given)
        if before is not None:
            assert [w.numpy().tobytes() for _, w in model.named_weights()] == before
        return str(caught.value)

    changed = X.copy()
    changed[3, 2] += 1
    assert "data.x" in refused(x=changed)
    assert "data.y" in refused(y=Y[::-1].copy())
    assert "data.batch_size" in refused(batch_size=4)
    assert "data.shuffle" in refused(shuffle=False)
    assert "augment" in refused(augment=None)
    assert "validation_data" in refused(validation_split=0.4)
    other = network()
    other.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    assert "learning_rate" in refused(other)
    other.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    assert "optimizer" in refused(other)
    wider = Sequential([Dense(8, activation="tanh"), Dense(3, activation="softmax")])
    wider.compile("adam", "sparse_categorical_crossentropy")
    wider.build((None, 6))
    message = refused(wider)
    assert "layers" in message


def test_a_run_is_not_begun_where_another_one_is(tmp_path):
    fit(network(), epochs=1, checkpoint=tmp_path)
    kept = checkpoints(tmp_path)
    with pytest.raises(ValueError, match="holds the checkpoints of an earlier run"):
        fit(network(), checkpoint=tmp_path)
    assert checkpoints(tmp_path) == kept


def test_there_must_be_a_checkpoint_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fit(network(), checkpoint=tmp_path / "missing", resume=True)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has no checkpoint .*it holds 'photo.jpg'"):
        fit(network(), checkpoint=tmp_path, resume=True)
    with pytest.raises(NotADirectoryError, match="is a file"):
        fit(network(), checkpoint=tmp_path / "photo.jpg", resume=True)
    assert sorted(os.listdir(tmp_path)) == ["photo.jpg"]


def test_the_folder_of_one_checkpoint_is_not_that_of_a_run(tmp_path):
    fit(network(), epochs=1, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="give the folder around it"):
        fit(network(), checkpoint=checkpoints(tmp_path)[-1], resume=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume": True}, ValueError, "resume needs a folder"),
        ({"checkpoint_every": 5}, ValueError, "checkpoint_every needs a folder"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be the path"),
        ({"checkpoint": "run", "checkpoint_every": 0}, ValueError, "at least 1"),
        ({"checkpoint": "run", "checkpoint_every": 2.5}, TypeError, "must be an integer"),
        ({"checkpoint": "run", "resume": "yes"}, TypeError, "resume must be True"),
    ],
)
def test_arguments_that_do_not_go_together(tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        fit(network(), **options)
    assert os.listdir(tmp_path) == []


def test_two_runs_cannot_have_one_folder(tmp_path):
    class Second(Callback):
        def on_epoch_end(self, epoch, logs=None):
            fit(network(), checkpoint=tmp_path, resume="auto")

    with pytest.raises(Exception, match=str(os.getpid())):
        fit(network(), Second(), checkpoint=tmp_path)


# ------------------------------------------------------------------------------------ faults


def test_a_full_disk_ends_the_run_with_all_that_was_kept_intact(
    tmp_path, monkeypatch, uninterrupted
):
    flush, calls = os.fsync, []

    def full(descriptor):
        calls.append(1)
        if len(calls) > 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    model = network()
    with pytest.raises(OSError, match="disk is full"):
        fit(model, checkpoint=tmp_path, checkpoint_every=1)
    assert all(np.isfinite(weight.numpy()).all() for _, weight in model.named_weights())
    monkeypatch.undo()
    assert checkpoints(tmp_path)
    assert not [name for name in os.listdir(checkpoints(tmp_path)[-1]) if name.endswith(".tmp")]
    assert resumed(tmp_path) == uninterrupted


def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_named(tmp_path, uninterrupted):
    fit(network(), checkpoint=tmp_path, checkpoint_every=5)
    earlier, newest = checkpoints(tmp_path)
    weights = next(newest.glob("weights-*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-3] ^= 4
    weights.write_bytes(content)
    with pytest.raises(cr.CheckpointError) as caught:
        resumed(tmp_path)
    notes = " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert earlier.name in notes
    for file in newest.iterdir():
        file.unlink()
    assert resumed(tmp_path) == uninterrupted
    assert checkpoints(tmp_path)[-1] == newest


def test_a_checkpoint_without_what_belongs_in_it_is_refused(tmp_path):
    from chainrule.training.saving.bundle import read_bundle, write_bundle

    fit(network(), epochs=1, checkpoint=tmp_path)
    newest = checkpoints(tmp_path)[-1]
    document, arrays = read_bundle(newest, "checkpoint", where="test")
    del document["state"]["run"]["phase"]
    write_bundle(newest, "checkpoint", document, arrays, where="test")
    with pytest.raises(cr.CheckpointError, match="incomplete"):
        resumed(tmp_path)


def test_a_generator_that_augment_had_is_missed(tmp_path):
    fit(network(), epochs=1, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="random generators source"):
        resumed(tmp_path, augment=lambda batch: batch)


def test_a_model_is_made_of_a_checkpoint(tmp_path):
    model = network()
    fit(model, checkpoint=tmp_path)
    for folder in (tmp_path, checkpoints(tmp_path)[-1]):
        loaded = cr.load_model(folder)
        assert (loaded.predict(X) == model.predict(X)).all()
        assert loaded.optimizer.iterations == STEPS


def test_what_a_callback_froze_stays_frozen(tmp_path):
    class Thaw(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.layers[0].trainable = not self.model.layers[0].trainable

    model = network()
    fit(model, Thaw())
    for at in (2, 5, 7, 11):
        with pytest.raises(KeyboardInterrupt):
            fit(network(), Thaw(), StopAt(at), checkpoint=tmp_path / str(at), checkpoint_every=1)
        assert resumed(tmp_path / str(at), Thaw()) == outcome(model)


def test_the_callbacks_of_the_library_go_on_where_they_were(tmp_path):
    def callbacks(folder):
        return [
            cr.callbacks.EarlyStopping(
                monitor="val_loss", patience=0, min_delta=0.07, start_from_epoch=2
            ),
            cr.callbacks.ReduceLROnPlateau(monitor="loss", patience=0, factor=0.5, min_delta=0.5),
            cr.callbacks.ModelCheckpoint(folder / "best", monitor="val_loss", keep=2),
            cr.callbacks.CSVLogger(folder / "log.csv"),
            cr.callbacks.TerminateOnNaN(),
        ]

    def left(folder):
        best = sorted(each.name for each in (folder / "best").iterdir())
        return best, (folder / "log.csv").read_text()

    def train(folder, *others, **options):
        folder.mkdir(exist_ok=True)
        model = network(seed=options.pop("seed", 5))
        fit(model, *callbacks(folder), *others, epochs=8, **options)
        return model

    whole = train(tmp_path / "whole")
    assert 2 < len(whole.history.epoch) < 8, "it is stopped early"
    steps = 4 * len(whole.history.epoch)
    for at in range(2, steps + 1, 3):
        folder = tmp_path / str(at)
        kept = {"checkpoint": folder / "kept", "checkpoint_every": 1}
        with pytest.raises(KeyboardInterrupt):
            train(folder, StopAt(at), **kept)
        model = train(folder, resume=True, seed=77, **kept)
        assert outcome(model) == outcome(whole), at
        assert left(folder) == left(tmp_path / "whole"), at


def test_a_run_on_another_device_is_resumed(tmp_path):
    def train(**options):
        model = network(seed=options.pop("seed", 5)).to("emulated")
        fit(model, epochs=2, **options)
        return outcome(model)

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[Noisy(), StopAt(6)], checkpoint=tmp_path, checkpoint_every=1)
    assert train(checkpoint=tmp_path, resume=True, seed=77) == whole
