"""Training ends when nothing gets better, when a goal is met, and on NaN; resumed as otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.layers import Dense
from chainrule.training.callback_states import callback_states
from chainrule.training.metrics import BinaryAccuracy, FunctionMetric
from chainrule.training.sequential import Sequential
from chainrule.training.stopping import EarlyStopping, TerminateOnNaN

from .monitoring import mark, marked, run, tiny_model


def keras_says(values, *, sign, min_delta, patience, baseline, start_from_epoch):
    """Keras's rule for values that are numbers: the last epoch, the best, whether it stopped."""
    worst = sign * math.inf
    best, best_epoch, wait, has_weights = worst, 0, 0, False
    for epoch, value in enumerate(values):
        if epoch < start_from_epoch:
            continue
        if not has_weights:
            has_weights, best_epoch = True, epoch
        wait += 1
        if sign * value + min_delta < sign * best:
            best, best_epoch = value, epoch
            if baseline is None or sign * value + min_delta < sign * baseline:
                wait = 0
            continue
        if wait >= patience and epoch > 0:
            return epoch, best_epoch if has_weights else None, True
    return len(values) - 1, best_epoch if has_weights else None, False


eighths = st.integers(-16, 16).map(lambda n: n / 8)  # whose sums are exact
arguments = st.fixed_dictionaries(
    {
        "min_delta": st.sampled_from([0, 0.125, 0.5]),
        "patience": st.integers(0, 3),
        "baseline": st.none() | eighths,
        "start_from_epoch": st.integers(0, 3),
    }
)


@settings(max_examples=300)
@given(st.lists(eighths, min_size=1, max_size=12), st.sampled_from(["min", "max"]), arguments)
@example(
    [2.0, 1.5, 2.0, 0.0],
    "min",
    {"min_delta": 0, "patience": 2, "baseline": 1.0, "start_from_epoch": 0},
)
def test_it_stops_and_restores_where_keras_does(values, mode, options):
    stop = EarlyStopping("loss", mode=mode, **options)
    model, last = run(stop, values)
    sign = 1 if mode == "min" else -1
    expected_last, best_epoch, stopped = keras_says(values, sign=sign, **options)
    assert (last, model.stop_training) == (expected_last, stopped)
    assert stop.stopped_epoch == (expected_last if stopped else 0)
    if best_epoch is None:
        assert stop.best_weights is None and marked(model) == last
    else:
        assert stop.best_epoch == best_epoch
        assert marked(model) == best_epoch
        assert stop.best == values[best_epoch]


values_and_nan = st.lists(eighths | st.sampled_from([math.nan, math.inf]), max_size=10)


@given(values_and_nan, st.integers(0, 10), arguments, st.none() | eighths)
def test_a_resumed_run_ends_as_the_uninterrupted_one(values, cut, options, target):
    made = lambda: EarlyStopping("loss", target=target, **options)  # noqa: E731
    straight, first, second = made(), made(), made()
    model, last = run(straight, values)
    run(first, values[:cut], ends=False)
    (saved,) = callback_states([first])
    resumed, resumed_last = run(second, values[cut:], first=min(cut, 10), state=saved["state"])
    if len(values) > cut and not first._has_stopped:
        assert resumed_last == last
    assert resumed.stop_training == model.stop_training
    for name in ("wait", "best", "best_epoch", "stopped_epoch"):
        assert getattr(second, name) == getattr(straight, name)
    if straight.best_weights is None:
        assert second.best_weights is None
    else:
        assert marked(resumed) == marked(model) == straight.best_epoch


@given(values_and_nan, st.sampled_from(["min", "max"]), st.integers(0, 2))
def test_nan_is_never_better_and_counts_as_an_epoch_without_a_better_one(values, mode, patience):
    stop, same = EarlyStopping("loss", patience=patience, mode=mode), None
    _, last = run(stop, values)
    worst = math.inf if mode == "min" else -math.inf
    if values and not math.isnan(values[0]) and abs(values[0]) < math.inf:
        same = EarlyStopping("loss", patience=patience, mode=mode)
        _, same_last = run(same, [worst if math.isnan(value) else value for value in values])
        assert (last, stop.best, stop.wait) == (same_last, same.best, same.wait)
    assert stop.best is None or not math.isnan(stop.best)


def test_where_no_value_is_a_number_the_last_weights_stay():
    stop = EarlyStopping("loss", patience=3)
    model, last = run(stop, [math.nan] * 9)
    assert (last, stop.stopped_epoch, stop.best, marked(model)) == (2, 2, None, 2)


