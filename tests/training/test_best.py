"""The best models are kept, the others removed, and nothing that belongs to anybody else."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.layers import Dense
from chainrule.training import weights as weights_files
from chainrule.training.best import INDEX, ModelCheckpoint
from chainrule.training.sequential import Sequential

from .monitoring import mark, marked, run, tiny_model

ARRAYS = "arrays/all/weights.safetensors"


class InFolders(Sequential):
    """A model that is saved as a folder of two files, one of them deeper down."""

    def save(self, path):
        path = Path(path)
        (path / ARRAYS).parent.mkdir(parents=True, exist_ok=True)
        self.save_weights(path / ARRAYS)
        (path / "model.json").write_text("{}")


def in_folders():
    model = InFolders([Dense(2)])
    model.compile("sgd", "mse")
    model.build((None, 3))
    return model


def names(folder):
    return sorted(each for each in os.listdir(folder) if each != INDEX)


def written_in(path):
    """The epoch, from 0, in which a file was written."""
    path = path if path.suffix else path / ARRAYS
    return {
        float(each) for array in weights_files.read_weights(path).values() for each in array.flat
    }


def best_of(values, keep, sign=1):
    """Which epochs are the best, the best first, the earlier of equals before."""
    known = [(sign * value, epoch) for epoch, value in enumerate(values) if not math.isnan(value)]
    return [epoch for _, epoch in sorted(known)[:keep]]


kinds = pytest.mark.parametrize("weights_only", [True, False])
values = st.lists(st.integers(0, 5).map(float) | st.sampled_from([math.nan, math.inf]), max_size=9)


def made(folder, weights_only, keep=1, **options):
    return ModelCheckpoint(
        folder, "loss", save_weights_only=weights_only, keep=keep, **options
    ), tiny_model() if weights_only else in_folders()


@kinds
@settings(max_examples=15, deadline=None)
@given(values, st.integers(1, 3), st.sampled_from(["min", "max"]))
def test_the_best_few_are_there_with_their_weights(weights_only, values, keep, mode):
    with tempfile.TemporaryDirectory() as folder:
        callback, model = made(folder, weights_only, keep, mode=mode)
        run(callback, values, model=model)
        best = best_of(values, keep, 1 if mode == "min" else -1)
        suffix = ".safetensors" if weights_only else ""
        assert [each.name for each in callback.paths] == [
            f"epoch-{epoch + 1:04d}{suffix}" for epoch in best
        ]
        assert names(folder) == sorted(each.name for each in callback.paths)
        assert [written_in(each) for each in callback.paths] == [{float(epoch)} for epoch in best]
        assert callback.best == (callback.paths[0] if best else None)
        if best:
            index = json.loads(Path(folder, INDEX).read_text())
            assert [each["epoch"] - 1 for each in index["models"]] == best
            assert [float(each["value"]) for each in index["models"]] == [values[i] for i in best]


@kinds
@settings(max_examples=15, deadline=None)
@given(values, st.integers(0, 9), st.integers(0, 3), st.none() | st.integers(1, 3))
def test_a_resumed_run_leaves_what_the_uninterrupted_one_leaves(
    weights_only, values, saved, lost, keep
):
    """The run is cut off `lost` epochs after its state was saved, and repeats these."""
    saved = min(saved, len(values))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        straight, model = made(one, weights_only, keep)
        run(straight, values, model=model)
        first, model = made(two, weights_only, keep)
        run(first, values[:saved], model=model, ends=False)
        state = json.loads(json.dumps(first.state()))
        for epoch in range(saved, min(saved + lost, len(values))):
            mark(model, epoch)
            first.on_epoch_end(epoch, {"loss": values[epoch]})
        second, model = made(two, weights_only, keep)
        run(second, values[saved:], model=model, first=saved, state=state)
        assert names(one) == names(two)
        assert [each.name for each in straight.paths] == [each.name for each in second.paths]
        assert [written_in(each) for each in straight.paths] == [
            written_in(each) for each in second.paths
        ]
        indices = [Path(each, INDEX) for each in (one, two)]
        if indices[0].exists():
            models = [json.loads(each.read_text())["models"] for each in indices]
            assert models[0] == models[1]


@kinds
def test_models_of_a_branch_that_was_cut_off_go_once_their_epoch_is_passed(tmp_path, weights_only):
    first, model = made(tmp_path, weights_only)
    run(first, [5.0, 4.0], model=model, ends=False)
    state = first.state()
    run(first, [9.0, 1.0], model=model, first=2, ends=False)
    assert [name[:10] for name in names(tmp_path)] == ["epoch-0004"]
    second, model = made(tmp_path, weights_only)
    run(second, [], model=model, first=2, state=state)
    assert second.best is None  # what it had kept by then was driven out
    run(second, [3.0], model=model, first=2, state=state, ends=False)  # another way, from there
    assert [name[:10] for name in names(tmp_path)] == ["epoch-0003", "epoch-0004"]
    run(second, [9.0], model=model, first=3, state=second.state(), ends=False)
    assert [name[:10] for name in names(tmp_path)] == ["epoch-0003"]


def test_every_epoch_is_kept_if_that_is_asked_for_also_without_a_value(tmp_path):
    callback = ModelCheckpoint(tmp_path, save_weights_only=True, keep=None)
    run(callback, [3.0, math.nan, 2.0])
    assert len(names(tmp_path)) == 3 and callback.best is None
    callback = ModelCheckpoint(tmp_path / "a", "loss", save_weights_only=True, save_best_only=False)
    run(callback, [3.0, math.nan, 2.0])
    assert [each.name[:10] for each in callback.paths] == ["epoch-0003", "epoch-0001", "epoch-0002"]
    assert callback.best == callback.paths[0]


def test_an_epoch_without_a_number_makes_room_for_one_that_has(tmp_path):
    every, model = made(tmp_path, weights_only=True, keep=None)
    run(every, [3.0, math.nan], model=model)
    best, model = made(tmp_path, weights_only=True, keep=1)
    run(best, [2.0, 4.0], model=model, first=2, state=every.state())
    assert [each.name for each in best.paths] == names(tmp_path) == ["epoch-0003.safetensors"]


def test_names_have_fields_as_in_keras(tmp_path):
    path = tmp_path / "runs" / "w.{epoch:02d}-{loss:.2f}.safetensors"
    callback = ModelCheckpoint(path, "loss", save_weights_only=True, keep=2)
    run(callback, [3.0, 2.5, 1.126])
    assert names(path.parent) == ["w.02-2.50.safetensors", "w.03-1.13.safetensors"]
    callback, model = made(tmp_path / "all" / "{epoch}-{loss}.keras", False)
    run(callback, [3.0, 2.5], model=model)
    assert callback.best == tmp_path / "all" / "2-2.5.keras"
    callback = ModelCheckpoint(tmp_path / "{accuracy}", "loss", save_weights_only=True)
    with pytest.raises(ValueError, match=r"'\{accuracy\}.safetensors' cannot be.*epoch, loss"):
        run(callback, [1.0])


def test_a_name_that_does_not_change_is_written_anew(tmp_path):
    callback = ModelCheckpoint(tmp_path / "best{loss:.0f}", "loss", save_weights_only=True, keep=3)
    run(callback, [1.3, 1.2, 1.1])
    assert names(tmp_path) == ["best1.safetensors"]
    assert written_in(callback.best) == {2.0} and len(callback.paths) == 1


@kinds
def test_what_belongs_to_others_stays(tmp_path, weights_only):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "epoch-0001").mkdir()
    (tmp_path / "epoch-0001" / "mine.txt").write_text("mine")
    (tmp_path / "epoch-0009.safetensors").write_text("of an earlier run")
    callback, model = made(tmp_path, weights_only)
    run(callback, [3.0, 2.0], model=model)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert names(tmp_path / "epoch-0001") == ["mine.txt"]
    assert (tmp_path / "epoch-0009.safetensors").exists()
    assert callback.best.name.startswith("epoch-0002")


@kinds
def test_another_run_in_the_same_folder_removes_nothing_of_the_first(tmp_path, weights_only):
    first, model = made(tmp_path, weights_only)
    run(first, [9.0, 8.0, 1.0], model=model)
    second, model = made(tmp_path, weights_only)
    run(second, [5.0, 4.0, 6.0], model=model)
    assert [each[:10] for each in names(tmp_path)] == ["epoch-0002", "epoch-0003"]
    assert written_in(second.best) == {1.0} and written_in(first.best) == {2.0}


def test_a_second_call_of_fit_goes_on_with_what_the_first_has_kept(tmp_path):
    callback, model = made(tmp_path, True)
    run(callback, [3.0, 2.0], model=model)
    run(callback, [2.5], model=model, first=2)
    assert callback.best.name == "epoch-0002.safetensors"
    callback.best.unlink()
    run(callback, [9.0], model=model, first=3)
    assert callback.best.name == "epoch-0004.safetensors"


class Full(InFolders):
    """A model whose second file does not fit on the disk, in epochs of choice."""

    full = False

    def save(self, path):
        Path(path).mkdir(exist_ok=True)
        Path(path, "weights").write_text("half")
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        super().save(path)


def test_on_a_full_disk_the_earlier_models_stay_and_no_half_of_one(tmp_path):
    callback, _ = made(tmp_path, False, keep=2)
    model = Full([Dense(2)])
    model.compile("sgd", "mse")
    model.build((None, 3))
    run(callback, [3.0, 2.0], model=model, ends=False)
    state, index = callback.state(), (tmp_path / INDEX).read_text()
    model.full = True
    with pytest.raises(OSError, match="No space left") as raised:
        run(callback, [1.0], model=model, first=2)
    assert "ModelCheckpoint (callbacks[0]) in on_epoch_end(epoch=2)" in raised.value.__notes__[0]
    assert names(tmp_path) == ["epoch-0001", "epoch-0002"]
    assert (callback.state(), (tmp_path / INDEX).read_text()) == (state, index)
    model.full = False
    run(callback, [1.0], model=model, first=2)
    assert names(tmp_path) == ["epoch-0002", "epoch-0003"]


@kinds
@pytest.mark.parametrize("at", range(1, 9))
def test_killed_at_any_moment_all_that_is_listed_is_whole_and_nothing_stays_forever(
    tmp_path, weights_only, at, monkeypatch
):
    """Killed at the n-th change of a file of an epoch whose model drives out another."""
    first, model = made(tmp_path, weights_only)
    run(first, [3.0, 2.0], model=model, ends=False)
    state, changes = first.state(), 0

    class Killed(BaseException):
        pass

    def counted(function):
        def call(*arguments, **options):
            nonlocal changes
            changes += 1
            if changes == at:
                raise Killed
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", counted(os.replace))
        patched.setattr(Path, "unlink", counted(Path.unlink))
        patched.setattr(Path, "rmdir", counted(Path.rmdir))
        try:
            mark(model, 2)
            first.on_epoch_end(2, {"loss": 1.0})
        except Killed:
            pass
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["models"]
    for each in index["models"]:
        assert all((tmp_path / file).is_file() for file in each["files"])
    for each in tmp_path.glob("*/model.json"):
        assert (each.parent / ARRAYS).is_file()
    second, model = made(tmp_path, weights_only)
    run(second, [1.0, 9.0], model=model, first=2, state=state)
    suffix = ".safetensors" if weights_only else ""
    assert names(tmp_path) == [f"epoch-0003{suffix}"]
    assert written_in(second.best) == {2.0}


def test_two_monitors_do_not_share_a_folder(tmp_path):
    callback, model = made(tmp_path, True)
    run(callback, [3.0], model=model)
    other = ModelCheckpoint(tmp_path, "val_loss", save_weights_only=True)
    with pytest.raises(ValueError, match=r"chosen by monitor='loss'.*monitor='val_loss'.*folder"):
        run(other, [1.0], name="val_loss")
    state = ModelCheckpoint(tmp_path, "val_loss", mode="min").state()
    with pytest.raises(ValueError, match=r"chosen by monitor='loss'"):
        ModelCheckpoint(tmp_path, "val_loss", mode="min").load_state(state)
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"models": [{}], "removing": [], "monitor": "loss"}'])
def test_a_damaged_index_is_an_error_and_stays(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    callback, model = made(tmp_path, True)
    with pytest.raises(ValueError, match=rf"ModelCheckpoint: .*{INDEX}"):
        run(callback, [3.0], model=model)
    assert (tmp_path / INDEX).read_text() == text and not names(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"monitor": "val_loss"}, "saved with monitor='val_loss'"),
        ({"models": 3}, "not the state of a ModelCheckpoint"),
        ({"models": [{"epoch": 1}]}, "not the state of a ModelCheckpoint.*'value'"),
        (
            {"models": [{"epoch": 1, "value": 1.0, "name": "a", "files": ["../a"]}]},
            "does not belong to 'a'",
        ),
        (
            {"models": [{"epoch": 1, "value": 1.0, "name": "a", "files": ["a/../../b"]}]},
            "does not belong to 'a'",
        ),
        *(
            ({"models": [{"epoch": 1, "value": 1.0, "name": name, "files": files}]}, "no name in")
            for name, files in (("/", ["/etc/a"]), ("..", []), ("", []), ("a/b", []), ("/a", []))
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(tmp_path, change, message):
    callback, model = made(tmp_path, True)
    run(callback, [3.0], model=model)
    before = callback.state()
    with pytest.raises(ValueError, match=message):
        callback.load_state({**before, **change})
    assert callback.state() == before


def test_a_folder_that_cannot_be_written_is_an_error_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    model, x = tiny_model(), np.zeros((4, 3), "float32")
    callback = ModelCheckpoint(tmp_path / "file", "loss", save_weights_only=True)
    with pytest.raises(OSError, match="ModelCheckpoint: cannot write"):
        model.fit(x, x[:, :1], verbose=0, callbacks=callback)
    assert model.history.epoch == []


@pytest.mark.parametrize(
    ("filepath", "options", "error", "message"),
    [
        (3, {}, TypeError, "filepath must be the path of a folder, got 3 of type int"),
        ("best.keras", {}, ValueError, "is a file elsewhere.*name of a folder"),
        ("{epoch}.weights.h5", {"save_weights_only": True}, ValueError, "is a file elsewhere"),
        (
            "a.safetensors",
            {"save_weights_only": True},
            ValueError,
            "must be a folder, or a pattern",
        ),
        ("{epoch}.safetensors", {}, ValueError, "leave .safetensors out"),
        ("{epoch}/model", {}, ValueError, "in the last part of the path"),
        ("model-{}", {}, ValueError, "and be named"),
        ("model-{epoch", {}, ValueError, "expected '}'"),
        ("a", {"keep": 0}, ValueError, "keep must be at least 1"),
        ("a", {"keep": 3, "save_best_only": False}, ValueError, "contradict"),
        ("a", {"keep": None, "save_best_only": True}, ValueError, "contradict"),
        ("a", {"save_best_only": 1}, TypeError, "save_best_only must be True or False"),
        ("a", {"save_freq": 5}, TypeError, "checkpoint_every=steps"),
        ("a", {"save_top_k": 5}, TypeError, "it is called keep"),
        ("a", {"mode": "best"}, ValueError, "mode must be"),
    ],
)
def test_arguments_are_checked(filepath, options, error, message):
    with pytest.raises(error, match=f"ModelCheckpoint: .*{message}"):
        ModelCheckpoint(filepath, **options)


def test_what_it_prints(tmp_path, capsys):
    run(ModelCheckpoint(tmp_path, "loss", verbose=1, save_weights_only=True), [3.0, 4.0])
    assert capsys.readouterr().out == (
        f"Epoch 1: the model (loss 3) is saved as {tmp_path / 'epoch-0001.safetensors'}\n"
    )


def test_in_fit_the_best_weights_can_be_loaded_again(tmp_path):
    model, x = tiny_model(learning_rate=0.9), np.ones((4, 3), "float32")
    callback = ModelCheckpoint(tmp_path, "loss", save_weights_only=True)
    history = model.fit(x, x[:, :1], epochs=4, verbose=0, callbacks=callback)
    best = int(np.argmin(history.history["loss"]))
    assert callback.best.name == f"epoch-{best + 1:04d}.safetensors"
    model.load_weights(callback.best)
    assert marked(model) is None


def test_of_its_folder_the_best_model_is_loaded(tmp_path):
    model, folder = tiny_model(learning_rate=0.01), tmp_path / "best"
    x, y = np.ones((4, 3), np.float32), np.full((4, 1), 9.0, np.float32)
    keep = ModelCheckpoint(folder, "loss", mode="max", keep=2)  # the first epochs are "best"
    model.fit(x, y, epochs=3, verbose=0, callbacks=[keep])
    assert names(folder) == ["epoch-0001", "epoch-0002"]
    best = cr.load_model(folder / "epoch-0001")
    np.testing.assert_array_equal(cr.load_model(folder).predict(x), best.predict(x))
    assert (best.predict(x) != model.predict(x)).any()
    model.load_weights(folder)
    np.testing.assert_array_equal(model.predict(x), best.predict(x))
    (folder / INDEX).write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"holds no model: .*it holds epoch-0001"):
        cr.load_model(folder)


def test_of_a_folder_of_weights_the_best_are_loaded(tmp_path):
    model, folder = tiny_model(learning_rate=0.01), tmp_path / "best"
    x, y = np.ones((4, 3), np.float32), np.full((4, 1), 9.0, np.float32)
    keep = ModelCheckpoint(folder, "loss", mode="max", save_weights_only=True, keep=2)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[keep])
    model.load_weights(folder)
    again = tiny_model(learning_rate=0.01)
    again.load_weights(folder / "epoch-0001.safetensors")
    np.testing.assert_array_equal(model.predict(x), again.predict(x))
    with pytest.raises(NotADirectoryError, match=r"epoch-0001\.safetensors' is a file; .*load_wei"):
        cr.load_model(folder)
