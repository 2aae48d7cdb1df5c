"""Configurations and reprs: the constructor's arguments as plain data."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.layers import Activation, Dense, HeNormal, Layer, Normalization, ReLU, Softmax
from chainrule.layers.config import plain


class Rotate(Layer):
    def __init__(self, angles, *, kept=None, **options):
        super().__init__(**options)
        self.angles, self.kept = angles, kept


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Dense(10, activation="relu"), "Dense(units=10, activation='relu')"),
        (Dense(np.int64(2), "linear", use_bias=False), "Dense(units=2, use_bias=False)"),
        (
            Dense(2, kernel_initializer=HeNormal(seed=3), name="hidden", dtype="float64"),
            "Dense(units=2, kernel_initializer=HeNormal(seed=3), name='hidden', dtype='float64')",
        ),
        (Dense(2, ReLU()), "Dense(units=2, activation=ReLU())"),
        (Activation("relu"), "Activation(activation='relu')"),
        (Softmax(axis=1, trainable=False), "Softmax(axis=1, trainable=False)"),
        (Normalization(mean=[1, 2], variance=4), None),
        (Rotate((1, 2), name="r"), "Rotate(angles=[1, 2], name='r')"),
    ],
)
def test_repr_is_the_call_that_makes_it_without_the_defaults(layer, text):
    assert repr(layer) == (text or "Normalization(mean=[1.0, 2.0], variance=4.0)")


def test_the_configuration_has_the_parents_arguments_too():
    assert Rotate((1, np.float32(0.5))).get_config() == {
        "angles": [1, 0.5],
        "kept": None,
        "name": "rotate",
        "dtype": "float32",
        "trainable": True,
    }


def test_a_subclass_may_have_defaults_of_its_own():
    class Fixed(Layer):
        def __init__(self, trainable=False, **options):
            super().__init__(trainable=trainable, **options)

    assert repr(Fixed()) == "Fixed()"
    assert repr(Fixed(trainable=True)) == "Fixed(trainable=True)"


def test_a_function_is_no_plain_data_but_has_a_repr():
    layer = Dense(2, activation=lambda x: x)
    with pytest.raises(TypeError, match=r"argument 'activation' is <function.*known name"):
        layer.get_config()
    start = "Dense(units=2, activation=Activation(activation=<function"
    assert repr(layer).startswith(start)


def test_an_argument_that_is_not_kept_is_told():
    class Loses(Layer):
        def __init__(self, width):
            super().__init__()

    with pytest.raises(TypeError, match=r"Loses.get_config: argument 'width'.*self.width = width"):
        Loses(3).get_config()
    assert repr(Loses(3)) == "Loses()"


def test_plain_data_are_pythons_own():
    made = plain({"a": (np.int32(1), np.float64(0.5), np.bool_(True)), 2: np.eye(2)}, "x")
    assert made == {"a": [1, 0.5, True], "2": [[1.0, 0.0], [0.0, 1.0]]}
    assert [type(each) for each in made["a"]] == [int, float, bool]
