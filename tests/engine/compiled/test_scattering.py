"""Rows added up in compiled code: in order, on any number of threads, nowhere out of bounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.kernels import numba_indexing
from chainrule.engine.kernels.compiled import host

pytestmark = pytest.mark.skipif(host.tile() is None, reason="this processor has no tiles")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = cr.get_num_threads()
    yield
    cr.set_num_threads(before)


def test_the_same_bits_whatever_the_number_of_threads() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 40, 90)).astype(np.float32)
    values.flags.writeable = False
    places = random.integers(0, 7, (50, 40))
    expected = np.zeros((7, 90), np.float32)
    np.add.at(expected, places, values)
    for threads in (1, 2, 3):
        cr.set_num_threads(threads)
        found = numba_indexing.scatter_index(values, (places,), (7, 90))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("wrong", [7, -8])
def test_a_place_out_of_bounds_is_the_references_error(wrong: int) -> None:
    places = np.zeros((100, 10), np.int64)
    places[5, 3] = wrong
    with pytest.raises(IndexError):
        numba_indexing.scatter_index(np.ones((100, 10, 32)), places, (7, 32))


def test_values_that_are_broadcast_are_left_to_the_reference() -> None:
    places = np.zeros((100, 10), np.int64)
    found = numba_indexing.scatter_index(np.ones((10, 1000)), places, (2, 1000))
    assert found.tolist() == [[100.0 * 10] * 1000, [0.0] * 1000]
