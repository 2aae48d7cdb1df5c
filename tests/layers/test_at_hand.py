"""Building for weights that are at hand: of their shapes only, each once, and nothing is drawn."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import LSTM, Dense, Normalization
from chainrule.layers.at_hand import weights_at_hand

SHAPES = [(4, 4), (4,)]


def test_each_shape_serves_once():
    with weights_at_hand(SHAPES):
        layer = Dense(4)
        layer.build((None, 4))
        assert not layer.kernel.numpy().any() and layer.kernel.requires_grad
        with pytest.raises(cr.ShapeError, match=r"kernel would have shape \(4, 4\).*none is"):
            Dense(4).build((None, 4))
    with weights_at_hand(SHAPES * 2):
        for _ in range(2):
            Dense(4).build((None, 4))


def test_another_shape_is_refused_and_the_known_ones_are_told():
    with (
        weights_at_hand(SHAPES),
        pytest.raises(cr.ShapeError, match=r"Dense.add_weight: .*\(4, 5\), .*: \(4,\), \(4, 4\)"),
    ):
        Dense(5).build((None, 4))


def test_nothing_is_drawn_and_afterwards_all_is_as_before():
    cr.seed(3)
    expected = cr.random.generator().random(2)
    cr.seed(3)
    with weights_at_hand([(3, 8), (2, 8), (8,)]):
        LSTM(2).build((None, 5, 3))
    np.testing.assert_array_equal(cr.random.generator().random(2), expected)
    layer = Dense(9)
    layer.build((None, 7))
    assert layer.kernel.numpy().any()


def test_other_threads_are_not_concerned():
    found = []

    def build():
        layer = Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])
        layer.build((None, 2))
        found.append(layer.mean.tolist())

    with weights_at_hand([]):
        thread = threading.Thread(target=build)
        thread.start()
        thread.join()
    assert found == [[1.0, 2.0]]
