"""Cross-entropies: no overflow, no lost gradient, second order through their definitions."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def gradient(function, logits, *targets):
    x = cr.tensor(logits, requires_grad=True)
    losses = function(x, *targets)
    upstream = np.linspace(-2.0, 1.5, losses.size).reshape(losses.shape)
    losses.backward(upstream)
    return losses.numpy(), x.grad.numpy(), upstream


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits_neither_overflow_nor_lose_the_gradient(dtype):
    logits = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype)
    targets = np.array([[1, 0, 0], [0, 1, 0]], dtype)
    expected = np.array([[0, 0, 0], [1, -1, 0]])
    for function, target in (
        (cr.softmax_cross_entropy, targets),
        (cr.sparse_softmax_cross_entropy, np.array([0, 1])),
    ):
        losses, found, upstream = gradient(function, logits, target)
        assert losses.tolist() == [0.0, 2e4]
        np.testing.assert_array_equal(found, upstream[:, None] * expected)
        assert losses.dtype == found.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits_of_two_classes(dtype):
    logits, targets = np.array([1e4, -1e4, 1e4, -1e4], dtype), np.array([1, 0, 0, 1], dtype)
    losses, found, upstream = gradient(cr.sigmoid_cross_entropy, logits, targets)
    assert losses.tolist() == [0.0, 0.0, 1e4, 1e4]
    np.testing.assert_array_equal(found, (upstream * [0, 0, 1, -1]).astype(dtype))
    assert losses.dtype == found.dtype == np.dtype(dtype)


def test_a_class_of_score_minus_infinity_takes_no_part():
    logits = np.array([[0.0, -np.inf, 0.0]])
    for function, target in (
        (cr.softmax_cross_entropy, [[1.0, 0.0, 0.0]]),
        (cr.sparse_softmax_cross_entropy, [0]),
    ):
        losses, found, upstream = gradient(function, logits, target)
        np.testing.assert_allclose(losses, [np.log(2)], rtol=1e-15)
        np.testing.assert_allclose(found, upstream[:, None] * [[-0.5, 0.0, 0.5]], atol=1e-15)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_gradients_do_not_depend_on_how_logits_lie_in_memory(order):
    stored = RNG.normal(size=(2, 3, 4))
    x = cr.tensor(stored, requires_grad=True)
    logits = x.permute_dims(order)
    rows, classes = logits.shape[:2], logits.shape[2]
    labels = RNG.integers(0, classes, rows)
    upstream = RNG.normal(size=rows)
    for function, targets in (
        (cr.sparse_softmax_cross_entropy, labels),
        (cr.softmax_cross_entropy, np.eye(classes)[labels]),
    ):
        x.zero_grad()
        function(x.permute_dims(order), targets).backward(upstream)
        by_hand = upstream[..., None] * (softmax(logits.numpy()) - np.eye(classes)[labels])
        np.testing.assert_allclose(
            x.grad.numpy(), by_hand.transpose(np.argsort(order)), rtol=0, atol=1e-15
        )


def test_soft_targets_need_not_sum_to_one():
    logits, targets = RNG.normal(size=(3, 4)), RNG.uniform(0, 2, (3, 4))
    losses, found, upstream = gradient(cr.softmax_cross_entropy, logits, targets)
    p = softmax(logits)
    np.testing.assert_allclose(losses, -(targets * np.log(p)).sum(-1), rtol=1e-14)
    expected = upstream[:, None] * (p * targets.sum(-1, keepdims=True) - targets)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_probability_of_zero_keeps_its_gradient(dtype):
    losses, found, _ = gradient(
        lambda p, t: -cr.cross_entropy(p, t), np.zeros(2, dtype), np.array([1, 0.5], dtype)
    )
    assert np.isfinite(losses).all()
    assert np.isfinite(found).all()
    assert (found != 0).all()
    p = cr.tensor(np.zeros(1, dtype), requires_grad=True)
    cr.cross_entropy(p, np.ones(1, dtype)).backward([1.0])
    assert p.grad.numpy() < -1e30
    assert p.grad.dtype == np.dtype(dtype)


def test_the_forms_of_one_loss_agree():
    logits, labels = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    soft = gradient(cr.softmax_cross_entropy, logits, np.eye(3)[labels])
    sparse = gradient(cr.sparse_softmax_cross_entropy, logits, labels)
    plain = gradient(
        lambda x: cr.cross_entropy(cr.softmax(x), np.eye(3)[labels]).sum(axis=-1), logits
    )
    for other in (sparse, plain):
        np.testing.assert_allclose(soft[0], other[0], rtol=1e-14)
        np.testing.assert_allclose(soft[1], other[1], atol=1e-14)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: cr.softmax_cross_entropy(x, [[0.2, 0.5, 0.0], [1.0, 0.0, 0.7]]),
        lambda x: cr.sparse_softmax_cross_entropy(x, [2, 0]),
        lambda x: cr.sigmoid_cross_entropy(x, [[0.0, 0.3, 1.0], [1.0, 0.0, 0.5]]),
    ],
    ids=["soft", "sparse", "sigmoid"],
)
def test_second_order(function):
    logits = RNG.normal(size=(2, 3))
    cr.assert_gradients(function, logits, order=2)


def test_one_row_and_a_label_that_is_a_number():
    x = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    cr.sparse_softmax_cross_entropy(x, 1).backward(-2.0)
    expected = -2.0 * (softmax(x.numpy()) - [0, 1, 0])
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-15)


@pytest.mark.parametrize("label", [3, -1])
def test_labels_outside_of_the_classes_are_refused(label):
    with pytest.raises((ValueError, IndexError), match="sparse_softmax_cross_entropy: "):
        cr.sparse_softmax_cross_entropy(cr.zeros((1, 3)), [label])


def test_an_empty_batch_has_an_empty_loss():
    for function, targets in (
        (cr.softmax_cross_entropy, np.zeros((0, 3))),
        (cr.sparse_softmax_cross_entropy, np.zeros(0, int)),
    ):
        losses, found, _ = gradient(function, np.zeros((0, 3)), targets)
        assert losses.shape == (0,)
        assert found.shape == (0, 3)


def test_targets_have_a_probability_for_each_class():
    """Broadcast along the classes, their sum would be that of one class only."""
    logits = cr.tensor([[1.0, 2.0, 4.0], [0.0, 1.0, 0.5]], requires_grad=True)
    for targets in (1 / 3, np.ones(1), np.full((2, 1), 0.5), np.ones((2, 2))):
        with pytest.raises(cr.ShapeError, match=r"softmax_cross_entropy: targets .*\(2, 3\)"):
            cr.softmax_cross_entropy(logits, targets)
    shared = np.array([0.25, 0.5, 0.25])  # for every row the same
    cr.assert_gradients(lambda z: cr.softmax_cross_entropy(z, shared), logits.numpy())


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        ([1], cr.ShapeError, r"must have shape \(2,\), one for each row"),
        ([[1], [0]], cr.ShapeError, r"labels.squeeze\(-1\) would fit"),
        (1, cr.ShapeError, r"must have shape \(2,\)"),
        ([1.0, 0.0], cr.DtypeError, r"must be integers.*astype\('int64'\)"),
        ([True, False], cr.DtypeError, "must be integers"),
    ],
)
def test_labels_are_one_integer_for_each_row(labels, error, text):
    with pytest.raises(error, match=text):
        cr.sparse_softmax_cross_entropy(cr.zeros((2, 3)), labels)


@pytest.mark.parametrize("name", ["absolute_error", "squared_error", "log_cosh", "huber", "hinge"])
@pytest.mark.parametrize("kind", ["uint8", "bool"])
def test_differences_of_unsigned_numbers_do_not_wrap_around(name, kind):
    a, b = np.array([1, 0, 3]), np.array([2, 1, 1])
    function = getattr(cr, name)
    small = function(cr.tensor(a.astype(kind)), cr.tensor(b.astype(kind)))
    wide = function(*(cr.tensor(each.astype(kind).astype(float)) for each in (a, b)))
    np.testing.assert_allclose(small.numpy(), wide.numpy(), rtol=1e-6)
