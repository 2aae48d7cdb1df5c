"""Losses: their values and gradients against PyTorch and finite differences, and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.training.losses import (
    ABBREVIATIONS,
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CosineSimilarity,
    FunctionLoss,
    HalfSquaredError,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    SparseCategoricalCrossentropy,
    get_loss,
)

EPS = np.finfo(np.float64).eps
seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 6)
#: The axes between the batch and the features: none, or those of a sequence.
middles = st.lists(st.integers(1, 3), max_size=2).map(tuple)

CASES = {
    "mean_squared_error": (MeanSquaredError, "real"),
    "half_squared_error": (HalfSquaredError, "real"),
    "mean_absolute_error": (MeanAbsoluteError, "real"),
    "huber": (Huber, "real"),
    "log_cosh": (LogCosh, "real"),
    "hinge": (Hinge, "signs"),
    "kl_divergence": (KLDivergence, "softmax"),
    "poisson": (Poisson, "softmax"),
    "cosine_similarity": (CosineSimilarity, "real"),
    "binary": (BinaryCrossentropy, "sigmoid"),
    "binary from logits": (lambda **o: BinaryCrossentropy(from_logits=True, **o), "binary"),
    "categorical": (CategoricalCrossentropy, "softmax"),
    "categorical from logits": (
        lambda **o: CategoricalCrossentropy(from_logits=True, **o),
        "classes",
    ),
    "sparse": (SparseCategoricalCrossentropy, "sparse softmax"),
    "sparse from logits": (
        lambda **o: SparseCategoricalCrossentropy(from_logits=True, **o),
        "sparse",
    ),
}


def draw(kind, rng, batch, middle=(), features=4):
    """Targets and predictions that suit a loss."""
    shape = (batch, *middle, features)
    z = rng.normal(size=shape) * 3
    if kind == "real":
        return rng.normal(size=shape), z
    if kind == "signs":
        return rng.choice([-1.0, 1.0], shape), z
    if kind in ("binary", "sigmoid"):
        return rng.random(shape), z if kind == "binary" else 1 / (1 + np.exp(-z))
    if kind.endswith("softmax"):
        z = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    if kind.startswith("sparse"):
        return rng.integers(0, features, shape[:-1]), z
    t = rng.random(shape)
    return t / t.sum(axis=-1, keepdims=True), z


# Values and gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@given(seed=seeds, batch=batches, middle=middles)
@settings(max_examples=15, deadline=None)
def test_gradient_is_that_of_finite_differences(case, seed, batch, middle):
    make, kind = CASES[case]
    rng = np.random.default_rng(seed)
    y_true, raw = draw(kind, rng, batch, middle)
    loss = make(reduction=None)
    y_pred = cr.tensor(raw, requires_grad=True)
    values = loss(y_true, y_pred)
    upstream = rng.normal(size=values.shape)
    values.backward(upstream)
    direction = rng.normal(size=raw.shape)
    h = 1e-5 * raw.min() if "softmax" in kind or kind == "sigmoid" else 1e-5
    if kind == "sigmoid":
        h = 1e-5 * min(raw.min(), 1 - raw.max())

    def at(step):
        return float((upstream * loss(y_true, cr.tensor(raw + step * direction)).numpy()).sum())

    # Each value is rounded by a few eps of the terms it sums; the step's own error is h squared.
    slope = (at(h) - at(-h)) / (2 * h)
    scale = np.abs(upstream).sum() * (1 + np.abs(values.numpy()).max())
    expected = float((y_pred.grad.numpy() * direction).sum())
    bound = 1e-6 * (np.abs(y_pred.grad.numpy()) * np.abs(direction)).sum() + 100 * EPS * scale / h
    assert abs(slope - expected) <= bound


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES)
@given(seed=seeds, batch=batches)
@settings(max_examples=15, deadline=None)
def test_equal_to_pytorch(case, reduction, seed, batch):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    make, kind = CASES[case]
    rng = np.random.default_rng(seed)
    y_true, raw = draw(kind, rng, batch)
    features = raw.shape[-1]
    z, t = torch.tensor(raw, requires_grad=True), torch.tensor(y_true)
    per_sample = {
        "mean_squared_error": lambda: F.mse_loss(z, t, reduction="none").mean(-1),
        "half_squared_error": lambda: F.mse_loss(z, t, reduction="none").sum(-1) / 2,
        "mean_absolute_error": lambda: F.l1_loss(z, t, reduction="none").mean(-1),
        "huber": lambda: F.huber_loss(z, t, reduction="none").mean(-1),
        "log_cosh": lambda: torch.cosh(z - t).log().mean(-1),
        "hinge": lambda: (1 - z * t).clamp(min=0).mean(-1),
        "kl_divergence": lambda: F.kl_div(z.log(), t, reduction="none").sum(-1),
        "poisson": lambda: F.poisson_nll_loss(
            z, t, log_input=False, eps=0.0, reduction="none"
        ).mean(-1),
        "cosine_similarity": lambda: -F.cosine_similarity(z, t, dim=-1),
        "binary": lambda: F.binary_cross_entropy(z, t, reduction="none").mean(-1),
        "binary from logits": lambda: F.binary_cross_entropy_with_logits(
            z, t, reduction="none"
        ).mean(-1),
        "categorical": lambda: -(t * z.log()).sum(-1),
        "categorical from logits": lambda: F.cross_entropy(z, t, reduction="none"),
        "sparse": lambda: F.nll_loss(z.log(), t, reduction="none"),
        "sparse from logits": lambda: F.cross_entropy(z, t, reduction="none"),
    }[case]()
    factor = rng.normal()
    expected = getattr(per_sample, reduction)()
    (factor * expected).backward()

    y_pred = cr.tensor(raw, requires_grad=True)
    loss = make(reduction=reduction)(y_true, y_pred)
    (factor * loss).backward()
    # A sum of `size` terms, each a few roundings away; logarithms and quotients keep eps relative.
    bound = 20 * features * batch * EPS
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected.item(), rel=bound, abs=bound)
    wanted = z.grad.numpy()
    np.testing.assert_allclose(
        y_pred.grad.numpy(), wanted, rtol=bound, atol=bound * np.abs(wanted).max()
    )


@given(seed=seeds, batch=batches, middle=middles)
@settings(max_examples=25, deadline=None)
def test_sparse_is_categorical_of_the_one_hot_labels(seed, batch, middle):
    rng = np.random.default_rng(seed)
    labels, z = draw("sparse", rng, batch, middle)
    gradients = []
    for loss, y_true in (
        (SparseCategoricalCrossentropy(from_logits=True), labels),
        (CategoricalCrossentropy(from_logits=True), np.eye(z.shape[-1])[labels]),
    ):
        y_pred = cr.tensor(z, requires_grad=True)
        value = loss(y_true, y_pred)
        value.backward()
        gradients.append((value.item(), y_pred.grad.numpy()))
    (a, da), (b, db) = gradients
    assert a == pytest.approx(b, rel=8 * EPS)
    np.testing.assert_allclose(da, db, rtol=0, atol=8 * EPS)


def test_half_squared_error_is_the_derivations_J():
    rng = np.random.default_rng(0)
    z3, target = rng.normal(size=(5, 3)), rng.random((5, 3))
    y = 1 / (1 + np.exp(-z3))
    delta3 = (y - target) * y * (1 - y)
    for reduction, samples in (("sum", 1), ("mean", 5)):
        z = cr.tensor(z3, requires_grad=True)
        loss = HalfSquaredError(reduction=reduction)(target, cr.sigmoid(z))
        loss.backward()
        np.testing.assert_allclose(z.grad.numpy(), delta3 / samples, rtol=1e-12)
        J = 0.5 * ((y - target) ** 2).sum() / samples
        assert loss.item() == pytest.approx(J, rel=1e-12)


@pytest.mark.parametrize("case", CASES)
@given(seed=seeds, batch=st.integers(2, 9), middle=middles)
@settings(max_examples=10, deadline=None)
def test_reductions_are_of_the_values_and_a_cut_batch_averages_exactly(case, seed, batch, middle):
    make, kind = CASES[case]
    rng = np.random.default_rng(seed)
    y_true, y_pred = draw(kind, rng, batch, middle)
    values = make(reduction=None)(y_true, y_pred).numpy()
    assert values.shape[0] == batch
    cut = int(rng.integers(1, batch))
    mean = make()
    parts = [mean(y_true[rows], y_pred[rows]).item() for rows in (slice(cut), slice(cut, None))]
    bound = 4 * values.size * EPS
    assert mean(y_true, y_pred).item() == pytest.approx(values.mean(), rel=bound)
    assert make(reduction="sum")(y_true, y_pred).item() == pytest.approx(values.sum(), rel=bound)
    whole = (parts[0] * cut + parts[1] * (batch - cut)) / batch
    assert whole == pytest.approx(values.mean(), rel=bound)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_predictions_dtype_is_kept_and_nothing_is_changed(case, dtype):
    make, kind = CASES[case]
    y_true, raw = draw(kind, np.random.default_rng(1), 3)
    y_pred = cr.tensor(raw, dtype, requires_grad=True)
    before = y_true.copy(), y_pred.numpy().copy()
    loss = make()(y_true, y_pred)
    loss.backward()
    assert loss.dtype == y_pred.grad.dtype == dtype
    np.testing.assert_array_equal(y_true, before[0])
    np.testing.assert_array_equal(y_pred.numpy(), before[1])
    same = make()(cr.tensor(y_true), y_pred.detach())
    assert same.item() == loss.item()


def test_a_target_may_change_between_loss_and_gradient():
    target, y_pred = np.array([[1.0, 0.0]]), cr.tensor([[0.3, 0.4]], requires_grad=True)
    loss = MeanSquaredError()(target, y_pred)
    target[:] = 7.0
    loss.backward()
    np.testing.assert_allclose(y_pred.grad.numpy(), [[-0.7, 0.4]])


# Neither overflow nor a lost gradient -----------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [50.0, 200.0, 1e4])
def test_logits_of_any_size_give_the_exact_loss_and_gradient(dtype, size):
    z = cr.tensor([[size, -size], [-size, size]], dtype, requires_grad=True)
    loss = SparseCategoricalCrossentropy(from_logits=True, reduction=None)([1, 1], z)
    loss.backward([1.0, -3.0])
    assert loss.tolist() == [2 * size, 0.0]
    assert z.grad.tolist()[0] == [1.0, -1.0]
    np.testing.assert_allclose(z.grad.numpy()[1], 0, atol=1e-40)
    z = cr.tensor([[size], [-size]], dtype, requires_grad=True)
    loss = BinaryCrossentropy(from_logits=True, reduction=None)([[0], [0]], z)
    loss.backward([-2.0, 1.0])
    np.testing.assert_allclose(loss.numpy(), [size, 0], atol=1e-20)
    np.testing.assert_allclose(z.grad.numpy(), [[-2], [0]], atol=1e-20)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "y_true", "probabilities"),
    [
        (BinaryCrossentropy(), [[1.0], [0.0]], [[0.0], [1.0]]),
        (CategoricalCrossentropy(), [[0.0, 1.0]], [[1.0, 0.0]]),
        (SparseCategoricalCrossentropy(), [1], [[1.0, 0.0]]),
    ],
)
def test_a_probability_of_zero_keeps_a_finite_loss_and_its_gradient(
    loss, y_true, probabilities, dtype
):
    p = cr.tensor(probabilities, dtype, requires_grad=True)
    value = loss(y_true, p)
    value.backward()
    assert 80 < value.item() < 800
    gradient = p.grad.numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=-1) > 1e30).all()


def test_nan_predictions_stay_nan():
    for loss in (MeanSquaredError(), BinaryCrossentropy(), CategoricalCrossentropy()):
        assert np.isnan(loss([[1.0, 0.0]], cr.tensor([[np.nan, 0.5]])).item())


# Refusals ---------------------------------------------------------------------------------------

MISFITS = [
    ("mse", np.zeros(4), np.zeros((4, 1)), r"reshape\(-1, 1\)"),
    ("mse", np.zeros((4, 1)), np.zeros(4), r"reshape\(-1\)"),
    ("half_squared_error", np.zeros(4), np.zeros((4, 1)), r"reshape\(-1, 1\)"),
    ("binary_crossentropy", np.zeros(4), np.full((4, 1), 0.5), r"reshape\(-1, 1\)"),
    ("mse", np.zeros((4, 2)), np.zeros((4, 3)), "equal shapes"),
    ("mse", np.zeros((3, 2)), np.zeros((4, 2)), "one target for each sample"),
    ("mse", np.zeros((0, 2)), np.zeros((0, 2)), "at least one sample"),
    ("mse", np.zeros(()), np.zeros(()), "at least one sample"),
    ("categorical_crossentropy", np.zeros(4, int), np.full((4, 3), 0.3), "'sparse_categorical"),
    ("categorical_crossentropy", np.zeros((4, 1), int), np.full((4, 3), 0.3), "'sparse_categor"),
    ("sparse_categorical_crossentropy", np.eye(3), np.full((3, 3), 0.3), "'categorical_cross"),
    ("sparse_categorical_crossentropy", np.zeros((4, 1), int), np.full((4, 3), 0.3), r"pe\(-1\)"),
    ("sparse_categorical_crossentropy", np.zeros(4, int), np.full((4, 1), 0.3), "sigmoid"),
    ("sparse_categorical_crossentropy", np.zeros(4, int), np.full(4, 0.3), "two classes"),
    ("sparse_categorical_crossentropy", np.zeros((2, 2), int), np.full((2, 3, 3), 0.3), "labels"),
]


@pytest.mark.parametrize(("name", "y_true", "y_pred", "remedy"), MISFITS)
def test_shapes_that_do_not_fit_are_refused_with_a_remedy(name, y_true, y_pred, remedy):
    with pytest.raises(cr.ShapeError, match=remedy) as caught:
        get_loss(name)(y_true, cr.tensor(y_pred))
    assert str(y_true.shape) in str(caught.value)
    assert str(y_pred.shape) in str(caught.value)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_the_classes_is_named_with_its_place(label):
    y_true = np.zeros((2, 2), int)
    y_true[1, 0] = label
    with pytest.raises(
        ValueError, match=rf"y_true\[1, 0\] = {label} is outside the classes 0 to 2"
    ):
        SparseCategoricalCrossentropy()(y_true, np.full((2, 2, 3), 1 / 3))


@pytest.mark.parametrize("y_true", [[0.0, 1.0], [True, False]])
def test_labels_that_are_no_integers_are_refused(y_true):
    with pytest.raises(cr.DtypeError, match=r"class labels are integers.*astype"):
        SparseCategoricalCrossentropy()(y_true, np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("wrong", [2.0, -0.5, np.nan])
def test_targets_that_are_no_probabilities_are_named_with_their_place(wrong):
    y_true = np.array([[0.0, 1.0], [wrong, 0.0]])
    for loss in (BinaryCrossentropy(), CategoricalCrossentropy(from_logits=True)):
        with pytest.raises(ValueError, match=rf"y_true\[1, 0\] = {wrong} is outside \[0, 1\]"):
            loss(y_true, np.full((2, 2), 0.5))


@pytest.mark.parametrize("y_pred", [[[2.0, -3.0]], [[0.5, 1.5]], [[-0.1, 0.5]]])
def test_predictions_that_are_no_probabilities_are_refused(y_pred):
    for loss, y_true in (
        (BinaryCrossentropy(), [[0.0, 1.0]]),
        (CategoricalCrossentropy(), [[0.0, 1.0]]),
        (SparseCategoricalCrossentropy(), [1]),
    ):
        with pytest.raises(ValueError, match="from_logits=True"):
            loss(y_true, np.array(y_pred))


def test_arguments_the_wrong_way_round_are_noticed():
    w = cr.tensor([[0.5]], requires_grad=True)
    with pytest.raises(cr.GradientError, match=r"order is \(y_true, y_pred\)"):
        MeanSquaredError()(w * 2, np.zeros((1, 1)))
    with pytest.raises(cr.DtypeError, match="y_pred must be floating"):
        MeanSquaredError()(np.zeros((1, 1)), np.zeros((1, 1), int))
    with pytest.raises(cr.DtypeError, match="y_true"):
        MeanSquaredError()(np.array([["a"]]), np.zeros((1, 1)))


# Losses of one's own, and by name ---------------------------------------------------------------


def absolute(y_true, y_pred):
    return abs(y_pred - y_true).mean(axis=-1)


def test_a_function_is_a_loss_of_values_or_of_their_mean():
    y_true, y_pred = np.zeros((2, 2)), cr.tensor([[1.0, 3.0], [0.0, -2.0]], requires_grad=True)
    for loss in (get_loss(absolute), get_loss(lambda t, p: abs(p - t).mean())):
        assert isinstance(loss, FunctionLoss)
        y_pred.grad = None
        value = loss(y_true, y_pred)
        value.backward()
        assert value.item() == 1.5
        assert y_pred.grad.tolist() == [[0.25, 0.25], [0.0, -0.25]]
    assert get_loss(absolute).name == "absolute"


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda t, p: 1.0, TypeError, "must return a Tensor, got float"),
        (lambda t, p: cr.zeros(5), cr.ShapeError, "one value per sample"),
    ],
)
def test_a_function_that_returns_something_else_is_refused(function, error, text):
    with pytest.raises(error, match=text):
        get_loss(function)(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(cr.ShapeError, match="broadcast"):
        get_loss(function)(np.zeros(2), np.zeros((2, 1)))


@pytest.mark.parametrize("name", [*LOSSES, *ABBREVIATIONS])
def test_losses_by_name(name):
    loss = get_loss(name)
    assert isinstance(loss, Loss)
    assert loss.name == ABBREVIATIONS.get(name, name)
    assert get_loss(loss) is loss


@pytest.mark.parametrize(
    ("identifier", "error", "text"),
    [
        ("hinges", ValueError, "unknown loss 'hinges'.*mean_squared_error.*mse"),
        (MeanSquaredError, TypeError, r"write MeanSquaredError\(\.\.\.\)"),
        (3, TypeError, "got int"),
        (None, TypeError, "got None"),
    ],
)
def test_other_identifiers_are_refused(identifier, error, text):
    with pytest.raises(error, match=text):
        get_loss(identifier)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="unknown reduction 'average'"):
        MeanSquaredError(reduction="average")
    assert MeanSquaredError(reduction="sum_over_batch_size").reduction == "mean"


def test_the_base_says_what_a_subclass_must_define():
    with pytest.raises(NotImplementedError, match="Loss must define call"):
        Loss("bare")([[1.0]], [[1.0]])


# The edges of the losses that compare entry by entry ---------------------------------------------


def test_log_cosh_cannot_overflow_and_is_exact_near_zero():
    y_pred = cr.tensor([[-1e4, 1e-6, 0.0, 1e4]], requires_grad=True)
    values = cr.log_cosh(y_pred, 0.0)
    expected = [1e4 - np.log(2), 0.5e-12, 0.0, 1e4 - np.log(2)]
    np.testing.assert_allclose(values.numpy()[0], expected, rtol=1e-12, atol=2 * EPS)
    LogCosh()([[0.0] * 4], y_pred).backward()
    np.testing.assert_allclose(y_pred.grad.numpy()[0] * 4, [-1.0, 1e-6, 0.0, 1.0])


def test_a_target_of_zero_takes_no_part_in_the_divergence():
    y_pred = cr.tensor([[0.0, 1.0]], requires_grad=True)
    loss = KLDivergence()([[0.0, 1.0]], y_pred)
    loss.backward()
    assert loss.item() == 0.0
    assert y_pred.grad.tolist() == [[0.0, -1.0]]


def test_hinge_takes_zeros_and_ones_for_signs_and_refuses_other_labels():
    z = cr.tensor([[0.5, -3.0, 0.25]])
    assert Hinge()([[1, 0, 1]], z).item() == Hinge()([[1, -1, 1]], z).item()
    with pytest.raises(ValueError, match=r"hinge: y_true must be -1 and 1.*got 2"):
        Hinge()([[1, 2, -1]], z)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.inf, True, "1", cr.tensor(1.0)])
def test_huber_takes_a_positive_number(delta):
    with pytest.raises(ValueError, match="Huber: delta must be a positive number"):
        Huber(delta)
    with pytest.raises(ValueError, match="huber: delta must be a positive number"):
        cr.huber(cr.tensor([1.0]), cr.tensor([2.0]), delta)


def test_a_vector_of_zeros_has_no_direction():
    y_pred = cr.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    loss = CosineSimilarity(reduction="sum")([[1.0, 2.0], [3.0, 4.0]], y_pred)
    loss.backward()
    assert loss.item() == pytest.approx(-1.0)
    np.testing.assert_allclose(y_pred.grad.numpy(), 0.0, atol=4 * EPS)
