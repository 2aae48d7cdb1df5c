"""A run that stops at any moment and is resumed ends as one that was never interrupted."""

from __future__ import annotations

import functools

import pytest

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import Dense
from chainrule.models import Model
from chainrule.training.saving.folders import checkpoints

from .resuming import STEPS, FaultyError, Noisy, StopAt, X, Y, fit, network, outcome, resumed


@pytest.fixture(scope="module")
def uninterrupted():
    model = network()
    fit(model)
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


def test_a_model_is_made_of_a_checkpoint(tmp_path):
    model = network()
    fit(model, checkpoint=tmp_path)
    for folder in (tmp_path, checkpoints(tmp_path)[-1]):
        loaded = cr.load_model(folder)
        assert (loaded.predict(X) == model.predict(X)).all()
        assert loaded.optimizer.iterations == STEPS


def test_a_rate_that_a_callback_sets_is_gone_on_with(tmp_path):
    class Sets(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch % 2:
                self.model.layers[2].rate = 0.1 * batch

    model = network()
    fit(model, Sets())
    for at in (3, 4, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            fit(network(), Sets(), StopAt(at), checkpoint=tmp_path / str(at), checkpoint_every=1)
        assert resumed(tmp_path / str(at), Sets()) == outcome(model), at


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
