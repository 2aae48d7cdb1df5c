"""Kernels of the Transformer: what they compute does not depend on how many threads share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from chainrule.engine.devices import cpu

KERNELS = cpu.sets["numba"]


@pytest.fixture
def _threads() -> Iterator[None]:
    """Has the pool as it was after the test."""
    from chainrule.engine.kernels.compiled import threads

    threads.pool()
    before = threads._pool.helpers + 1
    yield
    threads.limit(before)


def normal(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def gelu() -> list[Any]:
    x, g = normal(301, 1009), normal(1009, 301).T
    found = [array for form in (False, True) for array in KERNELS.gelu(x, form)]
    return [*found, KERNELS.gelu_backward(g, x, found[1], False)]


def attention() -> list[Any]:
    """Of 3 samples and 2 heads, with queries, keys and values side by side in one matrix."""
    packed, g = normal(3, 150, 2, 96), normal(3, 2, 150, 32)
    q, k, v = (packed[..., i : i + 32].swapaxes(1, 2) for i in (0, 32, 64))
    mask = normal(3, 1, 1, 150) > -1
    y, p = KERNELS.attention(q, k, v, mask, 0.25)
    assert y.swapaxes(1, 2).flags.c_contiguous  # heads side by side: no copy puts them there
    return [y, p, *KERNELS.attention_backward(g, p, q, k, v, mask, 0.25)]


def softmax() -> list[Any]:
    x, g, mask = normal(301, 1009), normal(301, 1009) + 1, normal(1009) > 0
    y, seen = KERNELS.softmax(x, -1), KERNELS.masked_softmax(x, mask, -1)
    pulled = KERNELS.masked_softmax_backward(g, seen, mask, -1)
    return [y, seen, KERNELS.softmax_backward(g, y, -1), pulled]


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("compute", [gelu, attention, softmax])
def test_threads_do_not_change_a_bit(compute: Callable[[], list[Any]]) -> None:
    from chainrule.engine.kernels.compiled import threads

    threads.limit(1)
    alone = compute()
    for count in (2, 3):
        threads.limit(count)
        for one, other in zip(alone, compute(), strict=True):
            np.testing.assert_array_equal(one, other)
