"""Whole models, saved and loaded: the same bits, the same training; and where they lie."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, preprocessing
from chainrule.layers import LAYERS, Dense
from chainrule.losses import Huber
from chainrule.metrics import BinaryAccuracy
from chainrule.models import Model, Sequential, load_model
from chainrule.optim import SGD, Adam
from chainrule.training.losses import LOSSES
from chainrule.training.metrics import METRICS
from tests.layers.test_every_layer import MADE, drawn
from tests.training.saving.saved_models import (
    SCHEDULE,
    X,
    Y,
    equal,
    same_model,
    saved,
    small,
    trained_on,
    weights,
)


@pytest.fixture(autouse=True)
def seeded():
    cr.seed(0)


# Round trips ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer(name, dtype, tmp_path):
    make, shape = MADE[name]
    cr.seed(3)
    model = Sequential([make(dtype=dtype)])
    x = drawn(*shape).astype(dtype)
    for _ in range(2):
        model(x, training=True)  # moves running averages
    cr.seed(5)
    again = saved(model, tmp_path)
    drawn_after = cr.random.generator().random(3)
    same_model(model, again)
    np.testing.assert_array_equal(model.predict(x), again.predict(x))
    cr.seed(5)
    np.testing.assert_array_equal(cr.random.generator().random(3), drawn_after)
    for call in (model, again):
        cr.seed(7)
        call.out = call(x, training=True).numpy()
    np.testing.assert_array_equal(model.out, again.out)


def test_layers_that_the_others_leave_out(tmp_path):
    class Pair(Model):
        def __init__(self):
            super().__init__()
            self.ids, self.add = layers.Embedding(9, 4, mask_zero=True), layers.Add()
            self.join, self.last = layers.Concatenate(), layers.LSTM(3)
            self.softmax, self.relu = layers.Softmax(axis=1), layers.ReLU(name="r")

        def call(self, x):
            a, b = x
            a = self.ids(a)
            return self.relu(self.softmax(self.last(self.join([self.add([a, b]), b]))))

    model = Pair()
    x = (np.array([[1, 2, 0], [3, 0, 0]]), drawn(2, 3, 4).astype("float32"))
    expected = model.predict(x)
    again = saved(model, tmp_path, custom_objects={"Pair": Pair})
    same_model(model, again)
    assert again.built_for == model.built_for == ((None, 3), (None, 3, 4))
    np.testing.assert_array_equal(again.predict(x), expected)
    activations = {key for key, each in LAYERS.items() if issubclass(each, layers.Activation)}
    known = {key for key, each in LAYERS.items() if each.__module__.startswith("chainrule")}
    tried = {key.split()[0] for key in MADE} | {"Embedding", "Add", "Concatenate"} | activations
    assert known == tried


@pytest.mark.parametrize(
    "optimizer",
    [
        *("sgd", "adam", SGD(learning_rate=0.1, momentum=0.9, nesterov=True, clipnorm=1.0)),
        *(Adam(weight_decay=0.1), SGD(learning_rate=SCHEDULE), Adam(learning_rate=SCHEDULE)),
    ],
)
@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_pause_is_not_seen(optimizer, steps_before, tmp_path):
    """fit two epochs == fit one, save, load, fit one."""
    whole = small(copy.deepcopy(optimizer))
    expected = trained_on(whole, X, Y, 1 + steps_before)
    model = small(copy.deepcopy(optimizer))
    if steps_before:
        trained_on(model, X, Y)
    again = saved(model, tmp_path)
    assert repr(again.optimizer) == repr(model.optimizer)
    assert again.optimizer.iterations == model.optimizer.iterations == 3 * steps_before
    equal(trained_on(again, X, Y), expected)
    assert again.history.history == {
        name: values[-1:] for name, values in whole.history.history.items()
    }
    equal_state(again.optimizer.state(), whole.optimizer.state())


def equal_state(one, other):
    assert set(one) == set(other)
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_a_pause_is_not_seen_with_dropout_batch_statistics_and_frozen_layers(tmp_path):
    def make():
        cr.seed(1)
        frozen = Dense(6, "relu", trainable=False)
        model = Sequential(
            [
                *(frozen, layers.BatchNormalization(), layers.Dropout(0.4)),
                *(Sequential([Dense(6, "tanh"), layers.Dropout(0.2)]), Dense(3)),
            ]
        )
        model.build((None, 5))
        model.layers[-1].bias.requires_grad = False
        model.compile("adam", "mse")
        return model

    whole, model = make(), make()
    cr.seed(2)
    trained_on(whole, X, Y)
    cr.seed(3)
    expected = trained_on(whole, X, Y)
    cr.seed(2)
    trained_on(model, X, Y)
    again = saved(model, tmp_path)
    same_model(model, again)
    cr.seed(3)
    equal(trained_on(again, X, Y), expected)
    assert not again.layers[0].trainable and not again.layers[0].kernel.requires_grad
    assert [each.requires_grad for each in again.layers[-1].parameters()] == [True, False]


def test_a_learning_rate_that_was_set_survives(tmp_path):
    model = small(SGD(learning_rate=0.5))
    model.optimizer.learning_rate = 0.125
    again = saved(model, tmp_path)
    assert again.optimizer.learning_rate == 0.125
    model = small(SGD(learning_rate=SCHEDULE))
    trained_on(model, X, Y)
    model.optimizer.learning_rate = 0
    again = saved(model, tmp_path)
    assert (again.optimizer.learning_rate, again.optimizer.schedule) == (0.0, None)
    assert again.optimizer.iterations == 3


@pytest.mark.parametrize("loss", [*LOSSES, Huber(0.3, reduction="sum", name="mine")])
def test_every_loss(loss, tmp_path):
    classes = "categorical" in str(loss)
    y = np.eye(3, dtype="float32")[np.arange(12) % 3]
    cr.seed(0)
    model = Sequential([Dense(3, "softmax" if "binary" not in str(loss) else "sigmoid")])
    model.build((None, 5))
    model.compile("sgd", loss, ["accuracy"] if classes else [])
    y = y.argmax(axis=-1) if "sparse" in str(loss) else y
    again = saved(model, tmp_path)
    assert type(again._objective.loss) is type(model._objective.loss)
    assert again._objective.loss.get_config() == model._objective.loss.get_config()
    assert again._objective.fused == model._objective.fused == ("crossentropy" in str(loss))
    assert again.evaluate(X, y, verbose=0) == model.evaluate(X, y, verbose=0)


@pytest.mark.parametrize("metric", [*METRICS, "acc", BinaryAccuracy(0.25, name="quarter")])
def test_every_metric(metric, tmp_path):
    cr.seed(0)
    model = Sequential([Dense(2, "sigmoid")])
    model.build((None, 5))
    model.compile("sgd", "binary_crossentropy", metrics=metric)
    y = drawn(12, 2) > 0
    if metric == "sparse_categorical_accuracy":
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
        y = y[:, 0].astype(int)
    again = saved(model, tmp_path)
    found, expected = (each.evaluate(X, y, verbose=0, return_dict=True) for each in (again, model))
    assert found == expected and len(found) == 2


def test_shared_layers_of_one_model(tmp_path):
    shared = Dense(5, "tanh")
    model = Sequential([shared, shared, Dense(3), Sequential([layers.ReLU()])])
    model.build((None, 5))
    model.compile("adam", "mse")
    trained_on(model, X, Y)
    again = saved(model, tmp_path)
    same_model(model, again)
    assert again.layers[0] is again.layers[1]
    equal(trained_on(again, X, Y), trained_on(model, X, Y))


def test_predictions_of_another_process_are_the_same_bits(tmp_path):
    model = small()
    trained_on(model, X, Y)
    model.save(tmp_path / "m")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "expected.npy", model.predict(X))
    program = (
        "import sys, numpy as np, chainrule as cr\n"
        "model = cr.load_model(sys.argv[1] + '/m')\n"
        "assert 'cupy' not in sys.modules and 'sympy' not in sys.modules\n"
        "found = model.predict(np.load(sys.argv[1] + '/x.npy'))\n"
        "assert (found == np.load(sys.argv[1] + '/expected.npy')).all()\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)


def test_the_weights_go_to_pytorch_and_back_after_loading(tmp_path):
    model = small()
    there = cr.utils.to_torch_weights(model)
    again = saved(model, tmp_path)
    assert {k: v.tolist() for k, v in cr.utils.to_torch_weights(again).items()} == {
        k: v.tolist() for k, v in there.items()
    }
    cr.utils.from_torch_weights(again, {key: value + 1 for key, value in there.items()})
    np.testing.assert_array_equal(
        again.layers[0].kernel.numpy(), model.layers[0].kernel.numpy() + np.float32(1)
    )


def test_a_device_can_be_chosen(tmp_path):
    model = small()
    trained_on(model, X, Y)
    there = saved(model, tmp_path, device="emulated")
    assert there.device == "emulated"
    assert {each.device for each in there.parameters()} == {"emulated"}
    trained_on(there, X, Y)
    back = saved(there, tmp_path)
    assert back.device == "cpu"
    equal(weights(back), weights(there))


# Folders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "digits.keras", "digits.h5", "deep/er/model"])
def test_any_name_is_a_folder_and_may_be_written_again(name, tmp_path):
    model = small()
    model.save(tmp_path / name)
    model.set_weights([each + 1 for each in model.get_weights()])
    model.save(str(tmp_path / name))
    equal(weights(load_model(tmp_path / name)), weights(model))
    model.save(tmp_path / name, include_optimizer=False)
    names = sorted(each.name for each in (tmp_path / name).iterdir())
    assert len(names) == 2 and names[0] == "model.json"


def test_what_lies_there_is_not_touched(tmp_path):
    model = small()
    (tmp_path / "file.h5").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match=r"file.h5' is a file, and a model is a folder"):
        model.save(tmp_path / "file.h5")
    with pytest.raises(FileExistsError, match=r"holds something else \('thesis.tex'\)"):
        model.save(tmp_path / "folder")
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "weights-0123456789ab.safetensors").write_text("of a first save, killed")
    model.save(tmp_path / "empty")
    equal(weights(load_model(tmp_path / "empty")), weights(model))
    with pytest.raises(RuntimeError, match=r"^save: .*no weights yet.*build\(input_shape\)"):
        Sequential([Dense(2)]).save(tmp_path / "unbuilt")
    assert not (tmp_path / "unbuilt").exists()


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_model: there is no folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_model(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_model(tmp_path / "w.safetensors")


def test_of_a_folder_of_checkpoints_the_latest_is_read(tmp_path):
    model = small(Adam(learning_rate=SCHEDULE))
    for epochs in (1, 2):
        model.fit(X, Y, 4, epochs, 0, shuffle=False, checkpoint=tmp_path, resume=epochs > 1)
    again = load_model(tmp_path)
    same_model(model, again)
    equal_state(again.optimizer.state(), model.optimizer.state())
    equal(trained_on(again, X, Y), trained_on(model, X, Y))
    steps = sorted(tmp_path.glob("step-*"))
    (tmp_path / "step-9999999999").mkdir()
    assert load_model(tmp_path).optimizer.iterations == 6
    assert [load_model(each).optimizer.iterations for each in steps] == [3, 6]


def test_the_preprocessing_is_saved_with_the_model(tmp_path):
    model = small(units=2)
    scaling = preprocessing.Standardize.fit(X)
    model.preprocessing = preprocessing.Preprocessing(scaling, classes=["no", "yes"])
    again = saved(model, tmp_path)
    assert again.preprocessing.to_config() == model.preprocessing.to_config()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.predict_classes(X), model.predict_classes(X))
    model.preprocessing = None
    assert (again.predict(X) != model.predict(X)).any()
