"""The table has a row for each epoch, once, also where a run was cut off and taken up again."""

from __future__ import annotations

import csv
import errno
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainrule.training.csv_log import CSVLogger

from .monitoring import run, tiny_model

values = st.lists(st.floats(), max_size=6)


def table(path, separator=","):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def logged(logger, epochs, *, first=0, state=None):
    logger.on_train_begin()
    if state is not None:
        logger.load_state(state)
    for epoch, logs in enumerate(epochs, first):
        logger.on_epoch_end(epoch, logs)
    return logger


@settings(max_examples=25, deadline=None)
@given(values, st.sampled_from(";,\t|"), st.booleans())
def test_each_epoch_has_a_row_whose_numbers_are_the_same_to_the_bit(values, separator, append):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        logged(CSVLogger(path, separator, append), [{"loss": v, "b": -v} for v in values])
        if not values:
            assert not path.exists()
            return
        head, *rows = table(path, separator)
        assert head == ["epoch", "b", "loss"]
        assert [int(row[0]) for row in rows] == list(range(len(values)))
        for row, value in zip(rows, values, strict=True):
            assert np.array_equal([float(row[1]), float(row[2])], [-value, value], equal_nan=True)


def test_rows_are_there_as_soon_as_the_epoch_ends(tmp_path):
    logger = logged(CSVLogger(tmp_path / "a" / "log.csv"), [{"loss": 1.0}])
    assert table(logger.path) == [["epoch", "loss"], ["0", "1.0"]]
    logger.on_epoch_end(1, {"loss": np.float32(0.5)})
    assert table(logger.path)[2:] == [["1", "0.5"]]


def test_what_is_missing_is_na_and_what_comes_late_has_no_column(tmp_path):
    logger = logged(CSVLogger(tmp_path / "log.csv"), [{"a": 1.0, "b": 2.0}, {"b": 3.0, "c": 4.0}])
    assert table(logger.path) == [["epoch", "a", "b"], ["0", "1.0", "2.0"], ["1", "NA", "3.0"]]
    logger.on_epoch_end(2, {"a": "a, or b", "b": math.nan})
    assert table(logger.path)[-1] == ["2", "a, or b", "nan"]


