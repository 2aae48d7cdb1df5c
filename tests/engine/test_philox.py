"""Random words by number: the published ones, any part of them, the same from every kernel set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.errors import DtypeError
from chainrule.engine.kernels import philox


def test_the_words_of_the_publication():
    """The known answers of Salmon et al.'s reference code, for the counters that are used here."""
    zeros = philox.words(np, 0, 0, 4)
    assert [f"{each:08x}" for each in zeros] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 30), st.integers(0, 5))
def test_any_part_can_be_made_alone(key, block, count, skipped):
    first = 4 * block
    whole = philox.words(np, key, first, 4 * skipped + count)
    part = philox.words(np, key, first + 4 * skipped, count)
    np.testing.assert_array_equal(whole[4 * skipped :], part)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 70))
def test_the_compiled_kernel_drops_what_the_reference_drops(key, block, size):
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    sets = get_device("cpu").sets
    results = [sets[name].dropout(x, 0.3, key, 4 * block) for name in ("reference", "numba")]
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == results[1].dtype == np.float32


def test_words_are_spread_evenly():
    words = philox.words(np, 123, 0, 65_536)
    counts = np.bincount(words >> 24, minlength=256)  # 256 expected in each, deviation 16
    assert ((counts - 256) ** 2 / 256).sum() < 255 + 5 * (2 * 255) ** 0.5


def test_keys_and_first_words_that_are_none():
    x = cr.ones(6)
    for options, error, text in (
        ({"key": 1.5}, DtypeError, "key must be an integer"),
        ({"key": -1}, ValueError, "key must be at least 0"),
        ({"key": 2**64}, ValueError, r"less than 2\*\*64"),
        ({"key": 1, "first": 2}, ValueError, "first must be a multiple of 4"),
        ({"key": 1, "first": -4}, ValueError, "at least 0"),
        ({"key": 1, "first": 2**66 - 4}, ValueError, "leave room for 6 words"),
        ({"first": 4}, ValueError, "give key= too"),
    ):
        with pytest.raises(error, match=text):
            cr.dropout(x, rate=0.5, **options)
    last = cr.dropout(x[:4], rate=0.5, key=2**64 - 1, first=2**66 - 8)
    with cr.kernels("reference"):
        again = cr.dropout(x[:4], rate=0.5, key=2**64 - 1, first=2**66 - 8)
    np.testing.assert_array_equal(last.numpy(), again.numpy())
