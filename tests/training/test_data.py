"""Training data: what is refused and why, how it is split and cut into batches."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.training import data
from chainrule.training.data import (
    Batches,
    check_arrays,
    check_batch_size,
    check_targets,
    split_validation,
)

NUMBERS = ["bool", "int8", "uint8", "int32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_pass_without_a_copy(dtype):
    x, y = np.ones((3, 2), dtype), np.ones(3, dtype)
    checked_x, checked_y = check_arrays(x, y)
    assert np.shares_memory(checked_x, x) and np.shares_memory(checked_y, y)
    assert (checked_x.dtype, checked_x.shape) == (x.dtype, x.shape)


def test_lists_become_arrays_and_targets_may_be_missing():
    x, y = check_arrays([[1, 2], [3, 4]])
    assert x.tolist() == [[1, 2], [3, 4]] and y is None


def test_other_byte_orders_become_the_machines():
    values = np.array([1.5, 2.5])
    swapped = values.astype(values.dtype.newbyteorder())
    x, _ = check_arrays(swapped)
    assert x.dtype == np.float64 and x.dtype.isnative and x.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        (np.array([{}, None]), TypeError, "Python objects"),
        (["a", "b"], TypeError, "text must be encoded.*for a pipeline, before it is made"),
        (np.array([b"a"]), TypeError, "text must be encoded"),
        (np.ones(2, "complex64"), TypeError, "real and imaginary"),
        (np.ones(2, "float16"), TypeError, r'precision.*astype\("float32"\)'),
        (np.ones(2, "datetime64[s]"), TypeError, "convert it to numbers"),
        (np.ones(2, np.longdouble), TypeError, "convert it to numbers"),
        (5.0, ValueError, "a single number"),
        (None, TypeError, "Python objects"),
        ([], ValueError, r"is empty \(shape \(0,\), float64\)"),
        (np.ones((0, 3)), ValueError, "is empty"),
        (np.ones((3, 0)), ValueError, "is empty"),
        ([[1, 2], [3]], ValueError, "every row must have the same shape"),
        (np.ma.masked_equal([1.0, 2.0], 2.0), ValueError, "masked"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_a_reason(value, error, reason):
    if isinstance(value, np.ndarray) and value.dtype == np.longdouble == np.float64:
        pytest.skip("long double is float64 here")
    with pytest.raises(error, match=f"^evaluate: images .*{reason}"):
        check_arrays(value, x_name="images", where="evaluate")
    if value is not None:  # where targets are missing, None is right
        with pytest.raises(error, match=f"^fit: labels .*{reason}"):
            check_arrays(np.ones(2), value, y_name="labels")


def test_lengths_must_agree():
    message = "fit: y has 99 rows but x has 100; every sample needs one target"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_arrays(np.ones((100, 3)), np.ones(99))


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    chunk=st.integers(1, 30),
    chosen=st.data(),
)
def test_the_first_value_that_is_not_finite_is_found(shape, chunk, chosen):
    x = np.zeros(shape)
    positions = st.sets(st.integers(0, x.size - 1), min_size=1)
    flat = sorted(chosen.draw(positions))
    x.flat[flat] = chosen.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    first = ", ".join(str(int(i)) for i in np.unravel_index(flat[0], shape))
    count = "1 value that is" if len(flat) == 1 else f"{len(flat)} values that are"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "CHUNK", chunk)
        with pytest.raises(ValueError) as caught:
            check_arrays(x)
        with pytest.raises(ValueError, match="y has"):
            check_arrays(np.zeros(shape), x)
    assert f"fit: x has {count} NaN or infinite, the first at x[{first}] = " in str(caught.value)


def test_large_finite_values_pass():
    check_arrays(np.full(1000, np.finfo(np.float32).max, np.float32))


def test_checking_takes_little_memory(tmp_path):
    x = np.memmap(tmp_path / "x.bin", "float32", "w+", shape=(4096, 4096))
    tracemalloc.start()
    check_arrays(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * data.CHUNK  # a mask of all of it would take 16 of them


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_labels_within_the_classes_pass(dtype):
    check_targets(np.array([[0, 9], [5, 3]], dtype), 10)
    check_targets(np.array([], dtype), 10)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 10, 12], "fit: y[1] = 10 is outside the classes 0 to 9 (2 of 3 labels are); "
                      "relabel y from 0, or give the last layer 13 units"),
        ([0, 1, -1], "fit: y[2] = -1 is outside the classes 0 to 9 (1 of 3 labels are); "
                     "relabel y from 0"),
        ([[0, 1], [2, 10]], "fit: y[1, 1] = 10 is outside the classes 0 to 9 (1 of 4 labels "
                            "are); relabel y from 0, or give the last layer 11 units"),
    ],
)  # fmt: skip
def test_the_first_label_outside_is_named(labels, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_targets(np.array(labels), 10)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bool"])
def test_labels_must_be_integers(dtype):
    with pytest.raises(TypeError, match=r'labels are integers.*y_test\.astype\("int64"\)'):
        check_targets(np.array([0, 1], dtype), 10, y_name="y_test")


@given(samples=st.integers(2, 60), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_a_split_is_a_partition_in_the_original_order(samples, fraction, seed):
    x = np.arange(samples)
    held_out = round(samples * fraction)
    if held_out in (0, samples):
        with pytest.raises(ValueError, match="leaves none for"):
            split_validation(x, x, fraction, np.random.default_rng(seed))
        return
    parts = split_validation(x, -x, fraction, np.random.default_rng(seed))
    x_train, y_train, x_validation, y_validation = parts
    assert len(x_validation) == held_out
    assert sorted([*x_train, *x_validation]) == list(x)
    for part_x, part_y in ((x_train, y_train), (x_validation, y_validation)):
        assert (np.diff(part_x) > 0).all()
        np.testing.assert_array_equal(part_y, -part_x)
        assert not np.shares_memory(part_x, x)
    again = split_validation(x, -x, fraction, np.random.default_rng(seed))
    np.testing.assert_array_equal(again[2], x_validation)


def test_a_split_of_sorted_data_takes_from_all_of_it():
    x = np.repeat([0, 1], 500)
    _, _, validation, _ = split_validation(x, x, 0.2, np.random.default_rng(0))
    assert 60 <= validation.sum() <= 140  # binomial: 100, standard deviation 6.3


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, np.nan, 20])
def test_fractions_outside_are_refused(fraction):
    with pytest.raises(ValueError, match="validation_split must lie between 0 and 1"):
        split_validation(np.ones(9), np.ones(9), fraction, np.random.default_rng(0))


@pytest.mark.parametrize("fraction", [True, "0.2", None])
def test_fractions_are_numbers(fraction):
    with pytest.raises(TypeError, match="validation_split must be a number"):
        split_validation(np.ones(9), np.ones(9), fraction, np.random.default_rng(0))


@given(samples=st.integers(1, 50), size=st.integers(1, 60), shuffled=st.booleans())
def test_each_pass_gives_every_sample_once_with_its_target(samples, size, shuffled):
    x = np.arange(samples * 2.0).reshape(samples, 2)
    batches = Batches(x, -x[:, 0], size, np.random.default_rng(0) if shuffled else None)
    for _ in range(2):
        passed = list(batches)
        assert len(passed) == len(batches) == -(-samples // size)
        assert [len(part) for part, _ in passed[:-1]] == [size] * (len(passed) - 1)
        assert 1 <= len(passed[-1][0]) <= size
        joined = np.concatenate([part for part, _ in passed])
        targets = np.concatenate([part for _, part in passed])
        np.testing.assert_array_equal(targets, -joined[:, 0])
        np.testing.assert_array_equal(joined if not shuffled else np.sort(joined, axis=0), x)


def test_orders_are_fresh_each_epoch_and_given_by_the_seed():
    x = np.arange(100)

    def epochs(seed):
        batches = Batches(x, None, 32, np.random.default_rng(seed))
        return [[part.tolist() for part, _ in batches] for _ in range(3)]

    first, second, third = epochs(1)
    assert first != second != third
    assert epochs(1) == [first, second, third]
    assert epochs(2)[0] != first


def test_unshuffled_batches_are_views_and_missing_targets_stay_missing():
    x = np.arange(10)
    for part, target in Batches(x, None, 4):
        assert np.shares_memory(part, x)
        assert target is None


@pytest.mark.parametrize(
    ("size", "error"),
    [(0, ValueError), (-3, ValueError), (True, TypeError), (np.True_, TypeError),
     (32.0, TypeError), ("32", TypeError), (None, TypeError)],
)  # fmt: skip
def test_batch_sizes_are_positive_integers(size, error):
    with pytest.raises(error, match=r"^predict: batch_size must be .*" + re.escape(str(size))):
        Batches(np.ones(3), None, size, where="predict")


def test_numpy_integers_are_batch_sizes():
    size = check_batch_size(np.uint8(200))
    assert (size, type(size)) == (200, int)


def test_other_sources_of_randomness_are_refused():
    for generator in (0, np.random.RandomState(0)):
        with pytest.raises(TypeError, match=r"numpy\.random\.Generator.*default_rng"):
            Batches(np.ones(3), None, 2, generator)
        with pytest.raises(TypeError, match=r"numpy\.random\.Generator.*default_rng"):
            split_validation(np.ones(9), np.ones(9), 0.5, generator)


def test_batches_of_nothing_or_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="x is empty"):
        Batches(np.ones((0, 2)), None, 4)
    with pytest.raises(ValueError, match="y has 2 rows but x has 3"):
        Batches(np.ones(3), np.ones(2), 4)