@pytest.mark.parametrize(
    ("mode", "values", "target", "last"),
    [
        ("min", [3, 2, 1, 0], 1, 2),
        ("min", [3, 2, 1, 0], 1.5, 2),
        ("min", [0.5, 9], 1, 0),
        ("max", [0.1, 0.5, 0.9], 0.5, 1),
        ("min", [3, 4, 5, math.nan, 5, 6, 1, 0], 1, 6),  # nothing ends it before: no patience
        ("min", [3, 2], 1, 1),
        ("max", [math.nan, 1], 0.5, 1),
    ],
)
def test_a_target_ends_the_training_as_soon_as_it_is_reached(mode, values, target, last):
    stop = EarlyStopping("loss", mode=mode, target=target)
    model, found = run(stop, values)
    met = values[last] >= target if mode == "max" else values[last] <= target
    assert (found, model.stop_training) == (last, met)
    assert not met or (marked(model) == last and stop.best == values[last])


def test_the_weights_that_reached_the_target_are_kept_however_small_the_step_to_it():
    stop = EarlyStopping("loss", min_delta=0.5, target=1.0)
    model, last = run(stop, [1.25, 1.0, 0.0])
    assert (last, marked(model), stop.best) == (1, 1, 1.0)


def test_with_a_patience_the_target_is_one_of_two_ends():
    assert run(EarlyStopping("loss", patience=2, target=0), [3, 4, 5, 0])[1] == 2
    assert run(EarlyStopping("loss", patience=4, target=0), [3, 4, 5, 0, 9])[1] == 3
    assert run(EarlyStopping("loss", target=0, start_from_epoch=2), [0, 0, 0, 0])[1] == 2


def test_without_restoring_the_last_weights_stay_and_none_are_kept():
    stop = EarlyStopping("loss", patience=2, restore_best_weights=False)
    model, last = run(stop, [1, 2, 3])
    assert (last, marked(model), stop.best_weights, stop.state()["best_weights"]) == (
        2,
        2,
        None,
        None,
    )


def test_a_new_run_forgets_the_old_one():
    stop = EarlyStopping("loss")
    run(stop, [1, 2])
    assert run(stop, [5, 6])[1] == 1
    assert stop.best == 5


def test_a_run_that_an_error_ends_before_the_first_step_leaves_the_weights_alone():
    stop, model = EarlyStopping("loss"), tiny_model()
    run(stop, [1, 2], model=model)
    mark(model, 7)
    x = np.zeros((4, 3), "float32")

    def fails(logs):
        raise ValueError("of another callback")

    before = cr.callbacks.LambdaCallback(on_train_begin=fails)
    with pytest.raises(ValueError, match="of another callback"):
        model.fit(x, x[:, :1], verbose=0, callbacks=[before, stop])
    assert marked(model) == 7


def test_the_state_is_no_copy_and_is_never_changed_afterwards():
    stop = EarlyStopping("loss", patience=9)
    model, _ = run(stop, [2, 1], ends=False)
    state = stop.state()
    assert all(a is b for a, b in zip(state["best_weights"], stop.best_weights, strict=True))
    run(stop, [0.5], model=model, first=2, state=state, ends=False)
    assert {float(value) for weight in state["best_weights"] for value in weight.ravel()} == {1.0}
    assert (state["best"], stop.best) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"monitor": "val_loss"}, "saved with monitor='val_loss', and this one has monitor='loss'"),
        ({"mode": "max"}, "saved with mode='max'"),
        ({"best_weights": [np.zeros(3)]}, r"shapes \[\(3,\)\], the model's \[\(3, 2\)"),
        ({"wait": None}, "missing"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    stop = EarlyStopping("loss", patience=9)
    model, _ = run(stop, [2, 1], ends=False)
    state = {**stop.state(), **change}
    if change == {"wait": None}:
        del state["wait"]
    fresh = EarlyStopping("loss")
    with pytest.raises(ValueError, match=message):
        run(fresh, [], model=model, state=state)
    assert (fresh.best, fresh.wait, fresh.best_weights) == (None, 0, None)


def test_a_resumed_run_that_was_stopped_is_at_its_end():
    first = EarlyStopping("loss")
    run(first, [1, 2], ends=False)
    model, last = run(EarlyStopping("loss"), [9, 9, 9], first=2, state=first.state())
    assert (last, marked(model)) == (1, 0)


def test_what_it_prints(capsys):
    run(EarlyStopping("loss", verbose=1), [1, 2])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2: early stopping",
        "Restoring the weights of the best epoch: 1",
    ]
    run(EarlyStopping("loss"), [1, 2])
    assert not capsys.readouterr().out


