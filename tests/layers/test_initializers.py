"""Initialisers: bounds, moments, seeds and names."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule.layers import (
    INITIALIZERS,
    Constant,
    Dense,
    GlorotUniform,
    HeNormal,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    get_initializer,
)
from chainrule.layers.initializers import TRUNCATED_STDDEV, fans

SHAPE = (300, 200)
RANDOM = sorted(set(INITIALIZERS) - {"zeros", "ones", "constant"})

#: The variance that each is to have for fan_in = 300, fan_out = 200.
VARIANCE = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 300,
    "he_normal": 2 / 300,
    "lecun_uniform": 1 / 300,
    "lecun_normal": 1 / 300,
    "orthogonal": 1 / 300,  # columns of 300 numbers with length 1
    "random_normal": 0.05**2,
    "random_uniform": 0.1**2 / 12,
    "truncated_normal": (TRUNCATED_STDDEV * 0.05) ** 2,
}


@given(
    st.sampled_from(sorted(INITIALIZERS)),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    st.sampled_from(["float32", "float64"]),
)
def test_every_initializer_makes_finite_numbers_of_the_shape_and_dtype(name, shape, dtype):
    assume(name != "orthogonal" or len(shape) > 1)
    array = get_initializer(name)(shape, np.dtype(dtype))
    assert isinstance(array, np.ndarray)
    assert array.shape == shape
    assert array.dtype == dtype
    assert np.isfinite(array).all()


@pytest.mark.parametrize("name", sorted(VARIANCE))
def test_mean_and_variance_are_the_formulas(name):
    """Within 5 standard errors: sd/√n of the mean; at most var·√(2/n) (normal) of the variance."""
    assert sorted(VARIANCE) == RANDOM
    cr.seed(0)
    array = get_initializer(name)(SHAPE, np.float64)
    variance, n = VARIANCE[name], array.size
    assert abs(array.mean()) < 5 * math.sqrt(variance / n)
    assert abs(array.var() - variance) < 5 * variance * math.sqrt(2 / n)


@pytest.mark.parametrize("name", [name for name in RANDOM if "uniform" in name])
def test_uniform_ones_fill_their_interval_and_stay_within(name):
    """The largest of n numbers is within 20/n of the end, but for a chance of e^-10."""
    cr.seed(1)
    array = get_initializer(name)(SHAPE, np.float64)
    limit = math.sqrt(3 * VARIANCE[name])
    assert np.abs(array).max() <= limit * (1 + 1e-15)
    assert array.max() > limit * (1 - 20 / array.size)
    assert array.min() < -limit * (1 - 20 / array.size)


@pytest.mark.parametrize("name", [name for name in RANDOM if "normal" in name])
def test_truncated_ones_end_at_two_standard_deviations_and_the_normal_does_not(name):
    cr.seed(2)
    array = get_initializer(name)(SHAPE, np.float64)
    if name == "random_normal":
        assert np.abs(array).max() > 3 * 0.05
        return
    before = math.sqrt(VARIANCE[name]) / TRUNCATED_STDDEV
    assert 1.99 * before < np.abs(array).max() <= 2 * before * (1 + 1e-15)


def test_the_truncated_standard_deviation_is_the_formulas():
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    inside = math.erf(math.sqrt(2))
    assert pytest.approx(math.sqrt(1 - 4 * density / inside), rel=1e-14) == TRUNCATED_STDDEV


def test_seeds_decide():
    shape = (20, 30)
    for name in RANDOM:
        cr.seed(3)
        first = get_initializer(name)(shape, np.float32)
        second = get_initializer(name)(shape, np.float32)
        cr.seed(3)
        np.testing.assert_array_equal(get_initializer(name)(shape, np.float32), first)
        assert (first != second).any()
        cr.seed(3)
        wide = get_initializer(name)(shape, np.float64)
        np.testing.assert_array_equal(wide.astype(np.float32), first)


def test_a_seed_of_its_own_is_independent_of_the_common_one():
    cr.seed(4)
    alone = cr.random.uniform(3).tolist()
    cr.seed(4)
    first, second = HeNormal(seed=7), HeNormal(seed=7)
    a = first((4, 4))
    assert cr.random.uniform(3).tolist() == alone
    np.testing.assert_array_equal(a, second((4, 4)))
    assert (a != first((4, 4))).any()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        *(((), (1, 1)), ((7,), (7, 7)), ((5, 3), (5, 3)), ((2, 5, 3), (10, 6))),
        ((3, 3, 16, 32), (144, 288)),
    ],
)
def test_fans_count_the_window_of_a_convolution(shape, expected):
    assert fans(shape) == expected


def test_constants():
    assert get_initializer("zeros")((2,), np.float32).tolist() == [0, 0]
    assert get_initializer("ones")((2,), np.float32).tolist() == [1, 1]
    assert get_initializer("constant")((1,), np.float32).tolist() == [0]
    assert Constant(0.5)((1,), np.float32).tolist() == [0.5]
    assert RandomNormal(mean=3.0, stddev=0.0)((1,)).tolist() == [3.0]
    assert RandomUniform(2.0, 2.0)((1,)).tolist() == [2.0]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 3, 4), (0, 2), (1, 1)])
def test_orthogonal_matrices_have_orthonormal_columns_or_rows(shape):
    q = Orthogonal(gain=2.0)(shape, np.float64).reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-13)


def test_orthogonal_matrices_are_drawn_without_preference():
    """Of QR as LAPACK gives it, the first entry would have the sign that it always has."""
    cr.seed(0)
    drawn = np.array([Orthogonal()((3, 3), np.float64) for _ in range(400)])
    for i in range(3):  # the mean of 400 numbers of variance 1/3, within 5 standard errors
        assert abs(drawn[:, i, i].mean()) < 5 * math.sqrt(1 / 3 / 400)


def test_orthogonal_needs_a_matrix():
    with pytest.raises(cr.ShapeError, match=r"Orthogonal: .*two axes, got \(4,\)"):
        Orthogonal()((4,))


def test_short_names():
    assert get_initializer("uniform").identifier() == "random_uniform"
    assert get_initializer("normal").identifier() == "random_normal"


def test_names_instances_classes_and_functions_are_understood():
    def own(shape, dtype):
        return np.full(shape, 3.0)

    mine = GlorotUniform(seed=1)
    assert get_initializer(mine) is mine
    assert type(get_initializer(GlorotUniform)) is GlorotUniform
    assert get_initializer(own) is own


@pytest.mark.parametrize(
    "bad", ["Glorot", "", None, 3, {"class_name": "os", "config": {}}, {"class_name": "Zeros"}]
)
def test_an_unknown_initializer_is_told_the_known_ones(bad):
    with pytest.raises(ValueError, match=r"is unknown; known: .*(he_normal|HeNormal)"):
        get_initializer(bad)


def test_nonsense_arguments_are_refused():
    with pytest.raises(ValueError, match="stddev must not be negative"):
        RandomNormal(stddev=-1.0)
    with pytest.raises(ValueError, match="stddev must not be negative"):
        TruncatedNormal(stddev=float("nan"))
    with pytest.raises(ValueError, match="minval must not exceed maxval"):
        RandomUniform(1.0, 0.0)


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_configurations_survive_json_and_plain_names_stay_names(name):
    assert get_initializer(name).identifier() == name
    layer = Dense(2, kernel_initializer=name)
    assert Dense(**json.loads(json.dumps(layer.get_config()))).get_config() == layer.get_config()


def test_configurations_with_arguments_survive_json():
    made = TruncatedNormal(0.1, 0.2, seed=5)
    other = get_initializer(json.loads(json.dumps(made.identifier())))
    assert repr(other) == repr(made) == "TruncatedNormal(mean=0.1, stddev=0.2, seed=5)"
    np.testing.assert_array_equal(made((3, 3)), other((3, 3)))


def test_a_class_of_ones_own_never_takes_the_name_of_a_known_one():
    class Mine(GlorotUniform):
        pass

    assert Mine().identifier() == {"class_name": "Mine", "config": {"seed": None}}
    with pytest.raises(NotImplementedError, match="Initializer: define __call__"):
        Initializer()((1,))
