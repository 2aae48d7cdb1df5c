"""Flattening."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule.engine.errors import ShapeError
from chainrule.layers import Flatten


@given(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4), st.integers(0, 99))
def test_samples_become_rows_and_gradients_go_back_in_place(shape, seed):
    rng = np.random.default_rng(seed)
    x = cr.tensor(rng.standard_normal(shape), requires_grad=True)
    y = Flatten(dtype="float64")(x)
    assert y.shape == (shape[0], int(np.prod(shape[1:])))
    assert y.shape == Flatten().compute_output_shape(shape)
    for row, sample in zip(y.numpy(), x.numpy(), strict=True):
        np.testing.assert_array_equal(row, sample.ravel())
    upstream = rng.standard_normal(y.shape)
    y.backward(upstream)
    np.testing.assert_array_equal(x.grad.numpy(), upstream.reshape(shape))


def test_unknown_lengths_stay_unknown():
    assert Flatten().compute_output_shape((None, 28, 28)) == (None, 784)
    assert Flatten().compute_output_shape((None, None, 28)) == (None, None)


def test_a_number_is_refused():
    with pytest.raises(ShapeError, match="Flatten: x must have at least 1 axes"):
        Flatten()(3.0)
