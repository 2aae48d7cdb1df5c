"""What `fit` refuses when a run is kept or resumed, and faults of the disk."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.training.saving.folders import checkpoints

from .resuming import X, Y, fit, network, outcome, resumed


@pytest.fixture(scope="module")
def uninterrupted():
    model = network()
    fit(model)
    return outcome(model)


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


def test_the_folder_of_a_saved_model_is_not_that_of_a_run(tmp_path):
    """Since load_model would go on reading the model, and not the checkpoints."""
    model = network()
    fit(model, epochs=1)
    model.save(tmp_path / "model")
    before = sorted(os.listdir(tmp_path / "model"))
    for resume in (False, "auto"):
        with pytest.raises(FileExistsError, match=r"is the folder of a saved model; give .*run'"):
            fit(network(), epochs=1, checkpoint=tmp_path / "model", resume=resume)
    assert sorted(os.listdir(tmp_path / "model")) == before
    fit(network(), epochs=1, checkpoint=tmp_path / "model" / "run")


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
        ({"checkpoint": ""}, ValueError, "checkpoint='' is no path"),
        ({"checkpoint": "a\0b"}, ValueError, "is no path"),
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
    with pytest.raises(ValueError, match="random generators augment > source"):
        resumed(tmp_path, augment=lambda batch: batch)
