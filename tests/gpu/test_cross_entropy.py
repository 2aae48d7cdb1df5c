"""The kernels of cross-entropy equal their references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.gpu import emulator, rows
from chainrule.gpu.families.cross_entropy import sparse_cross_entropy

from .parity import DTYPES, Array, Case, Draw, attributes, check, compare, every, numbers

Lengths = st.SearchStrategy[int]


def draw_logits(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> Array:
    n = draw(lengths)
    count = draw(st.sampled_from([1, 3, 17] if n < 300 else [1, 3]))
    return numbers(draw, dtype, *draw(st.sampled_from([(n,), (count, n), (2, count, n)])))


def draw_sparse(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    logits = draw_logits(draw, dtype, lengths)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = random.integers(0, logits.shape[-1], logits.shape[:-1])
    return [logits, np.asarray(labels, draw(st.sampled_from(["int64", "int32", "uint64"])))]


def draw_targets(draw: Draw, logits: Array) -> Array:
    """Probabilities, many of them 0."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = random.random(logits.shape) * (random.random(logits.shape) < 0.5)
    return targets.astype(logits.dtype)


def draw_dense(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    logits = draw_logits(draw, dtype, lengths)
    return [logits, draw_targets(draw, logits)]


def draw_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    logits = draw_logits(draw, dtype, lengths)
    targets = draw_targets(draw, logits)
    kernels = get_device("cpu").sets["reference"]
    logarithms = kernels.log_softmax(np.nan_to_num(logits, posinf=1, neginf=1), -1)
    return [numbers(draw, dtype, *logits.shape[:-1]), logarithms, targets]


def size_of(array: Array) -> Array:
    return np.nan_to_num(np.abs(array.astype(np.float64)), posinf=0)


def sparse_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """The sum of powers is off by (n + 4) eps relatively; the loss is rounded where it is large."""
    logits, labels = arguments
    n, eps = logits.shape[-1], float(np.finfo(truth.dtype).eps)
    if truth.shape != logits.shape:
        return eps * (n + 4 + 3 * size_of(truth))
    probabilities = size_of(truth)  # but at the label, where they are smaller by 1
    np.put_along_axis(probabilities, labels.astype(int)[..., None], 1, -1)
    return (n + 5) * eps * probabilities + 4 * float(np.finfo(truth.dtype).smallest_subnormal)


def dense_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    logits, targets = arguments
    n, eps = logits.shape[-1], float(np.finfo(truth.dtype).eps)
    with np.errstate(all="ignore"):
        logarithms = size_of(get_device("cpu").sets["reference"].log_softmax(logits, -1))
    if truth.shape == logits.shape:
        return eps * (n + 4 + 2 * logarithms)
    return eps * (targets * (n + 4 + (n + 3) * logarithms)).sum(axis=-1)


def backward_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """Of exp(l) mass - t: a few roundings of both, and of the sum that mass is."""
    g, logarithms, targets = arguments
    n, eps = targets.shape[-1], float(np.finfo(truth.dtype).eps)
    mass = size_of(targets).sum(axis=-1, keepdims=True)
    sizes = np.exp(logarithms.astype(np.float64)) * mass + targets
    tiny = float(np.finfo(truth.dtype).tiny)
    return size_of(g)[..., None] * ((n + 6) * eps * sizes + tiny) + tiny


PLANS = (
    lambda: attributes(rows),
    lambda: attributes(rows, MOST_KEPT_BY_TEAMS=0),
    lambda: attributes(rows, MOST_KEPT_BY_TEAMS=0, MOST_KEPT=0),
    lambda: attributes(rows, MOST_BLOCKS=1),
)

CASES = {
    "sparse_softmax_cross_entropy": Case(draw_sparse, sparse_allows, settings=PLANS),
    "softmax_cross_entropy": Case(draw_dense, dense_allows, settings=PLANS),
    "softmax_cross_entropy_backward": Case(draw_backward, backward_allows, settings=PLANS),
}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_many_classes(device: Any, dtype: Any) -> None:
    """As many as a language has words: more than are kept."""
    x = np.random.default_rng(0).standard_normal((2, 32_000)).astype(dtype)
    labels = np.array([31_999, 0])
    name = "sparse_softmax_cross_entropy"
    compare(device, "raw", name, CASES[name], [x, labels])


def test_labels_that_are_no_class(device: Any, kernel_set: str) -> None:
    """Those that only the GPU knows: their rows are NaN, and the other rows are as always.

    Memory is not read where they point to, which may be anywhere.
    """
    x = device.from_host(np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32))
    labels = device.from_host(np.array([0, 2**50, -(2**50), 4]))
    loss, slopes = device.xp.empty(4, "float32"), device.xp.empty((4, 5), "float32")
    team, kept, grid, shared = rows.plan(4, 5, 4)
    sparse_cross_entropy(
        *(device.sets[kernel_set], x, labels, loss, slopes, 4, 5, team, kept),
        grid=grid,
        shared=shared,
    )
    loss, slopes = map(device.to_host, (loss, slopes))
    assert np.isnan(loss).tolist() == [False, True, True, False]
    assert np.isnan(slopes).all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_allclose(slopes[[0, 3]].sum(axis=1), 0, atol=1e-6)


def test_labels_of_the_host_are_checked(device: Any, kernel_set: str) -> None:
    x = device.from_host(np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match="labels must be from 0 to 4"):
        device.sets[kernel_set].sparse_softmax_cross_entropy(x, np.array([5]))


def test_gradient_of_the_record(device: Any, kernel_set: str) -> None:
    """The slopes of the forward pass are the gradient; that of the gradient is right as well."""
    x = np.random.default_rng(0).standard_normal((3, 4))
    labels, weights = np.array([1, 0, 3]), np.array([2.0, -1.0, 0.5])

    def gradients(where: str) -> list[Array]:
        z = cr.tensor(x, device=where, requires_grad=True)
        loss = cr.sparse_softmax_cross_entropy(z, cr.tensor(labels, device=where))
        (slope,) = cr.grad((loss * cr.tensor(weights, device=where)).sum(), [z], create_graph=True)
        (second,) = cr.grad((slope * slope).sum(), [z])
        return [each.detach().cpu().numpy() for each in (loss, slope, second)]

    with cr.kernels(kernel_set):
        found = gradients(device.name)
    for ours, truth in zip(found, gradients("cpu"), strict=True):
        np.testing.assert_allclose(ours, truth, atol=1e-12)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", list(CASES))
def test_is_free_of_faults(kernel_set: str, name: str, plan: Any) -> None:
    random = np.random.default_rng(0)
    shapes = ((3, 33), (2, 2, 64), (5, 300))
    for shape in shapes[: 2 if kernel_set == "numba" else None]:
        x = random.standard_normal(shape).astype(np.float32)
        targets = random.random(shape).astype(np.float32)
        arguments = {
            "sparse_softmax_cross_entropy": [x, random.integers(0, shape[-1], shape[:-1])],
            "softmax_cross_entropy": [x, targets],
            "softmax_cross_entropy_backward": [x[..., 0].copy(), -abs(x), targets],
        }[name]
        with plan(), emulator.checked(), emulator.schedule("shuffle:1"):
            compare(get_device("emulated"), kernel_set, name, CASES[name], arguments)
