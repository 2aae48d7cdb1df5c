"""The learning rate changes between epochs as Keras's callbacks change it; resumed as otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.optim.schedules import ExponentialDecay
from chainrule.training.rates import LearningRateScheduler, ReduceLROnPlateau

from .monitoring import run, tiny_model

eighths = st.integers(-16, 16).map(lambda n: n / 8)  # whose sums are exact


def keras_says(values, *, sign, rate, factor, patience, min_delta, cooldown, min_lr):
    """Keras's rule for values that are numbers: the rate after each epoch."""
    best, wait, cooling, rates = sign * math.inf, 0, 0, []
    for value in values:
        if cooling > 0:
            cooling -= 1
            wait = 0
        if sign * value < sign * best - min_delta:
            best, wait = value, 0
        elif not cooling > 0:
            wait += 1
            if wait >= patience and rate > min_lr:
                rate = max(rate * factor, min_lr)
                cooling, wait = cooldown, 0
        rates.append(rate)
    return rates


plateaus = st.fixed_dictionaries(
    {
        "factor": st.sampled_from([0.5, 0.1]),
        "patience": st.integers(0, 3),
        "min_delta": st.sampled_from([0.0, 0.125, 0.5]),
        "cooldown": st.integers(0, 2),
        "min_lr": st.sampled_from([0.0, 0.03, 0.5, 1.0]),
    }
)


def rates_of(callback, values, model, **options):
    """The rate after each epoch."""
    rates = []
    known = callback.on_epoch_end

    def watched(epoch, logs=None):
        before = model.optimizer.learning_rate
        known(epoch, logs)
        assert logs["learning_rate"] == before
        rates.append(model.optimizer.learning_rate)

    callback.on_epoch_end = watched
    run(callback, values, model=model, **options)
    callback.on_epoch_end = known
    return rates


@given(st.lists(eighths, max_size=14), st.sampled_from(["min", "max"]), plateaus)
def test_the_rate_falls_where_keras_lowers_it(values, mode, options):
    reduce = ReduceLROnPlateau("loss", mode=mode, **options)
    sign = 1 if mode == "min" else -1
    expected = keras_says(values, sign=sign, rate=0.5, **options)
    assert rates_of(reduce, values, tiny_model()) == expected


@given(
    st.lists(eighths | st.just(math.nan), max_size=12),
    st.integers(0, 12),
    plateaus,
)
def test_a_resumed_plateau_goes_on_as_the_uninterrupted_one(values, cut, options):
    cut = min(cut, len(values))
    straight = rates_of(ReduceLROnPlateau("loss", **options), values, tiny_model())
    model, first, second = tiny_model(), *(ReduceLROnPlateau("loss", **options) for _ in "12")
    rates = rates_of(first, values[:cut], model, ends=False)
    state = first.state()
    rates += rates_of(second, values[cut:], model, first=cut, state=state)
    assert rates == straight


def test_a_new_run_begins_with_the_counts_at_zero():
    reduce, model = ReduceLROnPlateau("loss", patience=2, cooldown=3), tiny_model()
    rates_of(reduce, [1, 1, 1], model)
    assert reduce.cooldown_counter == 3
    assert rates_of(reduce, [5, 5], model) == [0.05, 0.05]
    assert (reduce.best, reduce.wait, reduce.cooldown_counter) == (5, 1, 0)


def test_a_plateau_prints_what_it_does(capsys):
    rates_of(ReduceLROnPlateau("loss", patience=1, verbose=1), [1, 1], tiny_model())
    text = capsys.readouterr().out
    assert text == "Epoch 2: ReduceLROnPlateau sets the learning rate to 0.05\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"monitor": "val_loss"}, "saved with monitor='val_loss'"),
        ({"mode": "max"}, "saved with mode='max'"),
        ({"more": 1}, "expected .*got"),
    ],
)
def test_a_plateau_refuses_the_state_of_another(change, message):
    reduce = ReduceLROnPlateau("loss")
    reduce.on_train_begin()
    state = {**reduce.state(), "best": 3.0, **change}
    with pytest.raises(ValueError, match=message):
        reduce.load_state(state)
    assert reduce.best is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"factor": 1.0}, ValueError, "factor must be between 0 and 1, as 0.1, got 1.0"),
        ({"factor": 0}, ValueError, "factor must be between 0 and 1"),
        ({"factor": None}, TypeError, "factor must be a number, got None"),
        ({"patience": -1}, ValueError, "patience must be at least 0"),
        ({"cooldown": 1.5}, TypeError, "cooldown must be an integer"),
        ({"min_lr": -1}, ValueError, "min_lr must be finite and not negative"),
        ({"min_delta": math.nan}, ValueError, "min_delta must be a number, got nan"),
        ({"mode": "up"}, ValueError, "mode must be"),
        ({"epsilon": 1e-4}, TypeError, "it is called min_delta"),
        ({"eps": 1e-4}, TypeError, "it is called min_delta"),
    ],
)
def test_a_plateau_checks_its_arguments(options, error, message):
    with pytest.raises(error, match=f"ReduceLROnPlateau: .*{message}"):
        ReduceLROnPlateau(**options)


