"""The history: one value per name and epoch."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.training.callbacks import CallbackList, LambdaCallback
from chainrule.training.history import History

logs = st.dictionaries(st.sampled_from(["loss", "accuracy", "val_loss"]), st.floats(-9, 9))


@given(st.lists(logs, max_size=6))
def test_every_list_has_one_value_per_epoch_and_nan_where_none_was_given(epochs):
    history = History()
    for epoch, values in enumerate(epochs):
        history.on_epoch_end(epoch, values)
    assert history.epoch == list(range(len(epochs)))
    for name, series in history.history.items():
        assert len(series) == len(epochs)
        for value, values in zip(series, epochs, strict=True):
            assert value == values[name] if name in values else math.isnan(value)
    assert set(history.history) == set().union(*epochs)


def test_values_are_python_numbers_apart_from_the_logs():
    history = History()
    values = {"loss": np.float32(0.5)}
    history.on_epoch_end(0, values)
    values["loss"] = np.float32(9)
    assert history.history == {"loss": [0.5]}
    assert type(history.history["loss"][0]) is float


def test_a_new_run_forgets_the_old_one_but_not_the_object_handed_out():
    history = History()
    history.on_epoch_end(0, {"loss": 1.0})
    old = history.history
    history.on_train_begin()
    assert (history.history, history.epoch) == ({}, [])
    assert old == {"loss": [1.0]}


def test_last_in_the_list_it_records_what_callbacks_add_and_keeps_no_model():
    history = History()
    adding = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(learning_rate=0.1))
    callbacks = CallbackList([adding, history], model=object(), params={"epochs": 1})
    callbacks.on_epoch_end(0, {"loss": 1.0})
    assert history.history == {"loss": [1.0], "learning_rate": [0.1]}
    assert history.params == {"epochs": 1}
    assert history.model is None


def test_a_value_that_is_no_number_is_named():
    with pytest.raises(TypeError, match=r"logs\['note'\] must be a number, got 'good' \(str\)"):
        History().on_epoch_end(0, {"note": "good"})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_copies_and_pickles(duplicate):
    history = History()
    history.on_epoch_end(0, {"loss": 1.0})
    assert duplicate(history).history == {"loss": [1.0]}


def test_repr_tells_how_the_run_went():
    history = History()
    assert repr(history) == "History(0 epochs)"
    history.on_epoch_end(0, {"loss": 2.0})
    assert repr(history) == "History(1 epoch, loss 2.0000)"
    history.on_epoch_end(1, {"loss": math.nan})
    assert repr(history) == "History(2 epochs, loss 2.0000 -> nan)"
