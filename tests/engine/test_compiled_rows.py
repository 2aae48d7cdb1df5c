"""Kernels of the Transformer: what they compute does not depend on how many threads share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
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


def norms() -> list[Any]:
    x, g, scale, offset = normal(1009, 301), normal(1009, 301), normal(301), normal(301) + 1
    y, z, weight = KERNELS.layer_norm(x, scale, offset, (1,), 0.1)
    found = [y, z, weight, *KERNELS.layer_norm_backward(g, z, weight, scale, offset, (1,))]
    y, z, weight, *moments = KERNELS.batch_norm(x, scale, offset, 0.1)
    return [*found, y, z, *moments, *KERNELS.batch_norm_backward(g, z, weight, scale)]


def stacks() -> list[Any]:
    a, b = normal(5, 7, 70, 33), normal(7, 33, 90)
    return [KERNELS.matmul(a, b), KERNELS.matmul(a, b[0]), KERNELS.matmul(b.swapaxes(1, 2), b)]


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("compute", [gelu, attention, softmax, norms, stacks])
def test_threads_do_not_change_a_bit(compute: Callable[[], list[Any]]) -> None:
    from chainrule.engine.kernels.compiled import threads

    threads.limit(1)
    alone = compute()
    for count in (2, 3):
        threads.limit(count)
        for one, other in zip(alone, compute(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_layer_norm_of_weights_that_lie_apart() -> None:
    w = np.random.default_rng(0).standard_normal((256, 2)).astype("float32")
    x = np.random.default_rng(1).standard_normal((512, 256)).astype("float32")
    found = []
    for name in ("reference", "numba"):
        with cr.kernels(name):
            tensor = cr.tensor(w, requires_grad=True)
            y = cr.layer_norm(x, tensor[:, 0], tensor[::-1, 1])
            (y * x).sum().backward()
            found.append((y.numpy(), tensor.grad.numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
