"""Normalisation by learnt statistics."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.layers import Normalization, from_config
from chainrule.layers import normalization as module

rng = np.random.default_rng(0)
EPS = np.finfo(np.float64).eps


@given(
    hnp.arrays(
        st.sampled_from(["float32", "float64", "uint8", "int16", "bool"]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.integers(0, 1),
    ),
    st.data(),
)
def test_each_feature_comes_out_with_mean_0_and_variance_1_or_0_where_constant(data, draw):
    axes = st.lists(st.integers(1, data.ndim - 1), min_size=1, unique=True).map(tuple)
    axis = draw.draw(st.one_of(st.none(), axes, axes.map(lambda a: a[0] - data.ndim)))
    layer = Normalization(axis=axis, dtype="float64")
    layer.adapt(data)
    y = layer(data).numpy()
    kept = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = tuple(i for i in range(data.ndim) if i not in kept and i - data.ndim not in kept)
    constant = data.min(axis=reduced) == data.max(axis=reduced)
    # Up to 625 numbers of size below 32, each rounded.
    np.testing.assert_allclose(y.mean(axis=reduced), 0, atol=1e4 * EPS)
    np.testing.assert_allclose(y.var(axis=reduced), np.where(constant, 0, 1), atol=1e5 * EPS)


def test_the_formula_and_its_gradient():
    mean, variance = np.array([1.0, -2.0]), np.array([4.0, 0.25])
    layer = Normalization(mean=mean, variance=variance, dtype="float64")
    x = cr.tensor(rng.standard_normal((5, 3, 2)), requires_grad=True)
    upstream = rng.standard_normal((5, 3, 2))
    y = layer(x)
    y.backward(upstream)
    np.testing.assert_allclose(y.numpy(), (x.numpy() - mean) / [2.0, 0.5], rtol=4 * EPS)
    np.testing.assert_allclose(x.grad.numpy(), upstream / [2.0, 0.5], rtol=4 * EPS)


def test_blocks_of_rows_do_not_change_the_statistics(monkeypatch):
    """The data are larger than a block, and their last block is short."""
    data = (rng.standard_normal((103, 4)) + 1e4).astype(np.float32)
    monkeypatch.setattr(module, "_BLOCK", 40)
    layer = Normalization(dtype="float64")
    layer.adapt(data)
    wide = data.astype(np.float64)
    np.testing.assert_allclose(layer.mean.numpy(), wide.mean(0), rtol=103 * EPS)
    np.testing.assert_allclose(layer.variance.numpy(), wide.var(0), rtol=1e-9)


def test_sums_are_float64_though_the_data_are_float32():
    """In float32 the sum of a million numbers near 1,000 keeps one digit of their spread."""
    data = (1000 + rng.standard_normal((1_000_000, 1))).astype(np.float32)
    layer = Normalization(dtype="float64")
    layer.adapt(data)
    assert abs(layer.mean.item() - 1000) < 5 / 1000
    assert abs(layer.variance.item() - 1) < 5 * (2 / 1e6) ** 0.5


@pytest.mark.parametrize("value", [0.1, -1e30, 0.0, 16777217.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_feature_is_divided_by_1_whatever_the_sums_round(value, dtype):
    layer = Normalization(dtype=dtype)
    layer.adapt(np.full((1001, 1), value))
    assert layer.variance.item() == 0
    other = np.array([[value], [0.5]], dtype)
    np.testing.assert_array_equal(layer(other).numpy(), other - np.asarray(value, dtype))


def test_statistics_are_state_and_no_parameters():
    layer = Normalization(name="standardize")
    layer.adapt(rng.standard_normal((10, 3)))
    assert layer.parameters() == []
    assert layer.count_params() == 0
    assert [(name, w.shape) for name, w in layer.named_weights()] == [
        ("mean", (3,)),
        ("variance", (3,)),
    ]
    layer.trainable = True
    assert not layer.mean.requires_grad
    assert {w.dtype for _, w in layer.named_weights()} == {np.dtype("float32")}


def test_statistics_put_in_from_a_file_count_as_adapted():
    first = Normalization()
    first.adapt(rng.standard_normal((10, 3)))
    second = from_config(json.loads(json.dumps(first.to_config())))
    second.build((None, 3))
    for (_, saved), (_, weight) in zip(first.named_weights(), second.named_weights(), strict=True):
        weight.assign(saved)
    x = rng.standard_normal((4, 3))
    np.testing.assert_array_equal(second(x).numpy(), first(x).numpy())


def test_adapting_again_forgets_the_first_data():
    layer = Normalization()
    layer.adapt([[1.0], [3.0]])
    mean = layer.mean
    layer.adapt(cr.tensor([[10.0], [30.0]]))
    assert layer.mean is mean
    assert (layer.mean.tolist(), layer.variance.tolist()) == ([20.0], [100.0])


def test_given_statistics_are_broadcast_saved_and_copied():
    layer = Normalization(mean=1, variance=[4.0, 9.0, 0.0])
    x = [[3.0, 4.0, 5.0]]
    assert layer(x).tolist() == [[1.0, 1.0, 4.0]]
    assert from_config(layer.to_config())(x).tolist() == [[1.0, 1.0, 4.0]]
    assert copy.deepcopy(layer)(x).tolist() == [[1.0, 1.0, 4.0]]
    with pytest.raises(ShapeError, match="variance with shape"):
        Normalization(mean=1, variance=[4.0, 9.0])(x)


# Bad input ----------------------------------------------------------------------------------


def test_before_adapt_it_says_what_to_call():
    for use in (lambda layer: layer(np.ones((2, 3))), lambda layer: layer.logits(np.ones((2, 3)))):
        with pytest.raises(RuntimeError, match=r"call adapt\(data\) with the training data first"):
            use(Normalization())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite_are_refused_and_found(bad):
    data = rng.standard_normal((6, 3))
    data[2, 1] = data[4, 0] = bad
    layer = Normalization()
    with pytest.raises(ValueError, match=r"adapt: data holds .*\(2 of 18, the first .*\(2, 1\)"):
        layer.adapt(data)
    with pytest.raises(RuntimeError, match="adapt"):
        layer(np.ones((1, 3)))


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e200])
def test_a_variance_that_the_dtype_cannot_hold_is_refused(scale):
    with pytest.raises(ValueError, match=r"cannot hold; scale the data"):
        Normalization().adapt(np.array([[-scale], [scale]]))


@pytest.mark.parametrize("bad", [np.ones((0, 3)), np.ones((3, 0)), [], 3.0])
def test_empty_data_are_refused(bad):
    with pytest.raises(ValueError, match="not empty, got"):
        Normalization().adapt(bad)


def test_data_that_are_no_numbers_are_refused():
    for bad in (np.array([["a"]]), np.ones((2, 2), complex), np.array([[None]])):
        with pytest.raises(DtypeError, match=r"Normalization.adapt"):
            Normalization().adapt(bad)


@pytest.mark.parametrize("axis", [0, -2, 2, (1, -1), (0, 1)])
def test_an_axis_that_is_the_batch_or_is_not_there_is_refused(axis):
    with pytest.raises(ShapeError, match="after the batch"):
        Normalization(axis=axis).adapt(np.ones((3, 2)))


def test_one_axis_is_refused_with_the_remedy():
    with pytest.raises(ShapeError, match=r"one feature are \(samples, 1\)"):
        Normalization().adapt(np.ones(3))


def test_other_features_later_on_are_told_with_shape_and_dtype():
    layer = Normalization()
    layer.adapt(rng.standard_normal((10, 100)))
    with pytest.raises(ShapeError, match=r"shape \(100,\).*got x with shape \(32, 99\), float32"):
        layer(np.ones((32, 99)))
    with pytest.raises(ShapeError, match=r"shape \(100,\).*got x with shape \(5, 99\), float64"):
        layer.adapt(np.ones((5, 99)))


def test_nonsense_arguments_are_refused():
    with pytest.raises(ValueError, match="both mean and variance, or neither"):
        Normalization(mean=1.0)
    with pytest.raises(ValueError, match="finite, and variance not negative"):
        Normalization(mean=0.0, variance=-1.0)
    with pytest.raises(ValueError, match="finite, and variance not negative"):
        Normalization(mean=np.nan, variance=1.0)
    for axis in ("last", 1.0, True, [None]):
        with pytest.raises(TypeError, match="axis must be integers or None"):
            Normalization(axis=axis)
    with pytest.raises(ShapeError, match="must have known lengths"):
        Normalization().build((None, None))