def test_an_older_file_is_replaced_by_the_first_row_and_not_before(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("mine")
    logger = logged(CSVLogger(path), [])
    assert path.read_text() == "mine"
    logger.on_epoch_end(0, {"loss": 1.0})
    assert path.read_text() == "epoch,loss\n0,1.0\n"
    logged(logger, [{"loss": 2.0}])
    assert path.read_text() == "epoch,loss\n0,2.0\n"


def test_a_run_that_begins_later_does_not_keep_the_rows_of_another(tmp_path):
    logger = logged(CSVLogger(tmp_path / "log.csv"), [{"loss": 1.0}, {"loss": 2.0}])
    logged(logger, [{"loss": 3.0}], first=5)
    assert table(logger.path) == [["epoch", "loss"], ["5", "3.0"]]


def test_a_resumed_run_keeps_the_columns_of_the_first_epoch(tmp_path):
    logger = logged(CSVLogger(tmp_path / "log.csv"), [{"a": 1.0, "b": 2.0}])
    logged(CSVLogger(logger.path), [{"b": 3.0, "c": 4.0}], first=1, state=logger.state())
    assert table(logger.path) == [["epoch", "a", "b"], ["0", "1.0", "2.0"], ["1", "NA", "3.0"]]


@pytest.mark.parametrize("end", ["", "\n"])
def test_appended_rows_have_the_columns_that_are_there(tmp_path, end):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,accuracy\n0,2.0,0.5\n7,1.0,0.75" + end)
    logged(CSVLogger(path, append=True), [{"accuracy": 0.875, "loss": 0.5}, {"loss": 0.25}])
    assert table(path)[1:] == [
        ["0", "2.0", "0.5"],
        ["7", "1.0", "0.75"],
        ["0", "0.5", "0.875"],
        ["1", "0.25", "NA"],
    ]


def test_a_file_of_other_columns_is_not_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch;loss\n0;1.0\n")
    with pytest.raises(ValueError, match=r"CSVLogger: cannot append.*'epoch;loss'.*separator"):
        logged(CSVLogger(path, append=True), [])
    assert path.read_text() == "epoch;loss\n0;1.0\n"


epochs = st.lists(st.sampled_from([0.5, 1.5, math.nan]), min_size=1, max_size=6)
counts, flags = st.integers(0, 6), st.booleans()


@settings(max_examples=30, deadline=None)
@given(epochs, counts, counts, flags, flags, st.integers(0, 9))
@example([0.5] * 4, 3, 0, False, False, 1)  # "1" is the begin of a later row, not epoch 1
def test_a_resumed_run_leaves_the_file_of_the_uninterrupted_one(
    values, saved, lost, append, was_there, cut
):
    """It is cut off `lost` epochs, and the begin of a row, after its state was saved."""
    logs = [{"loss": value, "epoch_time": 1.0} for value in values]
    saved = min(saved, len(logs))
    with tempfile.TemporaryDirectory() as folder:
        one, two = (Path(folder, name) for name in ("one.csv", "two.csv"))
        for path in (one, two):
            if was_there:
                path.write_text("epoch,loss,epoch_time\n0,9.0,9.0\n1,8.0,8.0\n")
        logged(CSVLogger(one, append=append), logs)
        first = logged(CSVLogger(two, append=append), logs[:saved])
        state = first.state()
        for epoch in range(saved, min(saved + lost, len(logs))):
            first.on_epoch_end(epoch, logs[epoch])
        if saved + lost > 0 and cut:
            with open(two, "a") as file:
                file.write("12345,0.5"[:cut])
        second = logged(CSVLogger(two, append=append), logs[saved:], first=saved, state=state)
        if saved < len(logs):
            assert one.read_text() == two.read_text()
        assert second.state() == {**state, "columns": second.state()["columns"]}


def test_a_row_that_could_not_be_written_is_written_when_the_run_is_taken_up(tmp_path, monkeypatch):
    logger = logged(CSVLogger(tmp_path / "log.csv"), [{"loss": 1.0}])

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            logger.on_epoch_end(1, {"loss": 0.5})
    state = logger.state()
    logged(CSVLogger(logger.path), [{"loss": 0.5}], first=1, state=state)
    assert table(logger.path)[1:] == [["0", "1.0"], ["1", "0.5"]]


def test_a_lost_file_is_begun_anew(tmp_path):
    logger = logged(CSVLogger(tmp_path / "log.csv"), [{"loss": 1.0}])
    logger.path.unlink()
    logged(CSVLogger(logger.path), [{"loss": 0.5}], first=1, state=logger.state())
    assert logger.path.read_text() == "epoch,loss\n1,0.5\n"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "filename must be the path of a file, got 3"),
        (("a", ", "), ValueError, "separator must be one character"),
        (("a", "\n"), ValueError, "separator must be one character"),
        (("a", ",", "yes"), TypeError, "append must be True or False"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=f"CSVLogger: {message}"):
        CSVLogger(*arguments)


def test_what_cannot_be_written_is_an_error_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    model, x = tiny_model(), np.zeros((4, 3), "float32")
    for path in (tmp_path / "file" / "log.csv", tmp_path):
        with pytest.raises(OSError, match=r"CSVLogger: cannot write|Is a directory"):
            model.fit(x, x[:, :1], verbose=0, callbacks=CSVLogger(path))
        assert model.history.epoch == []
    with pytest.raises(TypeError, match=r"CSVLogger: logs\['loss'\] must be a number or a string"):
        run(CSVLogger(tmp_path / "log.csv"), [[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"expected 'before' and 'columns', got \['best'\]"):
        CSVLogger(tmp_path / "log.csv").load_state({"best": 1})


def test_in_fit_the_table_is_the_history(tmp_path):
    model, x = tiny_model(["mae"]), np.ones((4, 3), "float32")
    logger = CSVLogger(tmp_path / "log.csv")
    history = model.fit(
        x, x[:, :1], epochs=3, verbose=0, callbacks=logger, validation_data=(x, x[:, :1])
    )
    head, *rows = table(logger.path)
    for name, column in zip(head[1:], list(zip(*rows, strict=True))[1:], strict=True):
        assert [float(value) for value in column] == history.history[name]
    assert set(head[1:]) == set(history.history)
