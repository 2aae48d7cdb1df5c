"""The training loop: what it computes, what it prints, what it calls, and what it refuses."""

from __future__ import annotations

import copy
import gc
import io
import re
import subprocess
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.layers import Dense, Flatten, Layer, Softmax
from chainrule.losses import BinaryCrossentropy, CategoricalCrossentropy, HalfSquaredError
from chainrule.metrics import BinaryAccuracy, Metric
from chainrule.models import Model, Sequential
from chainrule.optim import SGD, Adam
from chainrule.training.callbacks import HOOKS, Callback, LambdaCallback

EPS = np.finfo(np.float64).eps
seeds = st.integers(0, 2**32 - 1)


def data(samples=20, features=3, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, features)), rng.integers(0, classes, samples)


def classifier(loss="sparse_categorical_crossentropy", classes=4, optimizer="sgd", **options):
    model = Sequential(
        [
            Dense(5, activation="tanh", dtype="float64"),
            Dense(classes, activation="softmax", dtype="float64"),
        ]
    )
    model.compile(optimizer, loss, **options)
    return model


def weights_equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# It learns --------------------------------------------------------------------------------------


def test_xor_is_learnt_without_a_word(capsys):
    cr.seed(0)
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    model = Sequential([Dense(8, activation="tanh"), Dense(1, activation="sigmoid")])
    model.compile(Adam(learning_rate=0.05), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=200, verbose=0)
    assert history.history["accuracy"][-1] == 1.0
    assert model.evaluate(x, y, verbose=0)[1] == 1.0
    assert ((model.predict(x) > 0.5) == y).all()
    assert capsys.readouterr() == ("", "")


def test_one_step_is_the_derivations():
    """W ← W - α ∂J/∂W, with the gradients of 4.3 written out for one layer."""
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(6, 3)), rng.random((6, 2))
    model = Sequential([Dense(2, activation="sigmoid", dtype="float64")])
    model.build((None, 3))
    W, b = model.get_weights()
    b += rng.normal(size=2)
    model.set_weights([W, b])
    model.compile(SGD(learning_rate=0.5), HalfSquaredError(reduction="sum"))
    model.fit(x, target, batch_size=6, verbose=0)
    y = 1 / (1 + np.exp(-(x @ W + b)))
    delta = (y - target) * y * (1 - y)
    np.testing.assert_allclose(model.get_weights()[0], W - 0.5 * x.T @ delta, rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[1], b - 0.5 * delta.sum(axis=0), rtol=1e-12)


# Softmax and cross-entropy as one ---------------------------------------------------------------


class Unfused(Layer):
    """A layer that hides what its last activation is."""

    def __init__(self, inner):
        super().__init__(dtype=inner.dtype)
        self.inner = inner

    def call(self, x):
        return self.inner(x)


KINDS = {
    "categorical_crossentropy": ("softmax", lambda rng, n: np.eye(4)[rng.integers(0, 4, n)]),
    "sparse_categorical_crossentropy": ("softmax", lambda rng, n: rng.integers(0, 4, n)),
    "binary_crossentropy": ("sigmoid", lambda rng, n: rng.integers(0, 2, (n, 4))),
}


@pytest.mark.parametrize("loss", KINDS)
@given(seed=seeds, samples=st.integers(1, 8), scale=st.sampled_from([0.1, 1.0, 2.0]))
@settings(max_examples=10, deadline=None)
def test_fused_equals_unfused(loss, seed, samples, scale):
    activation, targets = KINDS[loss]
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (samples, 3)), targets(rng, samples)
    last = Dense(4, activation=activation, dtype="float64")
    models = Sequential([last]), Sequential([Unfused(last)])
    models[0].build((None, 3))
    last.kernel.assign(rng.uniform(-scale, scale, (3, 4)))
    values, gradients = [], []
    for model in models:
        model.compile(SGD(learning_rate=1e-30), loss)  # 1 + 1e-30 is 1: nothing is changed
        values.append([model.train_on_batch(x, y), model.evaluate(x, y, verbose=0)])
        gradients.append([last.kernel.grad.numpy().copy(), last.bias.grad.numpy().copy()])
    assert [model._objective.fused for model in models] == [True, False]
    # Logits are at most 6 = 3 * scale, probabilities and 1 - p at least e^-13: what is lost in them
    # is less than EPS * e^13 each, and a gradient sums `samples` of them.
    bound = np.exp(13) * EPS
    np.testing.assert_allclose(values[0], values[1], rtol=0, atol=bound)
    for fused, plain in zip(*gradients, strict=True):
        assert np.abs(fused).max() > 1e-6
        np.testing.assert_allclose(fused, plain, rtol=0, atol=samples * bound)


