"""What callbacks remember goes into a checkpoint and comes back, each to its own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.training.callback_states import callback_states, load_callback_states
from chainrule.training.callbacks import Callback
from chainrule.training.history import History


class Counting(Callback):
    """Remembers a number."""

    def __init__(self, count=0):
        super().__init__()
        self.count = count

    def state(self):
        return {"count": self.count} if self.count else {}

    def load_state(self, state):
        if state["count"] < 0:
            raise ValueError("a count is not negative")
        self.count = state["count"]


class Other(Counting):
    """Another class of the same kind."""


def test_by_default_there_is_no_state_and_nothing_hinders_a_checkpoint():
    callback = Callback()
    assert callback.state() == {}
    callback.load_state({})
    assert callback.may_save() is True
    with pytest.raises(ValueError, match=r"Callback: load_state.*'count'.*overrides load_state"):
        callback.load_state({"count": 1})


def test_states_carry_the_names_of_their_classes_in_order():
    assert callback_states([Counting(3), Callback(), Other(4)]) == [
        {"name": "Counting", "state": {"count": 3}},
        {"name": "Callback", "state": {}},
        {"name": "Other", "state": {"count": 4}},
    ]


def test_each_state_goes_to_the_callback_of_its_class_in_the_order_of_the_class():
    saved = callback_states([Counting(1), Other(2), Counting(3), Callback()])
    callbacks = [Other(), Callback(), Counting(), Callback(), Counting(), Counting(9)]
    load_callback_states(callbacks, saved)
    assert [getattr(each, "count", None) for each in callbacks] == [2, None, 1, None, 3, 9]


def test_an_empty_state_needs_no_counterpart_and_still_counts_in_the_order():
    callbacks = [Counting(5), Counting(6)]
    load_callback_states(callbacks, callback_states([Counting(0), Counting(7), Callback()]))
    assert [each.count for each in callbacks] == [5, 7]


def test_a_state_without_a_callback_is_an_error_that_names_it_and_changes_nothing():
    saved = callback_states([Counting(1), Other(2), Other(3)])
    present = Counting(8)
    with pytest.raises(ValueError, match=r"fit: .* lacks: 2 Others \(given: 1 Counting\)"):
        load_callback_states([present], saved)
    assert present.count == 8
    with pytest.raises(ValueError, match=r"lacks: Counting, 2 Others \(given: none\)"):
        load_callback_states([], saved)


def test_a_state_that_does_not_fit_names_the_callback():
    saved = [{"name": "Counting", "state": {"count": -1}}]
    with pytest.raises(
        ValueError, match=r"callback Counting \(callbacks\[1\]\).*does not fit.*not negative"
    ):
        load_callback_states([Callback(), Counting()], saved)
    with pytest.raises(
        ValueError, match=r"Counting \(callbacks\[0\]\).*KeyError\('count'\)|'count'"
    ):
        load_callback_states([Counting()], [{"name": "Counting", "state": {"counts": 1}}])


@pytest.mark.parametrize("name", ["state", "load_state"])
def test_an_attribute_that_hides_the_method_is_an_error_only_when_it_is_needed(name):
    class Mine(Callback):
        def on_train_begin(self, logs=None):
            setattr(self, name, "fine")

    mine = Mine()
    mine.on_train_begin()
    with pytest.raises(TypeError, match=rf"Mine \(callbacks\[0\]\).*'{name}' \(str\) hides"):
        if name == "state":
            callback_states([mine])
        load_callback_states([mine], [{"name": "Mine", "state": {"a": 1}}])


def test_a_state_that_is_no_dict_is_named():
    class Mine(Callback):
        def state(self):
            return None

    with pytest.raises(TypeError, match=r"Mine \(callbacks\[1\]\): state\(\) must return a dict"):
        callback_states([Callback(), Mine()])


values = st.floats(allow_nan=True, allow_infinity=True)
epochs = st.lists(st.dictionaries(st.sampled_from(["loss", "val_loss"]), values), max_size=5)


@given(epochs, epochs)
def test_a_history_goes_on_as_if_there_had_been_no_interruption(before, after):
    straight, first, second = History(), History(), History()
    for epoch, logs in enumerate(before):
        straight.on_epoch_end(epoch, logs)
        first.on_epoch_end(epoch, logs)
    state = first.state()
    second.on_epoch_end(7, {"other": 1.0})
    second.on_train_begin()
    second.load_state(state)
    for epoch, logs in enumerate(after, len(before)):
        straight.on_epoch_end(epoch, logs)
        second.on_epoch_end(epoch, logs)
    assert straight.epoch == second.epoch
    assert list(straight.history) == list(second.history)
    for name, series in straight.history.items():
        pairs = zip(series, second.history[name], strict=True)
        assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)
    assert state == first.state() or any(
        math.isnan(value) for each in first.history.values() for value in each
    )  # what was loaded is a copy: going on has not changed it


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": [0]},
        {"epoch": [0], "history": {"loss": [1.0, 2.0]}},
        {"epoch": [0], "history": {"loss": ["high"]}},
        {"epoch": [0], "history": [1.0]},
        {"epoch": 3, "history": {}},
    ],
)
def test_a_history_refuses_another_state_and_stays_as_it_is(state):
    history = History()
    history.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(ValueError, match="History: load_state"):
        history.load_state(state)
    assert (history.epoch, history.history) == ([0], {"loss": [1.0]})
