"""Training where the model is: the same numbers as on the CPU, and few copies back."""

from __future__ import annotations

import io

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.engine.devices import get_device
from chainrule.layers import Dense, Embedding
from chainrule.models import Model, Sequential
from chainrule.training.callbacks import LambdaCallback
from chainrule.training.losses import LOSSES
from chainrule.training.metric_base import Metric
from chainrule.training.metrics import (
    METRICS,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalAccuracy,
)
from chainrule.training.progress import ProgressLine

EMULATED = get_device("emulated")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)


def classifier(metrics=("accuracy",), optimizer="adam", **options):
    cr.seed(7)
    model = Sequential(
        [
            Dense(6, "tanh", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            Dense(3, "softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics), **options)
    return model


def copies(run):
    """How many arrays a function copies back from the device."""
    before = EMULATED.copies_back
    run()
    return EMULATED.copies_back - before


def test_fit_evaluate_and_predict_give_on_a_device_what_they_give_on_the_cpu():
    found = []
    for device in ("cpu", "emulated"):
        model = classifier(["accuracy", MeanSquaredErrorOfLogits()]).to(device)
        cr.seed(1)
        history = model.fit(X, LABELS, 8, epochs=2, verbose=0, validation_split=0.25)
        results = model.evaluate(X, LABELS, 8, verbose=0)
        predicted = model.predict(X, 16)
        assert type(predicted) is np.ndarray and predicted.shape == (40, 3)
        on_batch = model.test_on_batch(X[:4], LABELS[:4])
        trained = model.train_on_batch(X[:4], LABELS[:4])
        again = model.predict_on_batch(X[:4])
        assert {each.device for _, each in model.named_weights()} == {device}
        weights = model.get_weights()
        assert all(type(each) is np.ndarray for each in weights)
        found.append([history.history, results, predicted, on_batch, trained, again, weights])
    (cpu, *others), (emulated, *rest) = found
    assert cpu.keys() == emulated.keys()
    for name, values in cpu.items():
        np.testing.assert_allclose(emulated[name], values, rtol=1e-4, err_msg=name)
    for a, b in zip(others, rest, strict=True):
        for one, two in zip(a, b, strict=True) if isinstance(a, list) else [(a, b)]:
            np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


class MeanSquaredErrorOfLogits(Metric):
    """A user's own metric: it is given NumPy's arrays."""

    def __init__(self):
        super().__init__("own")

    def values(self, y_true, y_pred):
        assert type(y_true) is np.ndarray and type(y_pred) is np.ndarray
        return np.square(y_pred[:, 0] - y_true)


@pytest.mark.parametrize("metrics", [[], ["accuracy", "mse_of_one"]])
def test_an_epoch_copies_back_a_number_that_does_not_grow_with_its_steps(metrics):
    names = ["accuracy" if each == "accuracy" else SparseCategoricalAccuracy() for each in metrics]

    def run(samples, **options):
        model = classifier(names).to("emulated")
        model.build((None, 5))
        x, y = np.tile(X, (3, 1))[:samples], np.tile(LABELS, 3)[:samples]
        return lambda: model.fit(x, y, 4, verbose=0, **options)

    few, many = copies(run(24)), copies(run(120))
    assert few == many
    two = copies(run(24, epochs=2))
    assert two - few == 1 + len(metrics)  # loss and metrics, at the end of the epoch
    watched = LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    assert copies(run(24, callbacks=[watched])) - few == (6 - 1) * (1 + len(metrics))


def test_probabilities_are_read_before_a_training_and_not_in_its_steps():
    counts = []
    for count in (8, 24):
        model = Sequential([Dense(3, "softmax"), layers.Flatten()]).to("emulated")  # not fused
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.build((None, 5))
        before = EMULATED.copies_back
        model.fit(X[:count], LABELS[:count], 4, verbose=0)
        counts.append(EMULATED.copies_back - before)
    assert counts[0] == counts[1]


def test_the_progress_line_reads_when_it_is_redrawn_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def run(seconds):
        now = iter(np.arange(0, 1000, seconds))
        monkeypatch.setattr(
            "chainrule.training.fitting.ProgressLine",
            lambda total=None, **options: ProgressLine(
                total, stream=Terminal(), clock=lambda: float(next(now)), **options
            ),
        )
        monkeypatch.setenv("TERM", "xterm")
        model = classifier([]).to("emulated")
        model.build((None, 5))
        return copies(lambda: model.fit(X, LABELS, 4, verbose=1))

    quick, slow = run(1e-4), run(1.0)
    assert slow - quick == 10 - 1  # a redraw after each of 10 steps, and one reading at the end


def test_an_evaluation_reads_at_its_end_and_a_prediction_each_batch():
    model = classifier().to("emulated")
    model.fit(X, LABELS, verbose=0)
    assert copies(lambda: model.evaluate(X[:8], LABELS[:8], 4, verbose=0)) == copies(
        lambda: model.evaluate(X, LABELS, 4, verbose=0)
    )
    assert copies(lambda: model.predict(X, 10)) == 4


def test_a_users_metric_costs_one_copy_a_batch_however_many_there_are():
    def run(metrics, samples):
        model = classifier(metrics).to("emulated")
        model.build((None, 5))
        return copies(lambda: model.fit(X[:samples], LABELS[:samples], 4, verbose=0))

    own = [MeanSquaredErrorOfLogits(), lambda y_true, y_pred: y_pred[:, 0]]
    assert run(own, 40) - run(own, 20) == 5
    assert run(own[:1], 40) - run(own[:1], 20) == 5


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_of_a_devices_tensors_are_those_of_arrays(name, dtype):
    y_pred = RNG.random((12, 3)).astype(dtype)
    y_pred[3, 1] = np.nan
    y_true = (RNG.random((12, 3)) > 0.5).astype("float32")
    if name == "sparse_categorical_accuracy":
        y_true = RNG.integers(-1, 3, 12)
    if name.startswith("mean"):
        y_pred[3, 1] = 0.5
    one, two, three = METRICS[name](), METRICS[name](), METRICS[name]()
    there = cr.tensor(y_pred, device="emulated")
    assert (
        copies(
            lambda: [
                two.update(y_true[:7], there[:7]),
                two.update(cr.tensor(y_true[7:], device="emulated"), there[7:]),
            ]
        )
        == 0
    )
    one.update(y_true, y_pred)
    three.update(y_true, cr.tensor(y_pred))
    assert copies(lambda: two.result()) == 1
    np.testing.assert_allclose(two.result(), one.result(), rtol=1e-14)
    assert three.result() == one.result()


def test_a_subclass_that_says_what_the_values_are_is_given_arrays():
    class TwiceTheError(MeanAbsoluteError):
        def values(self, y_true, y_pred):
            assert type(y_pred) is np.ndarray
            return 2 * super().values(y_true, y_pred)

    metric = TwiceTheError()
    metric.update(np.zeros(2), cr.tensor([1.0, 3.0], device="emulated"))
    assert metric.result() == 4.0
    assert MeanSquaredError().is_portable and not metric.is_portable


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_computes_where_the_predictions_are(name):
    y_pred = RNG.random((4, 3)) * 0.3
    y_true = RNG.integers(0, 3, 4) if "sparse" in name else np.eye(3)[RNG.integers(0, 3, 4)]
    loss = LOSSES[name]()
    here, there = (cr.tensor(y_pred, requires_grad=True, device=d) for d in ("cpu", "emulated"))
    one, two = loss(y_true, here), loss(y_true, there)
    assert two.device == "emulated"
    one.backward()
    two.backward()
    np.testing.assert_allclose(two.item(), one.item(), rtol=1e-12)
    np.testing.assert_allclose(there.grad.cpu().numpy(), here.grad.numpy(), rtol=1e-12)
    assert loss(cr.tensor(y_true, device="emulated"), there).device == "emulated"
    with pytest.raises(cr.DeviceError, match="'emulated' and 'cpu'"):
        loss(cr.tensor(y_true), there)


def test_probabilities_that_are_none_are_refused_before_the_training():
    model = Sequential([Dense(3, kernel_initializer="ones")]).to("emulated")
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="no probabilities"):
        model.fit(X + 3, LABELS, verbose=0)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_sequences_of_ids_are_trained_on_without_reading_them_back(mask_zero):
    ids = RNG.integers(1, 9, (24, 5))
    ids[:, 3:] *= RNG.integers(0, 2, (24, 1))
    targets = RNG.integers(0, 2, (24, 5))
    found = []
    for device in ("cpu", "emulated"):
        cr.seed(3)
        model = Sequential(
            [
                Embedding(9, 4, mask_zero=mask_zero),
                layers.LSTM(4, return_sequences=True),
                layers.TransformerEncoderBlock(1, 4),
                Dense(2, "softmax"),
            ]
        ).to(device)
        model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
        model.build((None, 5))
        counts = []
        for count in (8, 24):
            before = EMULATED.copies_back
            model.fit(ids[:count], targets[:count], 4, verbose=0, shuffle=False)
            counts.append(EMULATED.copies_back - before)
        assert counts[0] == counts[1]
        found.append([model.history.history["loss"], *model.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


def test_tensors_of_a_device_are_data_as_arrays_are():
    found = []
    for x, y in ((X, LABELS), [cr.tensor(each, device="emulated") for each in (X, LABELS)]):
        model = classifier().to("emulated")
        history = model.fit(x, y, 8, verbose=0)
        found.append((history.history["loss"], model.predict(x).tolist()))
    assert found[0] == found[1]


def test_several_inputs_go_where_the_model_is():
    class Two(Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = Dense(2), Dense(2)

        def call(self, x):
            return self.a(x["a"]) + self.b(x["b"])

    model = Two().to("emulated")
    model.compile("sgd", "mse")
    x = {"a": X[:, :2], "b": X[:, 2:]}
    assert np.isfinite(model.fit(x, X[:, :2], verbose=0).history["loss"][0])
    assert model.predict(x).shape == (40, 2)


def test_weights_in_files_come_from_any_device_and_go_to_any(tmp_path):
    model, other = classifier().to("emulated"), classifier()
    model.fit(X, LABELS, verbose=0)
    model.save_weights(tmp_path / "weights.safetensors")
    other.build((None, 5))
    other.load_weights(tmp_path / "weights.safetensors")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other.to("emulated").load_weights(tmp_path / "weights.safetensors")
    assert other.named_weights()[0][1].device == "emulated"
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    named = cr.utils.to_torch_weights(model.sublayers()[0][1])
    assert all(type(each) is np.ndarray for each in named.values())


def test_summary_and_cost_are_told_of_a_model_on_a_device():
    model = classifier().to("emulated")
    model.build((None, 5))
    lines = []
    model.summary(print_fn=lines.append, batch_size=8)
    assert "(None, 6)" in lines[0] and "operations" in lines[0]
    assert model.device == "emulated" and model.sublayers()[0][1].kernel.device == "emulated"