@pytest.mark.parametrize("loss", KINDS)
def test_no_overflow_and_no_lost_gradient_at_logits_of_ten_thousand(loss):
    activation, _ = KINDS[loss]
    model = Sequential([Dense(2, activation=activation)])
    model.build((None, 2))
    model.set_weights([np.array([[1e4, -1e4], [-1e4, 1e4]]), np.zeros(2)])
    model.compile(SGD(learning_rate=1e-30), loss)
    x = np.eye(2)
    y = {"c": np.eye(2)[::-1], "s": np.array([1, 0]), "b": np.eye(2, dtype=int)[::-1]}[loss[0]]
    expected = 1e4 if activation == "sigmoid" else 2e4
    assert model.train_on_batch(x, y) == model.evaluate(x, y, verbose=0) == expected
    gradient = model.layers[0].kernel.grad.numpy()
    share = 0.25 if activation == "sigmoid" else 0.5
    np.testing.assert_array_equal(gradient, [[share, -share], [-share, share]])
    probabilities = model.predict(x)
    np.testing.assert_array_equal(probabilities, np.eye(2))


def test_when_it_is_fused():
    softmax, linear = Dense(3, activation="softmax"), Dense(3)
    for layers, loss, fused in (
        ([softmax], "categorical_crossentropy", True),
        ([linear, Softmax()], "categorical_crossentropy", True),
        ([Sequential([softmax])], "categorical_crossentropy", True),
        ([linear, Softmax(axis=1)], "categorical_crossentropy", False),
        ([softmax], CategoricalCrossentropy(from_logits=True), False),
        ([linear], CategoricalCrossentropy(from_logits=True), False),
        ([softmax], "mse", False),
        ([softmax], "binary_crossentropy", False),
        ([Dense(3, activation="sigmoid")], "binary_crossentropy", True),
        ([Dense(3, activation="sigmoid")], "categorical_crossentropy", False),
        ([softmax, Flatten()], "categorical_crossentropy", False),
    ):
        model = Sequential(layers)
        model.compile("sgd", loss)
        assert model._objective.fused is fused, (layers, loss)


def test_layers_that_come_after_compile_are_seen():
    model = Sequential([Dense(3)])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    model.add(Softmax())
    model.fit(np.ones((2, 2)), np.eye(3)[:2], verbose=0)
    assert model._objective.fused


class Seen(Metric):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__("seen")
        self.given = []

    def values(self, y_true, y_pred):
        self.given.append(y_pred.copy())
        return np.zeros(len(y_pred))


def test_metrics_see_probabilities_also_where_the_loss_sees_logits():
    x, y = data()
    seen = Seen()
    model = classifier(
        metrics=[seen, "accuracy", "mae" if False else "sparse_categorical_accuracy"]
    )
    found = model.evaluate(x, y, verbose=0)
    assert model._objective.fused
    np.testing.assert_array_equal(seen.given[-1], model.predict(x))
    accuracy = (model.predict(x).argmax(axis=-1) == y).mean()
    assert found[2] == found[3] == accuracy


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_binary_accuracy_of_a_fused_sigmoid_keeps_its_threshold(threshold):
    x, _ = data()
    y = np.random.default_rng(1).integers(0, 2, (20, 1))
    model = Sequential([Dense(1, activation="sigmoid")])
    metrics = [BinaryAccuracy(threshold, name="own"), "accuracy", "binary_accuracy"]
    model.compile("sgd", "binary_crossentropy", metrics=metrics)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.predict(x)
    assert found["own"] == ((p > threshold) == y).mean()
    assert found["accuracy"] == found["binary_accuracy"] == ((p > 0.5) == y).mean()


