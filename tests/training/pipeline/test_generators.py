"""Pipelines of streams: samples that a function makes one after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr


def counting(n, done=None):
    def count():
        try:
            for i in range(n):
                yield np.full(2, i, "float32"), i
        finally:
            if done is not None:
                done.append(True)

    return count


def targets(items):
    return [int(y) for _, y in items]


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 9), st.integers(0, 3))
def test_a_buffered_shuffle_yields_every_sample_once_none_before_it_is_in_the_buffer(
    n, buffer_size, seed, epoch
):
    pipeline = cr.data.from_generator(counting(n)).shuffle(buffer_size=buffer_size)
    found = targets(pipeline.open(seed, epoch))
    assert sorted(found) == list(range(n))
    assert all(y < place + buffer_size for place, y in enumerate(found))
    assert (buffer_size > 1) or found == list(range(n))


def test_a_buffered_shuffle_is_another_in_each_epoch_and_over_many_draws():
    pipeline = cr.data.from_generator(counting(3000)).shuffle(buffer_size=50)
    orders = [targets(pipeline.open(seed, epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    whole = cr.data.from_generator(counting(50)).shuffle(buffer_size=50)
    assert targets(whole.open(0)) != targets(whole.open(1))
    late = np.array(orders[0]) - np.arange(3000)
    assert late.std() > 25  # of an exponential distribution of mean 50, about 50


def test_functions_do_not_run_for_what_is_skipped():
    seen = []

    def note(x, y):
        seen.append(int(y))
        return x, y

    pipeline = cr.data.from_generator(counting(20)).map(note)
    assert targets(pipeline.open(0, start=15)) == seen == [15, 16, 17, 18, 19]
    seen.clear()
    found = targets(pipeline.shuffle(buffer_size=4).open(0, start=15))
    assert found == seen and len(found) == 5
    seen.clear()
    list(pipeline.batch(3).open(0, start=6))
    assert seen == [18, 19]


def test_samples_that_are_skipped_are_not_looked_at():
    samples = [(1.0, 0), (np.nan, 1), (2.0, 2), (3.0, 3)]
    pipeline = cr.data.from_generator(lambda: iter(samples))
    assert targets(pipeline.open(0, start=2)) == [2, 3]
    with pytest.raises(ValueError, match="sample 1: x has NaN"):
        targets(pipeline.open(0, start=1))


def test_an_epoch_that_yields_nothing_is_an_error_but_its_end_is_none():
    pipeline = cr.data.from_generator(counting(5))
    with pytest.raises(ValueError, match="yields nothing"):
        list(pipeline.skip(5).open(0))
    with pytest.raises(ValueError, match="yields nothing"):
        list(pipeline.batch(6, drop_last=True).open(0))
    assert list(pipeline.batch(2).open(0, start=3)) == []


def test_an_iterator_of_ones_own_is_closed_too():
    class Reader:
        closed = 0

        def __iter__(self):
            return self

        def __next__(self):
            return 1.0

        def close(self):
            self.closed += 1

    reader = Reader()
    items = cr.data.from_generator(lambda: reader).batch(2).prefetch().open(0)
    next(items)
    items.close()
    assert reader.closed == 1


def test_a_function_may_write_into_the_same_array_again():
    def reusing():
        x = np.zeros(2)
        for i in range(4):
            x[:] = i
            yield x

    (batch,) = cr.data.from_generator(reusing).batch(4)
    assert batch.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_iterator_is_closed_at_the_end_and_when_the_rest_is_not_wanted(ahead):
    done = []
    pipeline = cr.data.from_generator(counting(10, done)).batch(2)
    pipeline = pipeline.prefetch(ahead) if ahead else pipeline
    items = pipeline.open(0)
    next(items)
    assert not done or ahead
    items.close()
    assert done == [True]
    list(pipeline.open(0))
    assert done == [True, True]


@pytest.mark.parametrize(
    ("samples", "length", "error", "text"),
    [
        ([(1.0, 0)] * 3, 4, ValueError, r"yielded 3 of the length=4 samples"),
        ([(1.0, 0)] * 5, 4, ValueError, r"more than the length=4 samples"),
        ([], None, ValueError, "no sample; it must make a fresh iterator"),
        ([(1.0, 0), (2.0, np.nan)], None, ValueError, r"sample 1: y has NaN"),
        ([(1.0, 0), 2.0], None, ValueError, r"sample 1 is x alone, but sample 0 is \(x, y\)"),
        ([(1.0, 0), ({"a": 1.0}, 0)], None, ValueError, r"x a dict of 'a', but sample 0"),
        ([(1.0, 0), ([1.0], 0)], None, ValueError, r"x of sample 1 has shape \(1,\), float64"),
        ([(1.0, 0), (1, 0)], None, ValueError, r"x of sample 1 has shape \(\), int64"),
        ([(1.0, 0, 1.0)], None, TypeError, r"sample 0 is a tuple of 3; it must be \(x, y\)"),
        ([(1.0, None)], None, TypeError, r"sample 0 is \(x, None\)"),
        ([None], None, TypeError, "sample 0: x is None"),
        ([(np.float16(1), 0)], None, TypeError, "float16"),
        ([([[1], [1, 2]], 0)], None, ValueError, "cannot be made an array"),
        ([("text", 0)], None, TypeError, "is text, which must be encoded"),
        ([({}, 0)], None, ValueError, "sample 0: x is an empty dict"),
        ([((), 0)], None, ValueError, "sample 0: x is an empty tuple"),
        ([np.ma.masked_array([1.0, 2.0], [0, 1])], None, ValueError, "sample 0: x has masked"),
    ],
)
def test_wrong_samples_are_refused_by_their_number(samples, length, error, text):
    with pytest.raises(error, match=text):
        list(cr.data.from_generator(lambda: iter(samples), length).batch(10).open(0))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (counting(3)(), "give the function that makes it"),
        ([1, 2], r"lambda: iter\(data\)"),
        (np.zeros(3), "use from_arrays"),
    ],
)
def test_what_is_no_function_is_refused(function, text):
    with pytest.raises(TypeError, match=text):
        cr.data.from_generator(function)


def test_a_function_that_returns_no_iterator_or_a_used_one():
    with pytest.raises(TypeError, match="must return an iterator of samples, got int"):
        list(cr.data.from_generator(lambda: 3).open(0))
    used = counting(2)()
    pipeline = cr.data.from_generator(lambda: used)
    assert len(list(pipeline.open(0))) == 2
    with pytest.raises(ValueError, match="fresh iterator each time"):
        list(pipeline.open(0, 1))


def test_what_is_known_of_a_stream():
    pipeline = cr.data.from_generator(counting(5)).batch(2)
    assert pipeline.length is None
    with pytest.raises(TypeError, match="length of this pipeline is unknown"):
        len(pipeline)
    with pytest.raises(ValueError, match="within a buffer only"):
        cr.data.from_generator(counting(5)).shuffle()
    assert repr(pipeline).startswith("<Pipeline of an unknown number of batches of 2; generator(")
    assert pipeline.has_targets
    assert pipeline.element == "x (2, 2) float32, y (2,) int64"
    with pytest.raises(TypeError, match="by name"):
        pipeline.shuffle(100)


def test_the_fingerprint_tells_the_structure_and_the_declared_length():
    def of(function, length=None):
        return cr.data.from_generator(function, length).fingerprint()["source"]

    assert json.loads(json.dumps(of(counting(5), 5))) == of(counting(5), 5)
    assert of(counting(5)) == of(counting(6)) != of(counting(5), 5)
    assert of(counting(5))["x"] == {"dtype": "float32", "shape": [2]}
    assert of(lambda: iter(["a"]))["x"] == "a string"


def test_strings_are_made_numbers_on_the_way():
    words = ["a", "bc", "a"]
    pipeline = cr.data.from_generator(lambda: iter(words)).map(lambda x: len(x)).batch(3)
    assert next(iter(pipeline)).tolist() == [1, 2, 1]
