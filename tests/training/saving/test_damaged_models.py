"""Saved models that are damaged, or made to harm: each is refused, with the place named."""

from __future__ import annotations

import json
import tracemalloc

import pytest

import chainrule as cr
from chainrule import layers, preprocessing
from chainrule.layers import Dense
from chainrule.losses import Huber
from chainrule.models import Sequential, load_model
from chainrule.optim import SGD
from chainrule.training.saving.bundle import read_bundle, write_bundle
from chainrule.training.saving.models import model_from_parts, model_parts
from tests.layers.test_every_layer import MADE
from tests.training.saving.saved_models import (
    OWN,
    SCHEDULE,
    Headed,
    Tower,
    X,
    Y,
    small,
    trained_on,
)


@pytest.fixture(autouse=True)
def seeded():
    cr.seed(0)


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