# Averages ---------------------------------------------------------------------------------------


@given(seed=seeds, samples=st.integers(1, 25), batch=st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_averages_are_over_samples_whatever_the_batches(seed, samples, batch):
    x, y = data(samples, seed=seed)
    model = classifier(metrics=["accuracy"])
    whole = model.evaluate(x, y, batch_size=samples, verbose=0)
    parts = model.evaluate(x, y, batch_size=batch, verbose=0)
    assert parts == pytest.approx(whole, rel=64 * EPS)
    np.testing.assert_allclose(
        model.predict(x, batch_size=batch), model.predict(x, batch_size=samples), rtol=64 * EPS
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_told_is_per_sample_whatever_the_reduction(reduction):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    model = Sequential([Dense(2, dtype="float64")])
    model.compile(SGD(learning_rate=1e-30), HalfSquaredError(reduction=reduction))
    expected = 0.5 * ((model.predict(x) - y) ** 2).sum() / 7
    assert model.evaluate(x, y, batch_size=3, verbose=0) == pytest.approx(expected, rel=1e-12)
    history = model.fit(x, y, batch_size=3, verbose=0)
    assert history.history["loss"] == pytest.approx([expected], rel=1e-12)
    assert model.test_on_batch(x, y) == pytest.approx(expected, rel=1e-12)


def test_sequences_average_over_samples_and_positions():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 6, 3)), rng.integers(0, 4, (5, 6))
    model = classifier(metrics=["accuracy"])
    loss, accuracy = model.evaluate(x, y, batch_size=2, verbose=0)
    p = model.predict(x)
    expected = -np.log(np.take_along_axis(p, y[..., None], -1)).mean()
    assert loss == pytest.approx(expected, rel=1e-12)
    assert accuracy == pytest.approx((p.argmax(-1) == y).mean(), rel=1e-12)


def test_validation_is_an_evaluation():
    (x, y), (x_val, y_val) = data(), data(7, seed=1)
    model = classifier(metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, validation_data=(x_val, y_val), batch_size=3, verbose=0)
    loss, accuracy = model.evaluate(x_val, y_val, batch_size=3, verbose=0)
    assert history.history["val_loss"][-1] == loss
    assert history.history["val_accuracy"][-1] == accuracy
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]


# Reproducible -----------------------------------------------------------------------------------

SCRIPT = """
import numpy as np, chainrule as cr
from chainrule.layers import Dense
from chainrule.models import Sequential

def run():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    cr.seed(5)
    model = Sequential([Dense(16, activation="relu"), Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=8, validation_split=0.2, verbose=0)
    weights = b"".join(each.tobytes() for each in model.get_weights())
    return weights.hex() + repr(history.history)

print(run())
"""


def test_a_seed_makes_a_run_reproducible_bit_by_bit_in_one_process_and_in_two():
    space: dict = {"print": lambda text: None}
    exec(SCRIPT, space)
    first, second = space["run"](), space["run"]()
    assert first == second
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == first
    cr.seed(6)
    assert space["run"]() == first
    space = {"print": lambda text: None}
    exec(SCRIPT.replace("cr.seed(5)", "cr.seed(6)"), space)
    assert space["run"]() != first


def test_training_goes_on_where_it_ended():
    """Two epochs and two more are four, shuffling and optimiser included."""
    x, y = data()
    results = []
    for parts in ([4], [2, 4]):
        cr.seed(3)
        model = classifier(optimizer=Adam(learning_rate=0.01))
        done, losses = 0, []
        for last in parts:
            run = model.fit(x, y, epochs=last, initial_epoch=done, batch_size=6, verbose=0)
            assert run.epoch == list(range(done, last))
            losses, done = losses + run.history["loss"], last
        results.append((model.get_weights(), losses))
    assert weights_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def order_of(**options):
    """The samples in the order in which `fit` goes through them, as lists, one for each batch."""
    cr.seed(1)
    seen, x = [], np.arange(10.0).reshape(10, 1)

    class Spy(Layer):
        def call(self, x):
            seen.append(x.numpy().ravel().tolist())
            return x

    model = Sequential([Spy(), Dense(1)])
    model.compile("sgd", "mse")
    model.build((None, 1))
    model.predict(x)
    seen.clear()
    model.fit(x, x, batch_size=4, verbose=0, **options)
    return seen


