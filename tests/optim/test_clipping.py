"""Gradients are clipped to a limit before a step: of a norm, of all together, or of elements."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.optim import SGD, Adam
from tests.gpu.strict import strict_device

from .network import loss, parameters

SHAPES = [(3, 4), (4,), (2, 2), (1,)]


def leaves(seed=0, dtype="float64", device=None):
    rng = np.random.default_rng(seed)
    return [
        cr.tensor(rng.normal(size=s), dtype=dtype, requires_grad=True, device=device)
        for s in SHAPES
    ]


def give(tensors, gradients):
    for each, gradient in zip(tensors, gradients, strict=True):
        each.grad = cr.tensor(gradient, dtype=each.dtype, device=each.device)


def drawn(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return [scale * rng.normal(size=s) for s in SHAPES]


def expected(kind, limit, gradients):
    norms = [np.sqrt((g**2).sum()) for g in gradients]
    if kind == "clipvalue":
        return [np.clip(g, -limit, limit) for g in gradients]
    if kind == "clipnorm":
        return [g * min(1.0, limit / n) for g, n in zip(gradients, norms, strict=True)]
    total = np.sqrt(sum(n**2 for n in norms))
    return [g * min(1.0, limit / total) for g in gradients]


KINDS = ("clipnorm", "clipvalue", "global_clipnorm")
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@pytest.mark.parametrize("device", ["cpu", "emulated", strict_device])
@settings(max_examples=10)
@given(seed=st.integers(0, 1000), limit=st.sampled_from([1e-3, 0.3, 2.0, 1e3]))
def test_the_step_is_taken_with_the_clipped_gradient_which_grad_shows(kind, device, seed, limit):
    tensors, gradients = leaves(device=device), drawn(seed)
    before = [each.cpu().numpy().copy() for each in tensors]
    sgd = SGD(tensors, 0.5, **{kind: limit})
    for _ in range(2):  # the first step packs; the second finds the gradients' memory packed
        give(tensors, gradients)
        sgd.step()
        clipped = expected(kind, limit, gradients)
        for w, start, g in zip(tensors, before, clipped, strict=True):
            np.testing.assert_allclose(w.grad.cpu().numpy(), g, rtol=1e-12, atol=1e-300)
            np.testing.assert_allclose(w.cpu().numpy(), start - 0.5 * g, rtol=1e-12, atol=1e-13)
        before = [each.cpu().numpy().copy() for each in tensors]


@each_kind
def test_a_gradient_within_the_limit_is_left_as_it_is_to_the_bit(kind):
    plain, clipped = parameters(), parameters()
    one, two = Adam(plain), Adam(clipped, **{kind: 1e6})
    for weights, adam in ((plain, one), (clipped, two)):
        for _ in range(3):
            adam.zero_grad()
            loss(weights).backward()
            adam.step()
    for a, b in zip(plain, clipped, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_only_gradients_of_the_step_count_for_the_norm_of_all():
    tensors, gradients = leaves(), drawn(3)
    sgd = SGD(tensors, 1.0, global_clipnorm=0.1)
    give(tensors, gradients)
    sgd.step()
    give(tensors, gradients)
    tensors[1].grad = None
    tensors[2].requires_grad = False
    sgd.step()
    left = [gradients[0], gradients[3]]
    for each, g in zip(
        (tensors[0], tensors[3]), expected("global_clipnorm", 0.1, left), strict=True
    ):
        np.testing.assert_allclose(each.grad.numpy(), g, rtol=1e-12)


def test_dtypes_and_devices_share_one_norm():
    gradients = [np.array([3.0]), np.array([4.0]), np.array([12.0])]
    kinds = [("float64", strict_device), ("float32", "cpu"), ("float64", "cpu")]
    tensors = [
        cr.tensor([0.0], dtype=dtype, device=device, requires_grad=True) for dtype, device in kinds
    ]
    sgd = SGD(tensors, 1.0, global_clipnorm=1.3)
    give(tensors, gradients)
    sgd.step()
    for each, g in zip(tensors, gradients, strict=True):
        assert each.grad.dtype == each.dtype and each.grad.device == each.device
        np.testing.assert_allclose(each.grad.item(), g[0] / 10, rtol=1e-6)


@each_kind
def test_nan_stays_where_the_definition_leaves_it(kind):
    tensors, gradients = leaves(), drawn(1)
    gradients[1][2] = np.nan
    give(tensors, gradients)
    SGD(tensors, 1.0, **{kind: 0.5}).step()
    found = [np.isnan(each.grad.numpy()) for each in tensors]
    assert found[1][2]
    whole = {"clipvalue": [0, 1 / 4, 0, 0], "clipnorm": [0, 1, 0, 0], "global_clipnorm": [1] * 4}
    assert [each.mean() for each in found] == whole[kind]


def test_a_graph_that_read_the_gradient_before_is_refused():
    w = cr.tensor([3.0, 4.0], requires_grad=True)
    sgd = SGD([w], 0.1, global_clipnorm=1.0)
    for _ in range(2):
        sgd.zero_grad()
        (w * w).sum().backward()
        held, factor = w.grad, cr.tensor([1.0, 1.0], requires_grad=True)
        product = (held * factor).sum()
        sgd.step()
    with pytest.raises(cr.GradientError, match="changed in place"):
        product.backward()


def test_a_copy_clips_too_and_a_repr_says_so():
    adam = Adam(leaves(), global_clipnorm=0.5)
    assert "global_clipnorm=0.5" in repr(adam) and "clip" not in repr(SGD(leaves()))
    assert "global_clipnorm=0.5" in repr(copy.deepcopy(adam))


@pytest.mark.parametrize("make", [SGD, Adam])
@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"clipnorm": 1.0, "clipvalue": 1.0}, ValueError, "clipnorm and clipvalue are given"),
        ({"clipnorm": 0.0}, ValueError, "clipnorm must be positive"),
        ({"global_clipnorm": float("inf")}, ValueError, "global_clipnorm must be positive"),
        ({"clipvalue": "1"}, TypeError, "clipvalue must be positive"),
    ],
)
def test_what_cannot_be_a_limit_is_refused(make, given, kind, message):
    with pytest.raises(kind, match=f"{make.__name__}: .*{message}|{message}"):
        make(leaves(), **given)


@pytest.mark.parametrize(("kind", "name"), [("global_clipnorm", "norm"), ("clipvalue", "value")])
def test_clipping_is_that_of_pytorch(kind, name):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(each.numpy(), requires_grad=True) for each in ours]
    mine, other = SGD(ours, 0.1, momentum=0.9, **{kind: 0.2}), torch.optim.SGD(theirs, 0.1, 0.9)
    clip = getattr(torch.nn.utils, f"clip_grad_{name}_")
    for _ in range(4):
        for weights, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            loss(weights).backward()
            if optimizer is other:
                clip(theirs, 0.2)
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):  # PyTorch adds 1e-6 to the norm
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-4)
