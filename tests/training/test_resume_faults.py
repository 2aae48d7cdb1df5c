"""Faults at awkward moments: what is kept is whole, and a run goes on from it exactly."""

from __future__ import annotations

import errno
import os
import queue
import sys
import threading
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import Dense
from chainrule.metrics import Metric
from chainrule.models import Sequential
from chainrule.optim.schedules import ExponentialDecay
from chainrule.training.progress import ProgressLine
from chainrule.training.saving.folders import checkpoints
from chainrule.training.saving.nested import join, split
from chainrule.training.saving.writer import Writer

from .resuming import FaultyError, StopAt, X, Y, fit, network, outcome, resumed


@pytest.fixture(scope="module")
def uninterrupted():
    model = network()
    fit(model)
    return outcome(model)


class Keeps(Callback):
    """A callback with a state of choice; it counts the steps."""

    def __init__(self, state=None):
        super().__init__()
        self.kept, self.steps, self.got = state, 0, None

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def state(self):
        return {"steps": self.steps} if self.kept is None else self.kept

    def load_state(self, state):
        self.got = state
        self.steps = state.get("steps", 0)


# ------------------------------------------------------------------------------------ errors


def test_a_run_is_kept_where_it_was_begun_whatever_the_working_folder(
    tmp_path, monkeypatch, uninterrupted
):
    class Moves(Callback):
        def on_train_batch_end(self, batch, logs=None):
            os.chdir(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    others = [cr.callbacks.CSVLogger("log.csv"), cr.callbacks.ModelCheckpoint("best")]
    with pytest.raises(KeyboardInterrupt):
        fit(network(), Moves(), *others, StopAt(6), checkpoint="run", checkpoint_every=2)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert sorted(os.listdir(tmp_path)) == ["best", "elsewhere", "log.csv", "run"]
    monkeypatch.chdir(tmp_path)
    assert resumed(tmp_path / "run", *others) == uninterrupted


def test_callbacks_hear_of_a_step_after_which_the_progress_line_failed(
    tmp_path, monkeypatch, uninterrupted
):
    update, calls = ProgressLine.update, []

    def broken(self, *arguments):
        calls.append(1)
        if len(calls) == 6:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        update(self, *arguments)

    monkeypatch.setattr(ProgressLine, "update", broken)
    with pytest.raises(BrokenPipeError):
        fit(network(), Keeps(), checkpoint=tmp_path, checkpoint_every=100)
    monkeypatch.undo()
    counting = Keeps()
    assert resumed(tmp_path, counting) == uninterrupted
    assert counting.steps == 12


def test_callbacks_hear_of_the_end_though_the_progress_line_cannot_be_closed(monkeypatch):
    ended = []

    def broken(self):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(ProgressLine, "close", broken)
    with pytest.raises(BrokenPipeError):
        fit(network(), cr.callbacks.LambdaCallback(on_train_end=ended.append))
    assert len(ended) == 1


def test_a_validation_that_was_cut_off_is_gone_through_again_from_its_beginning(tmp_path):
    class Listens(Keeps):
        fails_at = None

        def on_test_batch_end(self, batch, logs=None):
            self.steps += 100 + np.random.random() + cr.random.generator().random()
            if batch == self.fails_at:
                raise FaultyError

    whole = Listens()
    model = network()
    fit(model, whole, batch_size=4)
    broken = Listens()
    broken.fails_at = 1
    with pytest.raises(FaultyError):
        fit(network(), broken, batch_size=4, checkpoint=tmp_path)
    again = Listens()
    assert resumed(tmp_path, again, batch_size=4) == outcome(model)
    assert again.steps == whole.steps


def test_a_model_that_was_trained_on_goes_back_to_a_run_that_failed_before_its_first_step(
    tmp_path, uninterrupted
):
    class FailsOnce(Callback):
        failed = False

        def on_epoch_begin(self, epoch, logs=None):
            if not self.failed:
                self.failed = True
                raise FaultyError

    model, fails = network(), FailsOnce()
    with pytest.raises(FaultyError):
        fit(model, fails, checkpoint=tmp_path)
    fit(model)
    fit(model, fails, checkpoint=tmp_path, resume=True)
    assert outcome(model) == uninterrupted


def test_a_full_disk_leaves_no_half_of_a_checkpoint(tmp_path, monkeypatch, uninterrupted):
    """Each flush in turn is the first that fails; the same process goes on with the same model."""
    flush = os.fsync
    for last in range(10, 40, 3):
        calls = []

        def full(descriptor, calls=calls, last=last):
            calls.append(1)
            if len(calls) > last:
                raise OSError(errno.ENOSPC, "No space left on device")
            flush(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        folder, model = tmp_path / str(last), network()
        with pytest.raises(OSError, match="disk is full"):
            fit(model, checkpoint=folder, checkpoint_every=1)
        monkeypatch.undo()
        names = sorted(each.name for each in folder.iterdir() if each.is_dir())
        assert names == [each.name for each in checkpoints(folder)]
        fit(model, checkpoint=folder, checkpoint_every=1, resume="auto" if not names else True)
        if names:
            assert outcome(model) == uninterrupted


# ------------------------------------------------------------------------------------ states


@pytest.mark.parametrize(
    "state",
    [{"a": {1: 2}}, {"a": object()}, {"a": 1j}, {"a": np.array(["x"])}, {"array:": 1}],
)
def test_a_state_that_no_file_holds_is_refused_before_the_first_step(tmp_path, state):
    callback = Keeps(state)
    with pytest.raises(TypeError, match=r"callbacks\.1\.state"):
        fit(network(), callback, checkpoint=tmp_path)
    assert callback.steps == 0


def test_a_metric_without_a_state_is_refused_before_the_first_step(tmp_path):
    class Own(Metric):
        total = 0.0

        def update(self, y_true, y_pred):
            self.total += 1

        def result(self):
            return self.total

        def reset(self):
            self.total = 0.0

    steps = Keeps()
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse", [Own("own")])
    with pytest.raises(TypeError, match="define state"):
        model.fit(X, Y[:, None], verbose=0, callbacks=[steps], checkpoint=tmp_path)
    assert steps.steps == 0


def test_an_attribute_that_hides_load_state_is_told_as_that(tmp_path):
    fit(network(), Keeps(), epochs=1, checkpoint=tmp_path)
    hidden = Keeps()
    hidden.load_state = 3
    with pytest.raises(TypeError, match="hides the method"):
        resumed(tmp_path, hidden)


def test_arrays_whose_paths_are_the_same_are_kept_apart(tmp_path):
    state = {"a.b": np.ones(2), "a": {"b": np.zeros(3)}, "steps": 0}
    fit(network(), Keeps(state), epochs=1, checkpoint=tmp_path)
    callback = Keeps(state)
    resumed(tmp_path, callback, epochs=1)
    assert callback.got["a.b"].tolist() == [1, 1]
    assert callback.got["a"]["b"].tolist() == [0, 0, 0]


def test_long_lists_of_numbers_are_kept_as_arrays_and_come_back_as_they_were():
    floats = [0.1 * n for n in range(500)] + [float("nan"), float("-inf"), -0.0]
    lists = [floats, list(range(-250, 250)), [2**63 - 1] * 200, [2**64] * 200, [True] * 200]
    lists.append([1, 2.0] * 100)
    plain, arrays = split({"lists": lists})
    assert set(arrays) == {"lists.0", "lists.1", "lists.2"}
    assert repr(join(plain, arrays)["lists"]) == repr(lists)


def test_a_schedule_that_a_callback_sets_is_gone_on_with(tmp_path):
    class Sets(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 3:
                self.model.optimizer.learning_rate = ExponentialDecay(0.5, 2, 0.5)

    def train(first, seed=5, stop=99, **options):
        cr.seed(seed)
        model = Sequential([Dense(3, activation="softmax")])
        model.compile(cr.optim.SGD(learning_rate=first), "sparse_categorical_crossentropy")
        callbacks = [Sets(), StopAt(stop)]
        try:
            model.fit(X, Y, batch_size=8, verbose=0, epochs=2, callbacks=callbacks, **options)
        except KeyboardInterrupt:
            return model
        return outcome(model)

    for first in (0.1, ExponentialDecay(0.1, 2, 0.5)):
        whole = train(first)
        for stop, every in ((7, 5), (4, 2)):  # the checkpoint is of after it was set, and before
            folder = tmp_path / f"{type(first).__name__}-{stop}"
            model = train(first, stop=stop, checkpoint=folder, checkpoint_every=every)
            model.fit(X, Y, 8, 2, 0, [Sets()], checkpoint=folder, checkpoint_every=5, resume=True)
            assert outcome(model) == whole
            assert train(first, seed=77, checkpoint=folder, resume=True) == whole


def test_a_schedule_that_cannot_be_kept_is_refused_before_the_first_step(tmp_path):
    model = network()
    model.optimizer.learning_rate = lambda step: 0.1
    with pytest.raises(ValueError, match="give it to the optimiser's constructor"):
        fit(model, checkpoint=tmp_path)


def test_a_refusal_leaves_the_random_numbers_as_they_were(tmp_path):
    fit(network(), epochs=1, checkpoint=tmp_path)
    model = network()
    model.build((None, 6))
    cr.seed(3)
    expected = cr.random.normal(3).tolist()
    cr.seed(3)
    with pytest.raises(ValueError, match="is of another run"):
        fit(model, checkpoint=tmp_path, resume=True, batch_size=4)
    assert cr.random.normal(3).tolist() == expected


def test_another_kind_of_global_generator_is_refused(tmp_path):
    usual = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(3))
    try:
        fit(network_unseeded(), Keeps(), callbacks=[], epochs=1, checkpoint=tmp_path)
    finally:
        np.random.set_bit_generator(usual)
    with pytest.raises(ValueError, match="was a PCG64"):
        fit(network_unseeded(), callbacks=[], checkpoint=tmp_path, resume=True)


def network_unseeded():
    model = Sequential([Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


# ------------------------------------------------------------------------------------ threads


class Interrupted(queue.SimpleQueue):
    """A queue at which Ctrl-C comes, just before something is put in or just after."""

    def __init__(self, before):
        self.before, self.calls = before, 0

    def put(self, item):
        self.calls += 1
        if self.calls == 1 and self.before:
            raise KeyboardInterrupt
        super().put(item)
        if self.calls == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_amid_handing_over_a_checkpoint_ends_the_writer(before):
    written = []
    writer = Writer(written.append)
    writer._jobs = Interrupted(before)

    def use():
        try:
            writer.write("first")
        except KeyboardInterrupt:
            writer.close()
            written.append("closed")

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert written == (["closed"] if before else ["first", "closed"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="it warns of forks amid threads")
def test_a_child_that_is_forked_amid_a_run_ends_and_leaves_the_folder_to_its_parent(
    tmp_path, uninterrupted
):
    class Forks(Callback):
        child, is_child = None, False

        def on_train_batch_end(self, batch, logs=None):
            if self.child is None:
                self.child = os.fork()
                self.is_child = self.child == 0

    forks, model = Forks(), network()
    try:
        fit(model, forks, checkpoint=tmp_path, checkpoint_every=1)
        if forks.is_child:
            os._exit(0)
    finally:
        if forks.is_child:
            os._exit(1)
    until = time.monotonic() + 60
    while (ended := os.waitpid(forks.child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(forks.child, 9)
        os.waitpid(forks.child, 0)
    assert ended == (forks.child, 0)
    assert outcome(model) == uninterrupted
    assert resumed(tmp_path) == uninterrupted


def test_an_error_in_an_evaluation_ends_the_threads_of_its_data():
    pipeline = cr.data.from_arrays(X, Y).batch(8).prefetch(2)
    model = network()
    model.build((None, 6))
    for call in (model.evaluate, model.predict):
        options = {"callbacks": [Fails()], "verbose": 0}
        with pytest.raises(FaultyError) as caught:
            call(pipeline, **options)
        names = [each.name for each in threading.enumerate()]
        assert "chainrule-data" not in names
        del caught


class Fails(Callback):
    def on_test_batch_end(self, batch, logs=None):
        raise FaultyError

    on_predict_batch_end = on_test_batch_end