def test_every_epoch_goes_through_all_samples_in_a_new_order():
    trial, again, *seen = order_of(epochs=2)
    assert trial == again == [0]
    assert [len(batch) for batch in seen] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert (first != second).any()
    _, _, *seen = order_of(epochs=2, shuffle=False)
    np.testing.assert_array_equal(np.concatenate(seen), [*range(10), *range(10)])


def test_the_validation_split_is_drawn_from_all_samples_with_the_seed():
    runs = [order_of(validation_split=0.3, shuffle=False) for _ in range(2)]
    assert runs[0] == runs[1]
    training, held_out = np.concatenate(runs[0][3:5]), np.concatenate(runs[0][5:])
    assert len(held_out) == 3
    assert sorted([*training, *held_out]) == list(range(10))
    assert sorted(held_out) != [7, 8, 9]


# Output and callbacks ---------------------------------------------------------------------------


def test_the_printed_lines_are_those_of_section_5_4(capsys):
    x, y = data(40)
    model = classifier(metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=16, validation_data=(x, y))
    model.evaluate(x, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert lines[2] == "Epoch 2/2"
    number = r"\d\.\d{4}"
    bar = r"\d+/{} \[=+\] - \ds \d+(us|ms)/step"
    values = rf" - loss: {number} - accuracy: {number}"
    validation = rf" - val_loss: {number} - val_accuracy: {number}"
    assert re.fullmatch(bar.format(3) + values + validation, lines[1])
    assert re.fullmatch(bar.format(2) + values, lines[4])
    model.fit(x, y, verbose=2)
    model.predict(x, verbose=1)
    assert "[" not in capsys.readouterr().out.splitlines()[0]


class Diary(Callback):
    def __init__(self):
        super().__init__()
        self.calls = []


def _entry(hook):
    return lambda self, *arguments: self.calls.append((hook, *arguments[:-1], set(arguments[-1])))


for _hook in HOOKS:
    setattr(Diary, _hook, _entry(_hook))


def test_hooks_are_called_in_keras_order_with_their_logs():
    x, y = data(4)
    model, diary = classifier(metrics=["accuracy"]), Diary()
    model.fit(x, y, batch_size=4, validation_data=(x, y), verbose=0, callbacks=diary)
    names, both = {"loss", "accuracy"}, {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert diary.calls == [
        ("on_train_begin", set()),
        ("on_epoch_begin", 0, set()),
        ("on_train_batch_begin", 0, set()),
        ("on_train_batch_end", 0, names),
        ("on_test_begin", set()),
        ("on_test_batch_begin", 0, set()),
        ("on_test_batch_end", 0, names),
        ("on_test_end", names),
        ("on_epoch_end", 0, both),
        ("on_train_end", both),
    ]
    assert diary.model is model
    assert diary.params == {"epochs": 1, "steps": 1, "verbose": 0}
    diary.calls.clear()
    model.evaluate(x, y, callbacks=[diary], verbose=0)
    assert [call[0] for call in diary.calls] == [
        "on_test_begin",
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_test_end",
    ]
    diary.calls.clear()
    model.predict(x, callbacks=[diary])
    assert [call[0] for call in diary.calls] == [
        "on_predict_begin",
        "on_predict_batch_begin",
        "on_predict_batch_end",
        "on_predict_end",
    ]


def test_a_callback_stops_the_training_after_the_batch_or_the_epoch():
    x, y = data()
    model = classifier()

    def stop(*_):
        model.stop_training = True

    history = model.fit(x, y, epochs=9, verbose=0, callbacks=[LambdaCallback(on_epoch_end=stop)])
    assert history.epoch == [0]
    steps = []
    model.fit(
        x,
        y,
        epochs=9,
        batch_size=5,
        verbose=0,
        callbacks=[
            LambdaCallback(on_train_batch_end=stop),
            LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch)),
        ],
    )
    assert steps == [0]
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]


