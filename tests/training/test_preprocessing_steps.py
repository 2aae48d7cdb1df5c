"""Steps that scale: their formulas, their dtypes, and that samples do not depend on each other."""

from __future__ import annotations

import copy
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule.engine.making import made
from chainrule.layers import Normalization
from chainrule.preprocessing import MinMax, Preprocessing, Rescale, Standardize
from chainrule.training.preprocessing_steps import KIND

EPS = float(np.finfo(np.float64).eps)
DTYPES = ("bool", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64")
FITTED = (Standardize.fit, MinMax.fit)


def as_saved(step):
    """What comes back of a step from a JSON file."""
    return made(json.loads(json.dumps(step.to_config())), KIND)


def same(a, b):
    """Are two arrays equal to the last bit, dtype and shape included?"""
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("model", ["float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_formulas(dtype, model):
    """Written out in the wider of the two dtypes; integers of more than 16 bits need float64."""
    draw = np.random.default_rng(0)
    x = (draw.random((5, 4, 3)) * (2 if dtype == "bool" else 200)).astype(dtype)
    mean, std = draw.normal(size=3) * 50, draw.random(3) + 0.5
    wide = (
        "float64"
        if model == "float64" or dtype in ("int32", "int64", "uint64", "float64")
        else "float32"
    )
    w, number = x.astype(wide), np.dtype(wide).type
    m, s = mean.astype(wide), std.astype(wide)
    high = mean + std
    span = (high - mean).astype(wide)
    cases = [
        (Rescale(1 / 255), w * number(1 / 255) + number(0)),
        (Rescale(mean, std), w * m + s),
        (Standardize(mean, std), (w - m) / s),
        (Standardize(3, 2.5), (w - number(3)) / number(2.5)),
        (MinMax(mean, high), (w - m) / span),
    ]
    for step, expected in cases:
        assert same(Preprocessing(step)(x, model), expected.astype(model)), step


def test_steps_are_applied_in_their_order():
    x = np.array([[1.0, 4.0]])
    assert Preprocessing(Rescale(2.0), Rescale(1.0, 3.0))(x).tolist() == [[5.0, 11.0]]
    assert Preprocessing([Rescale(1.0, 3.0), Rescale(2.0)])(x).tolist() == [[8.0, 14.0]]


def test_no_digit_of_a_large_integer_or_a_float64_is_lost_before_the_mean_is_subtracted():
    times = np.array([[1_700_000_000], [1_700_000_001], [1_700_000_002]])
    for x in (times, times.astype("int32"), times.astype(float)):
        step = Preprocessing(Standardize(1_700_000_001, 1))
        assert step(x, "float32").tolist() == [[-1.0], [0.0], [1.0]]


arrays = hnp.arrays(
    st.sampled_from(["float32", "float64", "int32", "uint8"]),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4),
    elements=st.integers(0, 100),
)


@given(arrays, st.sampled_from(FITTED), st.data())
def test_fitted_data_have_mean_0_and_deviation_1_or_lie_from_0_to_1(x, fit, draws):
    others = draws.draw(st.lists(st.integers(1, x.ndim - 1), unique=True)) if x.ndim > 1 else []
    axis = draws.draw(st.sampled_from([None, (0, *others)]))
    y = Preprocessing(fit(x, axis=axis))(x, "float64")
    axes = tuple(range(x.ndim)) if axis is None else axis
    constant = np.ptp(x.astype(float), axis=axes) == 0
    assert (y.min(axis=axes)[constant] == 0).all()
    assert (y.max(axis=axes)[constant] == 0).all()
    if fit == MinMax.fit:
        assert (y.min(axis=axes) == 0).all()
        assert (y.max(axis=axes)[~constant] == 1).all()
        return
    # A spread of at least 1 / 10 of values below 100, whose sums round to x.size * EPS * 100.
    bound = 1e4 * x.size * EPS
    assert (abs(y.mean(axis=axes)) <= bound).all()
    assert (abs(y.std(axis=axes)[~constant] - 1) <= bound).all()


def test_a_constant_feature_becomes_0_exactly_though_its_mean_is_rounded():
    x = np.full((1000, 1), 0.1)
    assert x.mean() != 0.1
    for fit in FITTED:
        assert not Preprocessing(fit(x))(x, "float64").any()


def test_booleans_are_numbers_to_fit():
    x = np.array([[True, False], [False, False]])
    assert Preprocessing(MinMax.fit(x))(x).tolist() == [[1, 0], [0, 0]]
    assert Preprocessing(Standardize.fit(x))(x).tolist() == [[1, 0], [-1, 0]]


def test_the_axes_are_those_averaged_over():
    x = np.random.default_rng(0).normal(size=(6, 2, 3))
    step = Standardize.fit(x, axis=(0, 1))
    np.testing.assert_allclose(step.mean, x.mean(axis=(0, 1)), rtol=1e-13)
    np.testing.assert_allclose(step.std, x.std(axis=(0, 1)), rtol=1e-13)
    assert Standardize.fit(x, axis=(0, -1)).mean.shape == (2, 1)
    assert Standardize.fit(x).mean.shape == (2, 3)
    assert isinstance(Standardize.fit(x, axis=None).mean, float)
    assert MinMax.fit(x, axis=None).high == x.max()
    assert (MinMax.fit(x, axis=[0, 1]).low == x.min(axis=(0, 1))).all()


def test_it_is_what_the_layer_of_the_same_purpose_computes():
    x = np.random.default_rng(0).normal(size=(20, 3)) * [1, 10, 0] + 5
    layer = Normalization(dtype="float64")
    layer.adapt(x)
    assert same(Preprocessing(Standardize.fit(x))(x, "float64"), layer(x).numpy())


@given(arrays, st.sampled_from(FITTED))
@settings(max_examples=50)
def test_a_sample_does_not_depend_on_its_batch_and_nothing_is_changed(x, fit):
    whole = Preprocessing(fit(x), Rescale(0.5, 1))
    before = x.copy()
    x.flags.writeable = False
    y = whole(x)
    assert same(y, np.concatenate([whole(x[i : i + 1]) for i in range(len(x))]))
    assert same(x, before)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize(
    "step",
    [
        Rescale(1 / 3, -0.1),
        Rescale(np.array([0.1, 1 / 7, 3e-300])),
        Standardize(np.float32(0.1), np.float64(1 / 3)),
        Standardize.fit(np.random.default_rng(0).normal(size=(9, 2, 3)), axis=(0, 1)),
        Standardize.fit(np.random.default_rng(0).normal(size=(9, 2, 3)), axis=(0, 2)),
        MinMax.fit(np.random.default_rng(0).normal(size=(9, 3))),
        MinMax(-1, 1),
    ],
)
def test_a_step_comes_back_from_json_to_the_last_bit(step):
    x = np.random.default_rng(1).normal(size=(5, 2, 3)) * 100
    again = as_saved(step)
    assert type(again) is type(step)
    assert again.get_config() == step.get_config()
    for dtype in ("float32", "float64"):
        assert same(Preprocessing(step)(x, dtype), Preprocessing(again)(x, dtype))
    assert same(Preprocessing(copy.deepcopy(step))(x), Preprocessing(step)(x))


def test_the_statistics_are_the_steps_own():
    mean = np.zeros(2)
    step = Standardize(mean, 1)
    mean += 5
    assert step.mean.tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        step.mean += 1


def test_a_memory_map_is_not_copied_to_fit(tmp_path):
    """32 MB of them; besides, NumPy keeps pieces of at most CHUNK numbers, and their masks."""
    big = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (80_000, 100))
    big[:] = np.random.default_rng(0).random((100,), np.float32)
    big[::2] += 1
    for fit in FITTED:
        tracemalloc.start()
        step = fit(big)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 18e6
    np.testing.assert_allclose(step.high - step.low, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: Standardize(), TypeError, r"Standardize\.fit\(x_train\)"),
        (lambda: Standardize(0.0), TypeError, "mean and std are not known"),
        (lambda: MinMax(high=1), TypeError, r"MinMax\.fit\(x_train\)"),
        (lambda: Rescale("255"), TypeError, "scale must be a number"),
        (lambda: Rescale([[1], [1, 2]]), TypeError, "scale must be a number"),
        (lambda: Rescale(True), TypeError, "scale must be a number"),
        (lambda: Rescale(1, None), TypeError, "offset must be a number"),
        (lambda: Rescale(np.nan), ValueError, "scale must be finite"),
        (lambda: Standardize([0, np.inf], 1), ValueError, "mean must be finite"),
        (lambda: Standardize(0, [1, -1]), ValueError, "std must not be negative"),
        (lambda: Standardize(mean=0, variance=1), TypeError, "its square root"),
        (lambda: Standardize(axis=0), TypeError, r"Standardize\.fit\(x_train, axis"),
        (lambda: MinMax(1, 0), ValueError, r"the order is \(low, high\)"),
        (lambda: MinMax([0, 0], [1, 1, 1]), ValueError, "must have one shape"),
        (lambda: Standardize.fit([[1.0, np.nan]]), ValueError, r"Standardize\.fit: x .* NaN"),
        (lambda: Standardize.fit([]), ValueError, "x is empty"),
        (lambda: Standardize.fit(["a"]), TypeError, "text must be encoded"),
        (lambda: MinMax.fit({"a": [1]}), TypeError, "for each input apart"),
        (lambda: MinMax.fit([[1]], axis=1), ValueError, "samples' axis 0 among them"),
        (lambda: MinMax.fit([[1]], axis=(0, 2)), ValueError, "samples' axis 0 among them"),
        (lambda: MinMax.fit([[1]], axis="rows"), ValueError, "samples' axis 0 among them"),
    ],
)
def test_wrong_use(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()


@pytest.mark.parametrize(
    "step", [Rescale([1, 2]), Standardize([0, 0], 1), Standardize(0, [1, 1]), MinMax([0, 0], 1)]
)
@pytest.mark.parametrize("shape", [(5,), (2,), (5, 3), (2, 1), (5, 2, 3)])
def test_samples_that_a_step_is_not_for(step, shape):
    with pytest.raises(ValueError, match=r"x does not fit the preprocessing: .* axes are \(2,\)"):
        Preprocessing(step)(np.zeros(shape))


def test_a_number_that_leaves_the_range_of_the_dtype():
    for step, x in [
        (Rescale(1e30), np.float32([[1e20]])),
        (Rescale(1e30), np.array([[1e20]])),
        (Rescale(1e300), np.float32([[1]])),
        (Standardize(0, 1e-60), np.float32([[1]])),
        (Standardize(0, 1e-60), np.float32([[0]])),
    ]:
        with pytest.raises(ValueError, match="x leaves the range of float32"):
            Preprocessing(step)(x)
