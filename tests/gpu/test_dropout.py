"""Dropout makes the same mask on every device, to the bit."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.kernels.philox import words
from chainrule.gpu import emulator

from .parity import Array, Case, Draw, check, every, numbers

Lengths = st.SearchStrategy[int]


def draw_dropout(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    rows = draw(st.sampled_from([1, 3]))
    rate = draw(st.sampled_from([0.0, 0.1, 0.5, 1 - 2**-20]))
    # Numbers of words beyond 32 bits, whose upper half is a word of the counter.
    first = 4 * draw(st.sampled_from([0, 5, 2**32 - 3, 2**60]))
    key = draw(st.integers(0, 2**64 - 1))
    return [numbers(draw, dtype, rows, draw(lengths)), rate, key, first]


def nothing(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """The words are integers, and a product is one rounding: the bits are the same."""
    return 0.0


CASES = {"dropout": Case(draw_dropout, nothing, settings=(ExitStack, emulator.checked))}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name])


def test_of_a_slice_that_is_not_aligned(device: Any, kernel_set: str) -> None:
    """Memory that begins between two multiples of 16 bytes."""
    x = np.arange(1.0, 68.0, dtype="float32")
    y = device.sets[kernel_set].dropout(device.from_host(x)[1:], 0.5, 7, 8)
    expected = cr.dropout(x[1:], rate=0.5, key=7, first=8)
    np.testing.assert_array_equal(device.to_host(y), expected.numpy())


def test_a_word_at_the_threshold_is_kept(device: Any, kernel_set: str) -> None:
    word = int(words(np, 7, 0, 6)[5])
    for threshold, kept in ((word - 1, True), (word, True), (word + 1, False)):
        x = device.from_host(np.ones(6))
        y = device.to_host(device.sets[kernel_set].dropout(x, threshold / 2**32, 7, 0))
        assert (y[5] != 0) == kept


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_of_nothing_and_of_one(device: Any, kernel_set: str, shape: tuple[int, ...]) -> None:
    y = device.sets[kernel_set].dropout(device.from_host(np.ones(shape)), 0.5, 7, 0)
    assert y.shape == shape
