"""Names of classes: targets that are names become ids, outputs become names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.preprocessing import Preprocessing
from chainrule.training.class_names import labels

ANIMALS = ["cat", "dog", "eel"]


@given(st.lists(st.sampled_from(ANIMALS), min_size=1))
def test_names_become_the_places_in_the_list_of_classes(names):
    animals = Preprocessing(classes=ANIMALS)
    expected = [ANIMALS.index(each) for each in names]
    for form in (list, tuple, np.array, lambda y: np.array(y, object)):
        ids = animals.targets(form(names))
        assert ids.dtype == np.int64
        assert ids.tolist() == expected
    assert animals.labels(np.eye(3)[expected]).tolist() == names


def test_the_shape_stays():
    ids = Preprocessing(classes=ANIMALS).targets([["dog", "cat"], ["eel", "eel"]])
    assert ids.tolist() == [[1, 0], [2, 2]]


@pytest.mark.parametrize(
    "y", [[0, 2, 1], np.array([[0.5, 0.5]]), np.array([7]), [True], [[1], [2, 3]], [], [None]]
)
def test_what_are_no_names_passes(y):
    assert Preprocessing(classes=ANIMALS).targets(y) is y
    assert Preprocessing().targets(y) is y


def test_tensors_hold_numbers():
    y = cr.tensor([1.0], requires_grad=True)
    assert Preprocessing(classes=ANIMALS).targets(y) is y


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["cat", "Dog"], r"y\[1\] = 'Dog' is none of the 3 classes \(1 of 2 .*'cat', 'dog', 'eel'"),
        (np.array([["cat"], ["eal"]]), r"y\[1, 0\] = 'eal'"),
        (np.array(["cat", None], object), r"y\[1\] = None"),
        (np.array(["cat", np.nan, 3], object), r"y\[1\] = nan .*\(2 of 3"),
    ],
)
def test_an_unknown_name_is_named_with_its_place(y, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(classes=ANIMALS).targets(y)


def test_a_long_list_of_classes_is_cut():
    with pytest.raises(ValueError, match=r"'c9', \.\.\. \(1000 in all\)"):
        Preprocessing(classes=[f"c{i}" for i in range(1000)]).targets(["x"])


def test_of_equal_probabilities_the_first_class_is_taken():
    assert labels([[0.4, 0.4, 0.2]], tuple(ANIMALS)).tolist() == ["cat"]
    assert labels([[0.5], [0.50001]], ("no", "yes")).tolist() == ["no", "yes"]


def test_every_step_of_a_sequence_has_its_class():
    outputs = np.random.default_rng(0).random((4, 5, 3))
    found = labels(outputs, tuple(ANIMALS))
    assert found.shape == (4, 5)
    assert (found == np.array(ANIMALS)[outputs.argmax(-1)]).all()
    assert (labels(outputs) == outputs.argmax(-1)).all()
    assert labels(outputs[..., :1]).shape == (4, 5)


def test_one_output_stands_for_two_classes():
    probabilities = np.array([0.2, 0.9])
    for outputs in (probabilities, probabilities[:, None]):
        assert labels(outputs, ("no", "yes")).tolist() == ["no", "yes"]
        assert labels(outputs).tolist() == [0, 1]
    assert labels([[-0.1], [0.1]], ("no", "yes"), threshold=0).tolist() == ["no", "yes"]
    assert labels(np.array([[0.1], [0.2]])).dtype == np.int64


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (np.zeros((2, 4)), r"shape \(2, 4\), but the preprocessing has 3 classes"),
        (np.zeros((2, 1)), "give the last layer 3 units"),
        (np.zeros(3), "give the last layer 3 units"),
        ([[0.1, np.nan, 0.2]], "1 of 3 outputs are NaN"),
        (0.5, "must be numbers of shape"),
        (["cat"], "must be numbers of shape"),
    ],
)
def test_outputs_that_are_not_of_these_classes(outputs, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(classes=ANIMALS).labels(outputs)


def test_a_single_output_that_is_no_probability():
    with pytest.raises(ValueError, match=r"one is -0.5; end the model in a sigmoid"):
        labels([[0.5], [-0.5]])


@pytest.mark.parametrize(
    ("classes", "error", "words"),
    [
        ("ab", TypeError, "classes must be a list of names"),
        ({"a": 0, "b": 1}, TypeError, "classes must be a list of names"),
        ([1, 2], TypeError, r"classes\[0\] must be a string, got 1"),
        (["a", ""], ValueError, r"classes\[1\] is empty"),
        (["a", "b", "a"], ValueError, "'a' comes twice"),
        (["a"], ValueError, "at least two"),
        ([], ValueError, "at least two"),
    ],
)
def test_classes_that_are_none(classes, error, words):
    with pytest.raises(error, match=words):
        Preprocessing(classes=classes)


def test_names_of_numpy_are_strings_in_the_configuration():
    made = Preprocessing(classes=np.unique(["b", "a", "b"]))
    assert made.get_config()["classes"] == ["a", "b"]
    assert {type(each) for each in made.classes} == {str}


def test_many_classes_are_compared_by_hash():
    compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    Preprocessing(classes=[Name(number) for number in range(300)])
    assert compared < 300