def test_an_evaluation_inside_of_a_run_does_not_disturb_its_averages():
    x, y = data()
    results = []
    for nested in (False, True):
        cr.seed(0)
        model = classifier(metrics=["accuracy"])
        inner = LambdaCallback(
            on_train_batch_end=lambda *_: nested and model.evaluate(x[:3], y[:3], verbose=0)  # noqa: B023
        )
        results.append(model.fit(x, y, batch_size=4, verbose=0, callbacks=[inner]).history)
    assert results[0] == results[1]


def test_what_a_callback_adds_to_the_logs_is_recorded():
    x, y = data()
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(rate=0.5))
    assert classifier().fit(x, y, verbose=0, callbacks=[add]).history["rate"] == [0.5]


def test_an_interrupt_ends_the_run_cleanly():
    x, y = data()
    model, ends = classifier(metrics=["accuracy"]), []

    def interrupt(batch, logs):
        if model.history.epoch:
            raise KeyboardInterrupt

    callbacks = [
        LambdaCallback(on_train_batch_end=interrupt, on_train_end=lambda logs: ends.append(logs))
    ]
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=5, verbose=0, callbacks=callbacks)
    assert model.history.epoch == [0]
    assert len(ends) == 1
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]


# One batch --------------------------------------------------------------------------------------


def test_steps_by_hand_equal_fit():
    x, y = data(12)
    cr.seed(0)
    fitted = classifier(metrics=["accuracy"])
    fitted.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    cr.seed(0)
    stepped = classifier(metrics=["accuracy"])
    for start in range(0, 12, 4):
        rows = slice(start, start + 4)
        before = stepped.test_on_batch(x[rows], y[rows])
        found = stepped.train_on_batch(x[rows], y[rows], return_dict=True)
        assert list(found.values()) == before
    assert weights_equal(fitted.get_weights(), stepped.get_weights())
    np.testing.assert_array_equal(stepped.predict_on_batch(x), stepped.predict(x))


def test_evaluate_returns_what_keras_returns():
    x, y = data()
    loss = classifier().evaluate(x, y, verbose=0)
    assert isinstance(loss, float)
    model = classifier(metrics=["accuracy"])
    values = model.evaluate(x, y, verbose=0)
    assert isinstance(values, list)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {
        "loss": values[0],
        "accuracy": values[1],
    }


def test_predictions_are_arrays_of_their_own():
    x, y = data()
    model = classifier()
    for predict in (model.predict, model.predict_on_batch):
        p = predict(x)
        assert type(p) is np.ndarray
        before = p.copy()
        model.fit(x, y, verbose=0)
        np.testing.assert_array_equal(p, before)
        p[:] = 0  # writable


# Models of one's own ----------------------------------------------------------------------------


class Residual(Model):
    def __init__(self):
        super().__init__(dtype="float64")
        self.hidden = Dense(3, activation="tanh", dtype="float64")
        self.parts = [Dense(3, activation="tanh", dtype="float64"), Dense(2, dtype="float64")]

    def call(self, x):
        return self.parts[1](self.parts[0](self.hidden(x)) + x)


