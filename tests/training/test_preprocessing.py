"""Preprocessing as a whole: several inputs, configurations, what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.making import made, making
from chainrule.preprocessing import Encode, MinMax, Preprocessing, Rescale, Standardize, Step
from chainrule.text import CharTokenizer
from chainrule.training.preprocessing import KIND

TEXTS = ["ab", "ba", "aab"]
IMAGES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
LETTERS = CharTokenizer().fit("ab")
IDS = [[2, 3], [3, 2], [2, 3]]  # the last one is cut


def encode():
    return Encode(LETTERS, 2)


ARRANGED = {
    "one": (Preprocessing(Standardize(5, 2), Rescale(3)), IMAGES),
    "none": (Preprocessing(), IMAGES),
    "classes alone": (Preprocessing(classes=["a", "b"]), IMAGES),
    "text": (Preprocessing(encode(), classes=["a", "b"]), TEXTS),
    "dict": (
        Preprocessing({"text": [encode()], "image": [Rescale(0.5)], "age": []}),
        {"age": [1, 2, 3], "text": TEXTS, "image": IMAGES},
    ),
    "tuple": (Preprocessing(([encode()], [Rescale(0.5)], [])), (TEXTS, IMAGES, [1, 2, 3])),
    "a tuple of one": (Preprocessing(([Rescale(0.5)],)), (IMAGES,)),
}


def test_each_input_has_its_steps():
    expected = {"text": IDS, "image": (IMAGES * 0.5).tolist(), "age": [1, 2, 3]}
    preprocessing, x = ARRANGED["dict"]
    found = preprocessing(x)
    assert list(found) == list(x)  # in the order in which they are given
    assert {key: each.tolist() for key, each in found.items()} == expected
    assert [each.dtype.name for each in found.values()] == ["int64", "int32", "float32"]
    preprocessing, x = ARRANGED["tuple"]
    found = preprocessing(x)
    assert isinstance(found, tuple)
    assert [each.tolist() for each in found] == list(expected.values())


@pytest.mark.parametrize("name", ARRANGED)
def test_it_comes_back_from_json(name):
    preprocessing, x = ARRANGED[name]
    config = json.loads(json.dumps(preprocessing.to_config()))
    again = made(config, KIND)
    assert again.to_config() == preprocessing.to_config()
    assert repr(again) == repr(preprocessing)
    assert again.several == preprocessing.several
    assert again.classes == preprocessing.classes
    for one, other in zip(leaves(preprocessing(x)), leaves(copy.deepcopy(again)(x)), strict=True):
        assert one.dtype == other.dtype
        assert (one == other).all()


def leaves(x):
    return list(x.values()) if isinstance(x, dict) else x if isinstance(x, tuple) else [x]


@pytest.mark.parametrize("name", ARRANGED)
def test_batch_by_batch_is_all_at_once(name):
    preprocessing, x = ARRANGED[name]
    whole, (ready, _) = preprocessing(x), preprocessing.prepare(x)
    ready = cr.training.data.check_arrays(ready)[0]
    for i in range(3):
        batch = cr.training.inputs.rows(ready, slice(i, i + 1))
        found = preprocessing.transform(batch, "float32")
        for one, other in zip(leaves(found), leaves(whole), strict=True):
            assert (one == other[i : i + 1]).all()


def test_nothing_changes_without_steps():
    assert Preprocessing().transform(IMAGES, "float32") is IMAGES
    assert Preprocessing(Rescale(2)).prepare(IMAGES)[0] is IMAGES


def test_names_as_a_column_for_a_single_output():
    animals = Preprocessing(classes=["cat", "dog"])
    assert animals.prepare(None, ["dog", "cat"], column=True)[1].tolist() == [[1], [0]]
    assert animals.prepare(None, [["dog"], ["cat"]], column=True)[1].tolist() == [[1], [0]]
    assert animals.prepare(None, [1, 0], column=True)[1] == [1, 0]


class Squared(Step):
    """A step of one's own."""

    def __init__(self, times):
        self.times = times

    def apply(self, x, dtype):
        return self.times * x.astype(dtype) ** 2


def test_a_step_of_ones_own_is_given_when_it_is_read():
    preprocessing = Preprocessing(Squared(3))
    assert preprocessing([[2.0]]).tolist() == [[12.0]]
    with pytest.raises(ValueError, match=r"steps\[0\]: class_name 'Squared' is unknown; known: En"):
        made(preprocessing.to_config(), KIND)
    with making(custom_objects={"Squared": Squared}):
        assert made(preprocessing.to_config(), KIND)([[2.0]]).tolist() == [[12.0]]


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([Standardize], TypeError, r"Standardize is a class; .* Standardize\.fit\(x_train\)"),
        ([Rescale], TypeError, r"Rescale is a class; .* Rescale\(\.\.\.\)"),
        (
            [np.log],
            TypeError,
            "must be one of Encode, MinMax, Rescale, Standardize, got <ufunc 'lo",
        ),
        ([[Rescale(1), "standardize"]], TypeError, "got 'standardize'; a function is none"),
        ([None], TypeError, "got None"),
        ([encode(), Rescale(1)], ValueError, "Encode must be the only step"),
        ([Rescale(1), encode()], ValueError, "Encode must be the only step"),
        ([{"a": Rescale(1)}], TypeError, r"needs a list of steps, as in \[Rescale"),
        ([{1: [Rescale(1)]}], TypeError, "names of inputs must be strings, got 1"),
        ([([Rescale(1)], Rescale(1))], TypeError, r"needs a list of steps"),
        ([{}], TypeError, "got {}"),
    ],
)
def test_steps_that_are_none(steps, error, message):
    with pytest.raises(error, match=message):
        Preprocessing(*steps)


