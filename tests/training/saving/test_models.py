"""Whole models, saved and loaded: the same bits, the same training, and clear refusals."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, preprocessing
from chainrule.layers import LAYERS, Dense, Layer
from chainrule.losses import Huber
from chainrule.metrics import BinaryAccuracy, Metric
from chainrule.models import Model, Sequential, load_model
from chainrule.optim import SGD, Adam, schedules
from chainrule.training.losses import LOSSES
from chainrule.training.metrics import METRICS
from chainrule.training.saving.bundle import read_bundle, write_bundle
from chainrule.training.saving.models import model_from_parts, model_parts
from tests.layers.test_every_layer import MADE, drawn


@pytest.fixture(autouse=True)
def seeded():
    cr.seed(0)


def saved(model, folder, **options):
    model.save(folder / "model")
    return load_model(folder / "model", **options)


def weights(model):
    return {name: each.cpu().numpy().copy() for name, each in model.named_weights()}


def same_model(one, other):
    assert type(one) is type(other) and one.name == other.name
    assert [key for key, _ in one.named_weights()] == [key for key, _ in other.named_weights()]
    pairs = zip(one.named_weights(), other.named_weights(), strict=True)
    for (name, a), (_, b) in pairs:
        assert a.dtype == b.dtype and a.requires_grad == b.requires_grad, name
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for (_, a), (_, b) in zip(one._tree(), other._tree(), strict=True):
        if type(a).build is not Layer.build:  # others have nothing to train
            assert a.trainable == b.trainable


def trained_on(model, x, y, epochs=1, **options):
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, shuffle=False, **options)
    return weights(model)


def equal(one, other):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def small(optimizer="adam", loss="mse", metrics=("mae",), units=3):
    cr.seed(0)
    model = Sequential([Dense(8, activation="tanh"), Dense(units)])
    model.build((None, 5))
    model.compile(optimizer, loss, list(metrics))
    return model


X, Y = drawn(12, 5).astype("float32"), drawn(12, 3, seed=1).astype("float32")


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


SCHEDULE = schedules.CosineDecay(0.01, 9, warmup_target=0.1, warmup_steps=2)


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


# Models of one's own ----------------------------------------------------------------------------


class Tower(Model):
    """`floors` is a number in the constructor and a list of layers afterwards."""

    def __init__(self, floors, width=4, *, start="he_normal", activation=None):
        super().__init__()
        self.floors = [Dense(width, "relu", kernel_initializer=start) for _ in range(floors)]
        self.head = Dense(3)
        self.last = activation

    def call(self, x):
        for floor in self.floors:
            x = floor(x)
        x = self.head(x)
        return x if self.last is None else self.last(x)


class Headed(Model):
    def __init__(self, body, heads):
        super().__init__()
        self.body, self.heads = body, heads

    def call(self, x):
        x = self.body(x)
        return sum((head(x) for head in self.heads[1:]), self.heads[0](x))


OWN = {"Tower": Tower, "Headed": Headed}


def test_models_of_ones_own_are_made_again_from_what_their_constructors_were_given(tmp_path):
    start = layers.HeNormal(seed=3)
    body = Tower(2, width=6, start=start, activation=layers.Activation("tanh"))
    model = Headed(body, [Dense(3), Sequential([Dense(2), Tower(1)])])
    body.floors[0].trainable = False
    model.compile("adam", "mse")
    trained_on(model, X, Y)
    again = saved(model, tmp_path, custom_objects=OWN)
    same_model(model, again)
    assert type(again.body.last) is layers.Activation
    assert repr(again.body.floors[0].kernel_initializer) == repr(start)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    equal(trained_on(again, X, Y), trained_on(model, X, Y))
    assert again.get_config() == model.get_config()


class Stack(Model):
    """Its constructor uses up the list that it is given."""

    def __init__(self, widths, options=None):
        super().__init__()
        self.dense = []
        while widths:
            self.dense.append(Dense(widths.pop(0), **(options or {})))
        self.options = options

    def call(self, x):
        for dense in self.dense:
            x = dense(x)
        return x


def test_what_becomes_of_a_list_that_a_constructor_was_given_does_not_matter(tmp_path):
    options = {"activation": "relu"}
    model = Stack([3, 2], options)
    options["activation"] = "tanh"
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    model(x)
    assert model.get_config() == {"widths": [3, 2], "options": {"activation": "relu"}}
    model.save(tmp_path / "stack")
    again = cr.load_model(tmp_path / "stack", {"Stack": Stack})
    assert np.array_equal(again.predict(x), model.predict(x))
    within = []
    within.append(within)
    assert Tower(1, activation=within).built is False  # refused where it is used, or saved


def test_what_counts_is_what_the_outermost_constructor_was_given(tmp_path):
    class Taller(Tower):
        def __init__(self, more, **options):
            super().__init__(floors=more + 1, **options)

    class Same(Tower):
        """Without a constructor of its own."""

    class Many(Model):
        def __init__(self, *widths):
            super().__init__()
            self.parts = [Dense(width) for width in widths]

        def call(self, x):
            return self.parts[0](x)

    model = Headed(Taller(1, width=5), [Same(floors=1), Dense(3)])
    model(X)
    own = OWN | {"Taller": Taller, "Same": Same}
    again = saved(model, tmp_path, custom_objects=own)
    same_model(model, again)
    assert again.body.get_config() == {"more": 1, "width": 5}
    with pytest.raises(TypeError, match=r"Many.get_config: .*arguments without names \(\*args\)"):
        Many(3).get_config()
    assert Many().get_config() == {}
    with pytest.raises(TypeError, match="there is no argument 'height'; there are: floors, width"):
        Tower(height=3)
    twin = copy.deepcopy(model)
    assert twin.get_config() == model.get_config()
    assert twin._given.arguments["body"] is twin.body


def test_own_layers_losses_metrics_and_rules_are_given(tmp_path):
    class Scale(Layer):
        def __init__(self, start=1.0, **options):
            super().__init__(**options)
            self.start = start

        def build(self, input_shape):
            self.factor = self.add_weight("factor", input_shape[-1:], layers.Constant(self.start))
            super().build(input_shape)

        def call(self, x):
            return x * self.factor

        def compute_output_shape(self, input_shape):
            return input_shape

    class Cubed(cr.losses.Loss):
        def __init__(self, factor):
            super().__init__("cubed")
            self.factor = factor

        def call(self, y_true, y_pred):
            return (abs(y_true - y_pred) ** 3).mean(axis=-1) * self.factor

    class Within(Metric):
        def __init__(self, border, name="within"):
            super().__init__(name)
            self.border = border

        def values(self, y_true, y_pred):
            return abs(y_true - y_pred) < self.border

    class Halving(schedules.LearningRateSchedule):
        def __init__(self, every):
            self.every = every

        def __call__(self, step):
            return 0.5 ** (5 + step // self.every)

    def sign_matches(y_true, y_pred):
        return (y_true > 0) == (y_pred > 0)

    model = Sequential([Sequential([Dense(3), Scale(2.0)]), Scale(name="second")])
    model.build((None, 5))
    rule = SGD(learning_rate=Halving(2))
    model.compile(rule, Cubed(0.5), [Within(0.3), "mae", sign_matches])
    trained_on(model, X, Y)
    model.save(tmp_path / "model")
    own = {each.__name__: each for each in (Scale, Cubed, Within, Halving, sign_matches)}
    again = load_model(tmp_path / "model", own)
    same_model(model, again)
    equal(trained_on(again, X, Y), trained_on(model, X, Y))
    assert list(again.history.history) == ["loss", "within", "mae", "sign_matches"]
    for left_out, place in (
        ("Scale", r"model.layers\[0\].layers\[1\]: class_name 'Scale' is unknown; known: .*custom"),
        ("Cubed", "compile.loss: class_name 'Cubed'"),
        ("Within", r"compile.metrics\[0\]: class_name 'Within'"),
        ("Halving", r"compile.optimizer.learning_rate: class_name 'Halving'"),
        ("sign_matches", r"compile.metrics\[2\]: .*custom_objects=\{'sign_matches': \.\.\.\}"),
    ):
        fewer = {key: each for key, each in own.items() if key != left_out}
        with pytest.raises(ValueError, match=f"^load_model: {place}"):
            load_model(tmp_path / "model", fewer)
    only = load_model(tmp_path / "model", {"Scale": Scale}, compile=False)
    assert not only.compiled
    with pytest.raises(ValueError, match=r"custom_objects\['Scale'\] must be a class derived from"):
        load_model(tmp_path / "model", own | {"Scale": Dense(3)})
    with pytest.raises(TypeError, match="custom_objects must be a dict"):
        load_model(tmp_path / "model", [Scale])


def test_own_layers_are_given_layers_not_their_configurations(tmp_path):
    class Around(Layer):
        def __init__(self, inner, after, start="zeros", **options):
            super().__init__(**options)
            self.inner, self.after, self.start = inner, after, start

        def call(self, x):
            return self.after(self.inner(x))

        def compute_output_shape(self, input_shape):
            return self.inner.compute_output_shape(input_shape)

    class Wide(Dense):
        pass

    model = Sequential(
        [
            Around(Dense(3), layers.Activation("tanh"), layers.HeNormal()),
            Wide(4, "relu", kernel_initializer="he_normal", kernel_regularizer="l2"),
        ]
    )
    expected = model.predict(X)
    again = saved(model, tmp_path, custom_objects={"Around": Around, "Wide": Wide})
    same_model(model, again)
    np.testing.assert_array_equal(again.predict(X), expected)
    assert type(again.layers[0].start) is layers.HeNormal
    assert again.get_config() == model.get_config() and len(again.losses) == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Tower(1, activation=np.tanh), "argument 'activation' is <ufunc 'tanh'>"),
        (lambda: Sequential([Dense(2, lambda x: x)]), "argument 'activation' is <function"),
    ],
)
def test_what_is_not_plain_cannot_be_saved_and_nothing_is_written(make, text, tmp_path):
    model = make()
    model(cr.ones((1, 4)))
    with pytest.raises(TypeError, match=rf"^save: .* cannot be made again.*{text}"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_model_that_would_come_back_otherwise_cannot_be_saved(tmp_path):
    added = Tower(1)
    added.extra = Dense(4)
    added.extra.build((None, 4))
    shared = Dense(3)
    twice = Headed(Sequential([shared]), [shared])
    forward = layers.LSTM(3, return_sequences=True)
    within = Sequential([forward, layers.Bidirectional(forward)])
    replaced = Tower(1)
    replaced.head = Dense(5)
    for model, x, text in (
        (added, X, "extra.bias"),
        (twice, X[:, :3], "heads.0"),
        (within, drawn(2, 4, 3), "would have shape|other weights"),
        (replaced, X, r"shape \(4, 3\)"),
    ):
        model(x)
        with pytest.raises(TypeError, match=f"^save: .*(?:{text}).*save_weights"):
            model.save(tmp_path / "m")
    first, second = type("Same", (Tower,), {}), type("Same", (Tower,), {})
    model = Headed(first(1), [second(1)])
    model(X)
    with pytest.raises(TypeError, match="two classes of layers are called Same"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_attention_to_a_memory_of_another_width(tmp_path):
    class Translator(Model):
        def __init__(self):
            super().__init__()
            self.decoder = layers.TransformerDecoderBlock(2, 6)
            self.attention = layers.MultiHeadAttention(2)

        def call(self, x):
            a, b, c = x
            return self.attention(self.decoder(a, b), b, c)

    model = Translator()
    x = tuple(drawn(2, 5, width, seed=width).astype("float32") for width in (4, 6, 7))
    expected = model.predict(x)
    again = saved(model, tmp_path, custom_objects={"Translator": Translator})
    same_model(model, again)
    np.testing.assert_array_equal(again.predict(x), expected)


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


# Damaged and malicious documents ----------------------------------------------------------------


def changed(folder, change):
    """A bundle whose checksums are right and whose document is not."""
    document, arrays = read_bundle(folder, "model")
    change(document)
    write_bundle(folder, "model", document, arrays)


def place(document, path):
    *keys, last = path
    for key in keys:
        document = document[key]
    return document, last


LAYER = ("model", "config", "layers", 1)
PARTS = [
    (("model", "registry"), 2, "model.registry: it is 2, .*newer chainrule"),
    (("model", "registry"), "1", "model.registry: expected a version"),
    (("model", "class_name"), "os.system", "model: class_name 'os.system' is unknown; known: "),
    (("model", "class_name"), ["Dense"], "model: class_name .* is unknown"),
    (("model", "config"), None, "the model cannot be made again"),
    (("model", "config"), [], "model: config must be a dict"),
    (("model", "config", "layers"), {}, "model.layers: expected a list"),
    ((*LAYER, "class_name"), "Dropout", r"model.layers\[1\].config"),
    ((*LAYER, "config"), {}, r"model.layers\[1\].config.*units"),
    ((*LAYER, "config", "units"), "many", r"model.layers\[1\].config.units: Dense: units must be"),
    ((*LAYER, "config", "units"), -3, r"model.layers\[1\].config.units: "),
    ((*LAYER, "config", "units"), 10**9, r"model.built: .*kernel would have shape \(8, 10+\)"),
    ((*LAYER, "config", "units"), 10**300, "would have shape|units"),
    ((*LAYER, "config", "colour"), 1, r"model.layers\[1\].config.colour: Dense: there is no arg"),
    ((*LAYER, "config", "dtype"), "object", r"model.layers\[1\].config.dtype: "),
    ((*LAYER, "config", "dtype"), "float64", "the weight dense_1.kernel is float32 in the file"),
    ((*LAYER, "config", "name"), "a.b", r"model.layers\[1\].config.name"),
    (
        (*LAYER, "config", "kernel_initializer"),
        {"class_name": "eval", "config": {}},
        r"model.layers\[1\].*kernel_initializer.*'eval' is unknown|'eval' is unknown",
    ),
    ((*LAYER, "config", "activation"), {"class_name": "Dense"}, "activation: expected a dict"),
    (LAYER, {"repeats": 0}, "dense|would have shape"),
    (LAYER, {"repeats": 5}, r"layers\[1\].repeats"),
    (LAYER, None, r"model.layers\[1\]: expected a dict"),
    (("model", "built"), [], "model.built: expected a dict"),
    (("model", "built"), {}, "no weights yet"),
    (("model", "built", "", "input_shapes"), [[None, 10**9]], "would have shape"),
    (("model", "built", "", "input_shapes"), [[None, "5"]], "is no shape"),
    (("model", "built", "", "input_shapes"), [["x"], 3, {}], "model.built"),
    (("model", "weights"), None, "model.weights: expected a dict"),
    (("compile",), [], "compile: expected a dict"),
    (("compile", "metrics"), "mae", "compile.metrics: expected a list"),
    (("compile", "metrics"), ["nonsense"], "compile: .*unknown metric 'nonsense'"),
    (("compile", "loss"), {"class_name": "Huber", "config": {"delta": "x"}}, "compile.loss.config"),
    (("compile", "optimizer", "config", "epsilon"), -1, "compile.optimizer.config.epsilon: Adam"),
    (("optimizer",), {}, "optimizer: expected parameters, state and schedule"),
    (("optimizer", "parameters"), ["dense.kernel", "x"], "optimizer.parameters: .* 'x'"),
    (("optimizer", "parameters"), ["dense.kernel"], "optimizer: Adam: load_state.*unknown"),
    (("optimizer", "state", "steps.0"), "3", "optimizer: Adam: load_state: steps.0"),
    (("optimizer", "state", "learning_rate"), "fast", "learning_rate"),
    (("preprocessing",), {"class_name": "Danger", "config": {}}, "preprocessing: .*unknown"),
]


@pytest.mark.parametrize(("path", "value", "text"), PARTS)
def test_what_does_not_fit_is_a_value_error_that_names_the_place(path, value, text, tmp_path):
    model = small()
    trained_on(model, X, Y)
    model.save(tmp_path)

    def change(document):
        holder, key = place(document, path)
        holder[key] = value

    changed(tmp_path, change)
    with pytest.raises(ValueError, match=f"^load_model: .*(?:{text})"):
        load_model(tmp_path)


def test_layers_within_layers_without_end_are_refused(tmp_path):
    small().save(tmp_path)
    config = {"class_name": "Dense", "config": {"units": 3}}
    for _ in range(15):
        config = {"class_name": "Sequential", "config": {"layers": [config], "name": None}}
    changed(tmp_path, lambda document: document["model"].update(config))
    with pytest.raises(ValueError, match=r"^load_model: "):
        load_model(tmp_path)
    document, arrays = read_bundle(tmp_path, "model")
    for levels in (60, 5000):
        for _ in range(levels):
            config = {"class_name": "Sequential", "config": {"layers": [config]}}
        document["model"].update(config)
        with pytest.raises(ValueError, match="load_model: model: more than 100 lists and dicts"):
            model_from_parts(document, arrays)
    many = {"class_name": "Dense", "config": {"units": 8}}
    document, arrays = read_bundle(tmp_path, "model")
    document["model"].update(
        {"class_name": "Sequential", "config": {"layers": [many] * 3000, "name": "m"}}
    )
    with pytest.raises(ValueError, match="would have shape"):
        model_from_parts(document, arrays)


def test_a_huge_layer_is_refused_before_anything_is_allocated(tmp_path):
    small().save(tmp_path)
    document, arrays = read_bundle(tmp_path, "model")
    huge = 10**9
    told = [
        {"class_name": "Dense", "config": {"units": huge}},
        {"class_name": "LSTM", "config": {"units": huge}},
        {"class_name": "Embedding", "config": {"input_dim": huge, "output_dim": huge}},
        {"class_name": "MultiHeadAttention", "config": {"num_heads": huge, "key_dim": huge}},
        {"class_name": "LearnedPositions", "config": {"max_length": huge}},
        {"class_name": "Conv2D", "config": {"filters": huge, "kernel_size": huge}},
        {"class_name": "ZeroPadding2D", "config": {"padding": huge}},
        {"class_name": "Reshape", "config": {"target_shape": [huge, huge]}},
    ]
    tracemalloc.start()
    try:
        for each in told:
            for shape in ([None, 5], [None, 7, 5], [None, 7, 5, 2]):
                document["model"]["config"]["layers"] = [each]
                document["model"]["built"][""]["input_shapes"] = [shape]
                with pytest.raises(ValueError, match=r"^load_model: "):
                    model_from_parts(document, arrays)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("name", MADE)
def test_a_huge_number_in_any_layer_takes_no_memory(name):
    make, shape = MADE[name]
    model = Sequential([make()])
    model.build((None, *shape[1:]))
    document, arrays = model_parts(model)
    text = json.dumps(document)
    numbers = [
        path
        for path in places(document["model"]["config"])
        if path and type(place(document["model"]["config"], path)[0][path[-1]]) is int
    ]
    tracemalloc.start()
    try:
        for path in numbers:
            changed = json.loads(text)
            holder, key = place(changed["model"]["config"], path)
            holder[key] = 10**9
            message = None
            try:
                model_from_parts(changed, arrays)
            except ValueError as error:
                message = str(error)
            assert message is None or message.startswith("load_model: ")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_missing_and_unknown_weights_are_listed(tmp_path):
    small().save(tmp_path)
    document, arrays = read_bundle(tmp_path, "model")
    arrays["weights"]["other.kernel"] = arrays["weights"].pop("dense.kernel")
    write_bundle(tmp_path, "model", document, arrays)
    with pytest.raises(ValueError, match=r"^load_model: .*dense\.kernel.*other\.kernel"):
        load_model(tmp_path)
    del arrays["weights"]["other.kernel"]
    write_bundle(tmp_path, "model", document, arrays)
    with pytest.raises(ValueError, match=r"kernel would have shape \(5, 8\)"):
        load_model(tmp_path)


def test_an_optimizer_of_other_parameters_is_not_saved_with_the_model(tmp_path):
    model, other = small(), small()
    model.optimizer.attach(other.parameters())
    with pytest.raises(ValueError, match="include_optimizer=False"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", include_optimizer=False)
    assert load_model(tmp_path / "m").optimizer.iterations == 0


def test_the_manifest_is_plain_json_without_paths_to_code(tmp_path):
    small().save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    assert "chainrule." not in text and "tests." not in text
    assert json.loads(text)["model"]["config"]["layers"][0]["class_name"] == "Dense"


def places(value, path=()):
    """The path of everything in a document."""
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from places(each, (*path, i))


ODD = (None, True, -1, 0, 10**9, 0.5, float("nan"), "", "Dense", [], {}, [[1]], {"class_name": "x"})


@pytest.mark.parametrize("which", ["stack", "own", "recurrent"])
def test_whatever_stands_in_a_document_is_read_or_refused(which):
    """Every value in turn is replaced by odd ones, left out, and doubled."""
    own = {}
    if which == "stack":
        model = small(SGD(learning_rate=SCHEDULE, momentum=0.5), Huber(0.5), ["acc", "mae"])
        model.preprocessing = preprocessing.Preprocessing(preprocessing.Rescale(0.5))
        trained_on(model, X, Y)
    elif which == "own":
        model, own = Headed(Tower(1), [Dense(3), Sequential([Dense(3), layers.Softmax()])]), OWN
        model(X)
    else:
        shared = layers.Bidirectional(layers.GRU(2, return_sequences=True))
        attention = layers.TransformerDecoderBlock(2, 3, activation="gelu")
        model = Sequential([shared, attention, layers.LearnedPositions(9), layers.Masking()])
        model.build((None, 4, 3))
    document, arrays = model_parts(model)
    text = json.dumps(document)
    read = refused = 0
    for path in places(json.loads(text)):
        if not path:
            continue
        for odd in (*ODD[:: 4 if which == "recurrent" else 1], "left out", "doubled"):
            if path[-1] == "floors" and odd == 10**9:
                continue  # so many layers are what its constructor was asked for
            changed = json.loads(text)
            holder, key = place(changed, path)
            if odd == "left out":
                del holder[key]
            else:
                holder[key] = [holder[key], holder[key]] if odd == "doubled" else odd
            message = None
            try:
                model_from_parts(changed, arrays, own)
            except ValueError as error:  # anything else fails the test
                message = str(error)
            read, refused = read + (message is None), refused + (message is not None)
            assert message is None or message.startswith("load_model: "), (path, odd, message)
            assert message is None or len(message) < 4000
    assert read > 100 and refused > 200, (read, refused)