# What is monitored --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "logs", "message"),
    [
        ("val_loss", {"loss": 1.0}, r"given: loss; .*validation_data=\(x, y\).*monitor='loss'"),
        ("val_accuracy", {"loss": 1.0}, r"given: loss; .*validation_data=\(x, y\)"),
        ("accuracy", {"loss": 1.0, "mse": 2.0}, r"given: loss, mse; .*metrics=\[\.\.\.\]"),
        ("loss", None, "given: nothing"),
    ],
)
def test_a_value_that_is_not_there_is_an_error_at_the_first_epoch_s_end(monitor, logs, message):
    stop = EarlyStopping(monitor, start_from_epoch=5)
    stop.on_train_begin()
    with pytest.raises(ValueError, match=f"EarlyStopping: monitor='{monitor}'.*{message}"):
        stop.on_epoch_end(0, logs)
    stop = EarlyStopping("loss")
    with pytest.raises(TypeError, match="must be a number in the logs, got 'high'"):
        stop.on_epoch_end(0, {"loss": "high"})


@pytest.mark.parametrize(
    ("monitor", "values", "last"),
    [
        ("loss", [3, 2, 3, 2], 2),
        ("val_loss", [3, 2, 3, 2], 2),
        ("val_rotation_loss", [3, 2, 3, 2], 2),
        ("mse", [3, 2, 3, 2], 2),
        ("accuracy", [0.1, 0.2, 0.1, 0.3], 2),
        ("val_acc", [0.1, 0.2, 0.1, 0.3], 2),
        ("val_sparse_categorical_accuracy", [0.1, 0.2, 0.1, 0.3], 2),
        ("auc", [0.1, 0.2, 0.1, 0.3], 2),
        ("acc_error", [3, 2, 3, 2], 2),
    ],
)
def test_the_direction_shows_by_the_name(monitor, values, last):
    assert run(EarlyStopping(monitor), values, name=monitor)[1] == last


def test_a_metric_of_the_model_says_which_is_better():
    share = BinaryAccuracy(name="share")
    assert run(EarlyStopping("val_share"), [1, 2, 1], name="val_share", model=tiny_model([share]))[
        1
    ]
    distance = FunctionMetric(lambda y_true, y_pred: abs(y_true - y_pred)[:, 0], name="accident")
    distance.higher_is_better = False
    stop = EarlyStopping("accident")
    assert run(stop, [3, 2, 3], name="accident", model=tiny_model([distance]))[1] == 2


def test_a_direction_that_cannot_be_known_is_an_error_before_the_first_step():
    def r2(y_true, y_pred):
        return y_pred[:, 0]

    model, x = tiny_model([r2]), np.zeros((4, 3), "float32")
    with pytest.raises(ValueError, match=r"EarlyStopping: .*'r2'.*mode='max'"):
        model.fit(x, x[:, :1], verbose=0, callbacks=[EarlyStopping("r2")])
    assert model.history.epoch == []
    model.fit(x, x[:, :1], verbose=0, callbacks=[EarlyStopping("r2", mode="max")])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"monitor": 3}, TypeError, "monitor must be a name such as 'val_loss', got 3"),
        ({"mode": "maximum"}, ValueError, "mode must be 'min'.*got 'maximum'"),
        ({"patience": -1}, ValueError, "patience must be at least 0, got -1"),
        ({"patience": 2.5}, TypeError, "patience must be an integer"),
        ({"min_delta": "small"}, TypeError, "min_delta must be a number, got 'small'"),
        ({"min_delta": math.nan}, ValueError, "min_delta must be a number, got nan"),
        ({"baseline": math.nan}, ValueError, "baseline must be a number, got nan"),
        ({"target": math.nan}, ValueError, "target must be a number, got nan"),
        ({"target": True}, TypeError, "target must be a number, got True"),
        ({"restore_best_weights": 1}, TypeError, "restore_best_weights must be True or False"),
        ({"start_from_epoch": -1}, ValueError, "start_from_epoch must be at least 0"),
        ({"metric": "loss"}, TypeError, "no argument 'metric'; it is called monitor"),
        ({"threshold": 0.1}, TypeError, "it is called min_delta"),
    ],
)
def test_arguments_are_checked(options, error, message):
    with pytest.raises(error, match=f"EarlyStopping: .*{message}"):
        EarlyStopping(**options)