def test_a_model_of_ones_own_trains_and_names_its_weights():
    x, _ = data()
    y = x[:, :2] ** 2
    model = Residual()
    model.compile(Adam(learning_rate=0.02), "mse", metrics=["mae"])
    history = model.fit(x, y, epochs=40, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    names = [name for name, _ in model.named_weights()]
    assert names == [
        f"{layer}.{weight}"
        for layer in ("hidden", "parts.0", "parts.1")
        for weight in ("kernel", "bias")
    ]


def test_a_copy_trains_on_its_own():
    x, y = data()
    cr.seed(0)
    model = classifier(optimizer=Adam(learning_rate=0.1), metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    twin = copy.deepcopy(model)
    twin.fit(x, y, epochs=2, shuffle=False, verbose=0)
    assert weights_equal(model.get_weights(), before)
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    assert weights_equal(model.get_weights(), twin.get_weights())


def test_a_frozen_layer_stays_as_it_is():
    x, y = data()
    model = classifier(optimizer=Adam(learning_rate=0.1))
    model.build((None, 3))
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    assert weights_equal(before[:2], after[:2])
    assert not np.array_equal(before[2], after[2])
    model.trainable = False
    with pytest.raises(ValueError, match="no parameter to train"):
        model.fit(x, y, verbose=0)


def test_no_grad_around_fit_does_not_keep_it_from_training():
    x, y = data()
    model = classifier()
    model.build((None, 3))
    before = model.get_weights()
    with cr.no_grad():
        model.fit(x, y, verbose=0)
    assert not weights_equal(before, model.get_weights())


# Refusals, before anything is trained -----------------------------------------------------------

X, Y = data()
NAN = np.where(np.arange(60).reshape(20, 3) == 7, np.nan, X)
BAD_FITS = {
    "x missing": ({"x": None}, ValueError, "fit: x is missing"),
    "y missing": ({"y": None}, ValueError, "fit: y is missing"),
    "lengths": ({"y": Y[:-1]}, ValueError, "19 rows but x has 20"),
    "empty": ({"x": X[:0], "y": Y[:0]}, ValueError, "x is empty"),
    "NaN": ({"x": NAN}, ValueError, r"x\[2, 1\] = nan"),
    "text": ({"x": np.full((20, 3), "a")}, TypeError, "text must be encoded"),
    "label": ({"y": np.where(np.arange(20) == 7, 4, Y)}, ValueError, r"y\[7\] = 4 is outside"),
    "one-hot": ({"y": np.eye(4)[Y]}, cr.ShapeError, "'categorical_crossentropy'"),
    "column": ({"y": Y[:, None]}, cr.ShapeError, r"y.reshape\(-1\)"),
    "float labels": ({"y": Y * 1.0}, cr.DtypeError, "class labels are integers"),
    "batch 0": ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "batch 1.5": ({"batch_size": 1.5}, TypeError, "batch_size must be an integer"),
    "epochs 0": ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    "epochs 1.0": ({"epochs": 1.0}, TypeError, "epochs must be an integer"),
    "epochs True": ({"epochs": True}, TypeError, "epochs must be an integer"),
    "initial": ({"initial_epoch": 1}, ValueError, "initial_epoch=1 leaves nothing"),
    "initial -1": ({"initial_epoch": -1}, ValueError, "initial_epoch must be at least 0"),
    "split": ({"validation_split": 1.5}, ValueError, "validation_split must lie between"),
    "split none": ({"validation_split": 0.01}, ValueError, "leaves none for validation"),
    "validation": ({"validation_data": X}, TypeError, r"must be a pair \(x, y\).*got ndarray"),
    "triple": ({"validation_data": (X, Y, Y)}, TypeError, "got 3 items"),
    "no targets": ({"validation_data": (X, None)}, TypeError, r"got \(x, None\)"),
    "validation label": ({"validation_data": (X, Y + 1)}, ValueError, r"validation_data\[1\]\["),
    "validation NaN": ({"validation_data": (NAN, Y)}, ValueError, r"validation_data\[0\]"),
    "validation shape": (
        {"validation_data": (X[:, :2], Y)},
        cr.ShapeError,
        "last axis of x to be 3",
    ),
    "verbose": ({"verbose": 3}, ValueError, "verbose must be"),
    "shuffle": ({"shuffle": "yes"}, TypeError, "shuffle must be True or False"),
    "callback class": ({"callbacks": [Diary]}, TypeError, r"write Diary\(\.\.\.\)"),
    "callback": ({"callbacks": [print]}, TypeError, "LambdaCallback"),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_bad_arguments_of_fit_are_refused_before_anything_is_trained(case, capsys):
    wrong, error, text = BAD_FITS[case]
    model = classifier(metrics=["accuracy"])
    model.build((None, 3))
    before = model.get_weights()
    with pytest.raises(error, match=text):
        model.fit(**{"x": X, "y": Y, **wrong})
    assert weights_equal(before, model.get_weights())
    assert capsys.readouterr().out == ""


def test_x_that_does_not_fit_the_model_is_refused_before_anything_is_printed(capsys):
    model = classifier()
    model.build((None, 5))
    for run in (model.fit, model.evaluate):
        with pytest.raises(cr.ShapeError, match=r"x does not fit.* last axis of x to be 5"):
            run(X, Y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("where", ["evaluate", "train_on_batch", "test_on_batch"])
def test_the_other_methods_check_their_data_too(where):
    model = classifier()
    run = getattr(model, where)
    for x, y, error, text in (
        (NAN, Y, ValueError, "nan"),
        (X, Y[:-1], ValueError, "19 rows"),
        (X, Y + 1, ValueError, r"y\[\d+\] = 4 is outside"),
        (X, np.eye(4)[Y], cr.ShapeError, "'categorical_crossentropy'"),
        (X, None, ValueError, "y is missing"),
    ):
        with pytest.raises(error, match=f"^{where}.*{text}"):
            run(x, y)
    assert not model.optimizer.parameters  # not one step was taken
    with pytest.raises(ValueError, match=r"predict: x.*nan"):
        model.predict(NAN)


@pytest.mark.parametrize("where", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_a_model_that_is_not_compiled_says_so(where):
    model = Sequential([Dense(4)])
    assert not model.compiled
    with pytest.raises(RuntimeError, match=f"{where}: sequential is not compiled"):
        getattr(model, where)(X, Y)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"loss": "mse"}, ValueError, "optimizer is missing"),
        ({"optimizer": "sgd"}, ValueError, "loss is missing"),
        ({"optimizer": "adamm", "loss": "mse"}, ValueError, "'adamm' is unknown.*'adam'"),
        ({"optimizer": "sgd", "loss": "maes"}, ValueError, "unknown loss 'maes'.*mse"),
        ({"optimizer": "sgd", "loss": HalfSquaredError}, TypeError, r"HalfSquaredError\(\.\.\.\)"),
        (
            {"optimizer": "sgd", "loss": BinaryCrossentropy(reduction=None)},
            ValueError,
            "reduction=None",
        ),
        ({"optimizer": "sgd", "loss": "mse", "metrics": ["f1"]}, ValueError, "unknown metric 'f1'"),
        ({"optimizer": "sgd", "loss": "mse", "metrics": 3}, TypeError, "metric must be"),
        (
            {"optimizer": "sgd", "loss": "mse", "metrics": ["mae", "mae"]},
            ValueError,
            "called 'mae'",
        ),
    ],
)
def test_compile_refuses(arguments, error, text):
    model = Sequential([Dense(1)])
    with pytest.raises(error, match=text):
        model.compile(**arguments)
    assert not model.compiled


def test_outputs_that_are_no_probabilities_are_refused_before_training():
    model = Sequential([Dense(4, kernel_initializer="ones", bias_initializer="ones")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"end the model with a softmax.*from_logits=True"):
        model.fit(np.abs(X), Y, verbose=0)


def test_a_metric_that_refuses_the_data_does_so_before_training():
    model = classifier(metrics=["mae"])
    model.build((None, 3))
    before = model.get_weights()
    for run in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="same shape"):
            run(X, Y)
        assert weights_equal(before, model.get_weights())


class Broken(Model):
    """Returns what no loss can take."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: x.sum(), cr.ShapeError, "must keep the first axis"),
        (lambda x: x > 0, cr.DtypeError, "floating Tensor"),
        (lambda x: 3, TypeError, "must return a Tensor"),
    ],
)
def test_a_model_whose_result_no_loss_can_take_is_refused(function, error, text):
    model = Broken(function)
    model.compile("sgd", "mse")
    with pytest.raises(error, match=text):
        model.fit(X, X, verbose=0)


def test_progress_goes_to_standard_output_of_the_moment(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    classifier().fit(X, Y)
    assert stream.getvalue().startswith("Epoch 1/1\n1/1 [")


def test_a_trained_model_is_freed_at_once():
    """Without the garbage collector: nothing that a run leaves behind refers back to the model."""
    gc.disable()
    try:
        model = classifier(optimizer="adam", metrics=["accuracy"])
        history = model.fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0)
        model.evaluate(X, Y, verbose=0)
        kept = weakref.ref(model)
        del model
        assert kept() is None
        assert len(history.epoch) == 2
    finally:
        gc.enable()