@pytest.mark.parametrize(
    ("name", "x", "message"),
    [
        ("one", (IMAGES, IMAGES), "x must be one array, .*, got a tuple of 2; .* Preprocessing"),
        ("one", {"a": IMAGES}, "x must be one array, .*, got a dict of arrays with the keys 'a'"),
        ("dict", IMAGES, "x must be a dict with the keys 'age', 'image', 'text', .* got one array"),
        ("dict", {"text": TEXTS}, "x must be a dict with the keys 'age', 'image', 'text'"),
        ("dict", (TEXTS, IMAGES, IMAGES), "x must be a dict .*, got a tuple of 3"),
        ("tuple", (TEXTS, IMAGES), "x must be a tuple of 3, .*, got a tuple of 2"),
        ("tuple", IMAGES, "x must be a tuple of 3, .*, got one array"),
        ("tuple", (TEXTS, IMAGES, [1, 2]), r"x\[2\] has 2 rows but x\[0\] has 3"),
        ("tuple", (TEXTS, IMAGES, [1, "a", 2]), r"x\[2\] has .*text must be encoded"),
        (
            "dict",
            {"text": ["a", 1], "image": IMAGES, "age": [1]},
            r"x\['text'\]\[1\] must be a text",
        ),
        ("one", [[np.nan]], "x has 1 value that is NaN"),
    ],
)
def test_samples_that_are_not_as_the_preprocessing(name, x, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ARRANGED[name][0](x)


def test_messages_name_the_input_and_the_function():
    preprocessing = Preprocessing({"a": [Rescale([1, 2])]})
    with pytest.raises(
        ValueError, match=r"^evaluate: x\['a'\] does not fit the preprocessing: Resc"
    ):
        preprocessing.transform({"a": np.ones((3, 3))}, "float32", where="evaluate")


def config(steps, classes=None):
    return {"class_name": "Preprocessing", "config": {"steps": steps, "classes": classes}}


def step(name, **arguments):
    return {"class_name": name, "config": arguments}


TOKENS = LETTERS.to_config()


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (None, "'class_name' and 'config', got None"),
        ({"class_name": "os.system", "config": {}}, "class_name 'os.system' is unknown"),
        ({"class_name": "Preprocessing", "config": {"steps": []}}, "keys 'steps' and 'classes'"),
        ({"class_name": "Preprocessing", "config": []}, "config must be a dict"),
        (config(None), "p.steps: must be a list of steps, got None"),
        (config({}), "p.steps: must be a list of steps"),
        (config({"a": step("Rescale", scale=1)}), r"p.steps\['a'\]: must be a list of steps"),
        (config([[step("Rescale", scale=1)], 5]), r"p.steps\[1\]: must be a list of steps"),
        (config([5]), r"p.steps\[0\]: expected a dict"),
        (config([step("eval", x="1")]), r"p.steps\[0\]: class_name 'eval' is unknown"),
        (config([step("Rescale", scale="1")]), r"p.steps\[0\].config.scale: .*must be a number"),
        (
            config([step("Rescale", factor=1)]),
            r"p.steps\[0\].config.factor: .*no argument 'factor'",
        ),
        (config([step("Rescale")]), r"p.steps\[0\].config: "),
        (config([step("Standardize", mean=[1, [2]], std=1)]), r"p.steps\[0\].config.mean"),
        (config([step("MinMax", low=None, high=1)]), r"p.steps\[0\].config"),
        (config([step("Encode", tokenizer=None, length=3)]), r"p.steps\[0\].tokenizer: expected"),
        (config([step("Encode", tokenizer=TOKENS, length=-3)]), r"p.steps\[0\].config.length"),
        (
            config([step("Encode", tokenizer=step("CharTokenizer", vocabulary=5), length=3)]),
            r"p.steps\[0\].tokenizer.config.vocabulary",
        ),
        (
            config([step("Encode", tokenizer=step("CharTokenizer", vocabulary={}), length=3)]),
            r"p.steps\[0\].tokenizer.config",
        ),
        (config([step("Encode", tokenizer=step("CharTokenizer"), length=3)]), "no vocabulary yet"),
        (
            config([step("Encode", tokenizer=step("Rescale", scale=1), length=3)]),
            "'Rescale' is unk",
        ),
        (config([], classes=[1, 2]), r"p.config.classes: .*classes\[0\] must be a string"),
        (config([], classes="ab"), "p.config.classes: "),
        (config([], classes={}), "p.config.classes: "),
    ],
)
def test_damaged_configurations(damaged, message):
    with making(where="load_model", path="p"), pytest.raises(ValueError, match=message) as caught:
        made(damaged, KIND)
    assert str(caught.value).startswith("load_model: p")


def test_names_that_others_have():
    with pytest.raises(ImportError, match=r"Standardize\.fit\(x_train\)"):
        from chainrule.preprocessing import StandardScaler  # noqa: F401
    assert cr.preprocessing.MinMax is MinMax
    assert "preprocessing" in dir(cr)


def test_chainrule_does_not_import_it_before_it_is_used():
    code = "import chainrule, sys; assert 'chainrule.preprocessing' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