def test_in_fit_the_model_has_the_best_weights_afterwards():
    cr.seed(0)
    x = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
    model = tiny_model(learning_rate=0.9)
    kept = []
    watch = cr.callbacks.LambdaCallback(on_epoch_end=lambda *_: kept.append(model.get_weights()))
    stop = EarlyStopping("val_loss", patience=3)
    history = model.fit(
        x, x[:, :1], epochs=30, verbose=0, callbacks=[watch, stop], validation_data=(x, x[:, :1])
    )
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert stop.best_epoch == best and stop.best == losses[best]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), kept[best], strict=True))
    assert len(losses) == 30 or len(losses) == stop.stopped_epoch + 1


# NaN ----------------------------------------------------------------------------------------------


def guarded(model):
    guard = TerminateOnNaN()
    guard.set_model(model)
    guard.on_train_begin()
    return guard


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_loss_that_is_not_finite_ends_the_training_with_a_warning_that_says_where(bad):
    model = tiny_model()
    guard = guarded(model)
    guard.on_epoch_begin(3)
    guard.on_train_batch_end(0, {"loss": 1.0})
    guard.on_train_batch_end(1, {})
    assert not model.stop_training and guard.may_save()
    with pytest.warns(RuntimeWarning, match=rf"loss is {float(bad)} after batch 3 of epoch 4;"):
        guard.on_train_batch_end(2, {"loss": bad})
    assert model.stop_training and not guard.may_save()
    assert (guard.epoch, guard.batch) == (3, 2)
    guard.on_train_batch_end(3, {"loss": bad})  # says it once
    guard.on_train_begin()
    assert guard.may_save() and guard.epoch is None


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_checkpoint_is_written_of_weights_that_are_not_finite(index, bad):
    model = tiny_model()
    weights = model.get_weights()
    weights[index].ravel()[-1] = bad
    model.set_weights(weights)
    guard = guarded(model)
    guard.on_epoch_begin(0)
    guard.on_train_batch_end(4, {"loss": 1.0})
    name = model.named_weights()[index][0]
    with pytest.warns(
        RuntimeWarning, match=rf"weight '{name}', .* not finite.* batch 5 of epoch 1"
    ):
        assert not guard.may_save()
    assert model.stop_training
    assert not guard.may_save()


def test_a_run_taken_up_within_an_epoch_knows_the_batch_only():
    guard = guarded(tiny_model())
    with pytest.warns(RuntimeWarning, match=r"loss is nan after batch 3; the training ends there"):
        guard.on_train_batch_end(2, {"loss": math.nan})
    assert (guard.epoch, guard.batch) == (None, 2)


def test_weights_are_found_wanting_before_the_first_epoch_too():
    model = tiny_model()
    model.set_weights([weight + math.nan for weight in model.get_weights()])
    with pytest.warns(RuntimeWarning, match=r"is not finite; the training ends there"):
        assert not guarded(model).may_save()


def test_weights_are_looked_at_and_restored_where_they_are():
    model = tiny_model().to("emulated")
    stop, guard = EarlyStopping("loss", patience=2), guarded(model)
    run(stop, [3, 1, 2, 2], model=model)
    assert marked(model) == 1 and guard.may_save()
    assert {weight.device for _, weight in model.named_weights()} == {"emulated"}
    mark(model, math.inf)
    with pytest.warns(RuntimeWarning, match="is not finite"):
        assert not guard.may_save()


@settings(max_examples=10)
@given(st.integers(0, 3), st.integers(0, 1))
def test_in_fit_training_ends_after_the_batch(batch, epoch):
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    x, seen = np.ones((8, 1), "float32"), []

    def spoil(index, logs):
        if (index, len(model.history.epoch)) == (batch, epoch):
            model.set_weights([weight + math.nan for weight in model.get_weights()])

    callbacks = [
        cr.callbacks.LambdaCallback(
            on_train_batch_begin=spoil, on_train_batch_end=lambda index, logs: seen.append(index)
        ),
        TerminateOnNaN(),
    ]
    with pytest.warns(RuntimeWarning, match=f"batch {batch + 1} of epoch {epoch + 1};"):
        model.fit(x, x, batch_size=2, epochs=9, verbose=0, callbacks=callbacks)
    assert len(seen) == 4 * epoch + batch + 1