def test_a_plateau_needs_its_value():
    reduce = ReduceLROnPlateau("val_loss")
    with pytest.raises(
        ValueError, match=r"ReduceLROnPlateau: monitor='val_loss'.*validation_data="
    ):
        run(reduce, [1.0], name="loss")


# A schedule by epochs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda epoch, rate: rate / 2, [0.25, 0.125, 0.0625]),
        (lambda epoch: 0.5 - epoch / 8, [0.5, 0.375, 0.25]),
        (lambda *arguments: arguments[1] / 2, [0.25, 0.125, 0.0625]),
        (lambda epoch, rate, factor=0.5: rate * factor, [0.25, 0.125, 0.0625]),
        (lambda epoch, **options: 1 - epoch / 8, [1.0, 0.875, 0.75]),
        (max, [0.5, 1.0, 2.0]),  # which does not say what it takes
        (lambda epoch: np.float32(0.25), [0.25] * 3),
        (lambda epoch: epoch, [0, 1, 2]),
    ],
)
def test_the_function_is_asked_before_each_epoch(schedule, expected):
    assert rates_of(LearningRateScheduler(schedule), [1.0] * 3, tiny_model()) == expected


def test_an_error_in_the_function_is_its_own():
    def schedule(epoch, rate):
        return rate + "1"

    with pytest.raises(TypeError, match="unsupported operand"):
        run(LearningRateScheduler(schedule), [1.0])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, r"what schedule\(0, 0.5\) returns must be a number, got None"),
        (math.nan, ValueError, r"what schedule\(0, 0.5\) returns must be a number, got nan"),
        (-1.0, ValueError, r"schedule\(0, 0.5\) returned -1.0; a learning rate is finite"),
        (math.inf, ValueError, r"returned inf"),
    ],
)
def test_what_cannot_be_a_rate_is_refused(value, error, message):
    model = tiny_model()
    with pytest.raises(error, match=f"LearningRateScheduler: .*{message}"):
        run(LearningRateScheduler(lambda epoch, rate: value), [1.0], model=model)
    assert model.optimizer.learning_rate == 0.5


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (0.1, r"must be a function \(epoch, rate\), got 0.1; a fixed rate"),
        (lambda: 0.1, r"\(epoch, rate\) or \(epoch\), got one of \(\)"),
        (lambda a, b, c: 0.1, r"got one of \(a, b, c\)"),
    ],
)
def test_what_is_no_schedule_is_refused_at_once(schedule, message):
    with pytest.raises(TypeError, match=message):
        LearningRateScheduler(schedule)


def test_a_run_taken_up_within_an_epoch_does_not_count_it_twice():
    model = tiny_model()
    first, second = (LearningRateScheduler(lambda epoch, rate: rate / 2) for _ in "12")
    rates_of(first, [1.0, 1.0], model, ends=False)
    first.on_epoch_begin(2)  # and here the run is cut off
    assert model.optimizer.learning_rate == 0.0625
    assert rates_of(second, [1.0] * 2, model, first=2, state=first.state()) == [0.0625, 0.03125]
    assert rates_of(second, [1.0], model, first=3) == [0.015625]  # another run, from there
    with pytest.raises(ValueError, match=r"expected 'scheduled', got \['best'\]"):
        second.load_state({"best": 1})


def test_a_schedule_prints_what_it_does(capsys):
    run(LearningRateScheduler(lambda epoch: 0.25, verbose=1), [1.0])
    text = capsys.readouterr().out
    assert text == "Epoch 1: LearningRateScheduler sets the learning rate to 0.25\n"


@pytest.mark.parametrize(
    "callback", [LearningRateScheduler(lambda epoch: 0.1), ReduceLROnPlateau("loss")]
)
def test_an_optimiser_with_a_schedule_is_refused(callback):
    model = tiny_model(learning_rate=ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(ValueError, match=r"already follows ExponentialDecay.*learning_rate=0.01"):
        run(callback, [1.0], model=model)


def test_the_history_has_the_rate_of_each_epoch():
    model, x = tiny_model(), np.ones((4, 3), "float32")
    callbacks = [ReduceLROnPlateau("loss", patience=1, min_delta=100.0)]
    history = model.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=callbacks)
    assert np.allclose(history.history["learning_rate"], [0.5, 0.5, 0.05])
