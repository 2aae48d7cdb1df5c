"""A saved model comes back with its preprocessing, and a run is resumed with no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Embedding, GlobalAveragePooling1D
from chainrule.models import Sequential
from chainrule.preprocessing import Encode, MinMax, Preprocessing, Rescale, Standardize, Step
from chainrule.text import CharTokenizer

TEXTS = ["abba", "cab", "bad", "dada"]
NAMES = ["b", "a", "a", "b"]


class Doubled(Step):
    """A step of one's own."""

    def apply(self, x, dtype):
        return 2 * x.astype(dtype)


def numbers():
    draw = np.random.default_rng(0)
    return draw.normal(size=(12, 3)) * [1, 100, 0] + 1 / 3, draw.choice(["a", "b"], 12)


def of_numbers(*steps):
    x, _ = numbers()
    model = Sequential([Dense(4, activation="tanh"), Dense(1, activation="sigmoid")])
    model.preprocessing = Preprocessing(
        *(steps or (Standardize.fit(x), Rescale(0.1))), classes=["a", "b"]
    )
    model.compile("adam", "binary_crossentropy")
    return model


def of_texts():
    tokenizer = CharTokenizer().fit(TEXTS)
    model = Sequential(
        [
            Embedding(tokenizer.vocab_size, 3),
            GlobalAveragePooling1D(),
            Dense(2, activation="softmax"),
        ]
    )
    model.preprocessing = Preprocessing(Encode(tokenizer, 3, "post"), classes=["a", "b"])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


KINDS = {"numbers": (of_numbers, *numbers()), "texts": (of_texts, TEXTS, NAMES)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_takes_raw_samples_and_answers_in_names(kind, tmp_path):
    make, x, names = KINDS[kind]
    model = make()
    model.fit(x, names, epochs=2, verbose=0)
    model.save(tmp_path / "model")
    again = cr.load_model(tmp_path / "model")
    assert again.preprocessing.to_config() == model.preprocessing.to_config()
    assert (again.predict(x) == model.predict(x)).all()
    assert (again.predict_classes(x) == model.predict_classes(x)).all()
    assert again.evaluate(x, names, verbose=0) == model.evaluate(x, names, verbose=0)
    for each in (model, again):
        cr.seed(5)
        each.fit(x, names, batch_size=3, epochs=2, verbose=0)
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_another_process_predicts_from_texts_alone(tmp_path):
    model = of_texts()
    model.fit(TEXTS, NAMES, epochs=1, verbose=0)
    model.save(tmp_path / "model")
    code = (
        "import sys, json, chainrule as cr\n"
        "model = cr.load_model(sys.argv[1])\n"
        "texts = json.loads(sys.argv[2])\n"
        "print(json.dumps([model.predict(texts).tolist(), model.predict_classes(texts).tolist()]))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "model"), json.dumps(TEXTS)]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert json.loads(said.stdout) == [
        model.predict(TEXTS).tolist(),
        model.predict_classes(TEXTS).tolist(),
    ]


def test_a_step_of_ones_own_is_given_to_load_model(tmp_path):
    model = of_numbers(Doubled())
    x, names = numbers()
    model.fit(x, names, verbose=0)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"preprocessing.steps\[0\]: class_name 'Doubled' is unk"):
        cr.load_model(tmp_path / "model")
    again = cr.load_model(tmp_path / "model", custom_objects={"Doubled": Doubled})
    assert (again.predict(x) == model.predict(x)).all()


def test_a_model_without_is_loaded_without(tmp_path):
    model = of_numbers()
    model.preprocessing = None
    model.build((None, 3))
    model.save(tmp_path / "model")
    assert cr.load_model(tmp_path / "model").preprocessing is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda p: p["config"]["steps"][0].update(class_name="exec"),
            r"steps\[0\].* 'exec' is unk",
        ),
        (lambda p: p["config"]["steps"][0]["config"].update(mean="0"), r"steps\[0\].config.mean"),
        (lambda p: p["config"].update(classes=["a", "a"]), "'a' comes twice"),
        (lambda p: p["config"].pop("classes"), "keys 'steps' and 'classes'"),
        (lambda p: p.update(class_name="Rescale"), "class_name 'Rescale' is unknown"),
    ],
)
def test_a_damaged_description_is_refused(spoil, message, tmp_path):
    model = of_numbers()
    model.build((None, 3))
    document = json.loads(json.dumps(model.preprocessing.to_config()))
    spoil(document)
    with pytest.raises(ValueError, match=rf"^load_model: preprocessing.*{message}"):
        cr.training.saving.registry.from_config(
            "preprocessing", document, where="load_model", path="preprocessing"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_whole_run(kind, tmp_path):
    make, x, names = KINDS[kind]
    cr.seed(1)
    whole = make()
    whole.fit(x, names, batch_size=3, epochs=4, verbose=0, checkpoint=tmp_path / "whole")
    cr.seed(1)
    half = make()
    half.fit(x, names, batch_size=3, epochs=2, verbose=0, checkpoint=tmp_path / "half")
    cr.seed(99)
    rest = make()
    options = {"checkpoint": tmp_path / "half", "resume": True}
    rest.fit(x, names, batch_size=3, epochs=4, verbose=0, **options)
    for one, other in zip(rest.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(one, other)
    loaded = cr.load_model(Path(tmp_path, "half"))
    assert (loaded.predict(x) == whole.predict(x)).all()


def test_a_run_with_other_preprocessing_is_refused(tmp_path):
    x, names = numbers()
    options = {"batch_size": 3, "verbose": 0, "checkpoint": tmp_path}
    of_numbers().fit(x, names, epochs=1, **options)
    other = of_numbers(MinMax.fit(x))
    with pytest.raises(ValueError, match="preprocessing"):
        other.fit(x, names, epochs=2, resume=True, **options)
