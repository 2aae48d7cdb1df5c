"""Metrics: equal to scikit-learn, the same for every cut into batches, strict about shapes."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.training.metric_base import Mean, Metric
from chainrule.training.metrics import (
    ABBREVIATIONS,
    METRICS,
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalAccuracy,
    confusion_matrix,
    format_confusion,
    get_metric,
)

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def oracle():
    return pytest.importorskip("sklearn.metrics")


def score(metric, y_true, y_pred):
    metric.update(y_true, y_pred)
    return metric.result()


def draw(kind, rng, samples, classes=4):
    """Targets and predictions that suit a metric."""
    if kind == "binary_accuracy":
        return rng.integers(0, 2, (samples, 1)), rng.random((samples, 1))
    if kind in ("mean_squared_error", "mean_absolute_error"):
        return rng.normal(size=(samples, 2)), rng.normal(size=(samples, 2))
    labels, y_pred = rng.integers(0, classes, samples), rng.normal(size=(samples, classes))
    one_hot = np.eye(classes)[labels]
    return (one_hot if kind == "categorical_accuracy" else labels), y_pred


@pytest.mark.parametrize("name", METRICS)
@given(seed=seeds, samples=st.integers(1, 40), batch=st.integers(1, 50))
def test_the_result_does_not_depend_on_the_batches(name, seed, samples, batch):
    y_true, y_pred = draw(name, np.random.default_rng(seed), samples)
    whole, parts = get_metric(name), get_metric(name)
    whole.update(y_true, y_pred)
    for start in range(0, samples, batch):
        parts.update(y_true[start : start + batch], y_pred[start : start + batch])
    if "accuracy" in name:  # counts are exact
        assert parts.result() == whole.result()
    else:
        assert parts.result() == pytest.approx(whole.result(), rel=samples * 2.0**-52)


@settings(deadline=None)  # scikit-learn imports parts of itself at first use
@given(seed=seeds, samples=st.integers(1, 40))
def test_scikit_learn_agrees(oracle, seed, samples):
    rng = np.random.default_rng(seed)
    labels, logits = draw("sparse_categorical_accuracy", rng, samples)
    accuracy = oracle.accuracy_score(labels, logits.argmax(1))
    assert score(SparseCategoricalAccuracy(), labels, logits) == pytest.approx(accuracy, abs=1e-15)
    one_hot = np.eye(4)[labels]
    assert score(CategoricalAccuracy(), one_hot, logits) == pytest.approx(accuracy, abs=1e-15)
    y_true, y_pred = draw("binary_accuracy", rng, samples)
    assert score(BinaryAccuracy(0.3), y_true, y_pred) == pytest.approx(
        oracle.accuracy_score(y_true, y_pred > 0.3), abs=1e-15
    )
    y_true, y_pred = draw("mean_squared_error", rng, samples)
    for metric, function in (
        (MeanSquaredError(), oracle.mean_squared_error),
        (MeanAbsoluteError(), oracle.mean_absolute_error),
    ):
        assert score(metric, y_true, y_pred) == pytest.approx(function(y_true, y_pred), rel=1e-13)


@settings(deadline=None)
@given(seed=seeds, samples=st.integers(0, 60), classes=st.integers(2, 6))
def test_confusion_matrix_is_scikit_learns(oracle, seed, samples, classes):
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.integers(0, classes, (2, samples)).astype(np.uint8)
    matrix = confusion_matrix(y_true, y_pred, classes)
    assert matrix.dtype == np.int64
    if samples:
        expected = oracle.confusion_matrix(y_true, y_pred, labels=range(classes))
        np.testing.assert_array_equal(matrix, expected)
    else:
        assert not matrix.any()


def test_confusion_matrix_of_many_classes_in_small_integers_does_not_overflow():
    labels = np.array([199], np.uint8)
    assert confusion_matrix(labels, labels, 200)[199, 199] == 1


def test_confusion_matrix_refuses_what_it_cannot_count():
    with pytest.raises(ValueError, match=r"confusion_matrix: y_pred\[1\] = 3 is outside"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3)
    with pytest.raises(ValueError, match=r"y_true\[0\] = -1 is outside"):
        confusion_matrix(np.array([-1, 1]), np.array([0, 1]), 3)
    with pytest.raises(TypeError, match="class labels are integers"):
        confusion_matrix(np.array([0.0]), np.array([0]), 3)
    with pytest.raises(ValueError, match="same shape"):
        confusion_matrix(np.array([[0]]), np.array([0]), 3)


def test_confusion_table_is_aligned_and_shows_recall():
    matrix = np.array([[35, 0, 1000], [1, 36, 0], [0, 0, 0]])
    table = format_confusion(matrix, ["a", "狗狗", "none"])
    assert table.split("\n") == [
        r"true \ predicted   a  狗狗  none  recall",
        r"a                 35     0  1000  0.0338",
        r"狗狗               1    36     0  0.9730",
        r"none               0     0     0       -",
    ]
    assert re.fullmatch(
        r"true \\ predicted +0 +1 +2 +recall", format_confusion(matrix).split("\n")[0]
    )
    with pytest.raises(ValueError, match="2 class_names for 3 classes"):
        format_confusion(matrix, ["a", "b"])
    with pytest.raises(ValueError, match=r"must be square.*\(2, 3\)"):
        format_confusion(matrix[:2])


def test_every_position_of_a_sequence_counts_once():
    rng = np.random.default_rng(3)
    y_pred = rng.normal(size=(5, 7, 3))
    labels = rng.integers(0, 3, (5, 7))
    expected = (y_pred.argmax(-1) == labels).sum() / 35
    assert score(Accuracy(), labels, y_pred) == expected
    assert score(Accuracy(), np.eye(3)[labels], y_pred) == expected
    assert score(Accuracy(), labels[..., None] % 2, rng.random((5, 7, 1))) not in (0.0, 1.0)


@pytest.mark.parametrize(
    ("loss", "true_shape", "pred_shape", "expected"),
    [
        (None, (4, 1), (4, 1), BinaryAccuracy),
        (None, (4,), (4,), BinaryAccuracy),
        ("binary_crossentropy", (4, 3), (4, 3), BinaryAccuracy),
        ("categorical_crossentropy", (4, 3), (4, 3), CategoricalAccuracy),
        (None, (4,), (4, 3), SparseCategoricalAccuracy),
        (None, (4, 1), (4, 3), SparseCategoricalAccuracy),
        (None, (4, 5), (4, 5, 3), SparseCategoricalAccuracy),
        (None, (4, 5, 3), (4, 5, 3), CategoricalAccuracy),
        (None, (4, 5, 1), (4, 5, 1), BinaryAccuracy),
    ],
)
def test_accuracy_is_resolved_as_documented(loss, true_shape, pred_shape, expected):
    resolved = Accuracy(loss).resolve(np.zeros(true_shape, int), np.zeros(pred_shape))
    assert type(resolved) is expected


@given(threshold=st.floats(0.05, 0.95), seed=seeds)
def test_logits_and_probabilities_give_the_same_binary_accuracy(threshold, seed):
    rng = np.random.default_rng(seed)
    logits, y_true = rng.normal(size=(50, 1)) * 3, rng.integers(0, 2, (50, 1))
    by_logits = score(BinaryAccuracy(threshold, from_logits=True), y_true, logits)
    assert by_logits == score(BinaryAccuracy(threshold), y_true, 1 / (1 + np.exp(-logits)))
    if abs(threshold - 0.5) < 1e-9:
        assert by_logits == score(Accuracy(from_logits=True), y_true, logits)


def test_accuracy_hands_logits_on():
    y_true, logits = np.array([[1], [0]]), np.array([[0.3], [0.3]])
    assert score(get_metric("acc", from_logits=True), y_true, logits) == 0.5
    assert score(get_metric("binary_accuracy", from_logits=True), y_true[:1], logits[:1]) == 1.0
    assert score(get_metric("acc"), y_true[:1], logits[:1]) == 0.0


@pytest.mark.parametrize("threshold", [0, 1, -0.5, math.nan])
def test_thresholds_are_probabilities(threshold):
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1"):
        BinaryAccuracy(threshold)


def test_nan_predictions_are_wrong_whatever_the_target():
    nan = np.full((2, 2), np.nan)
    assert score(BinaryAccuracy(), np.array([[0, 1], [0, 1]]), nan) == 0
    assert score(CategoricalAccuracy(), np.eye(2), nan) == 0
    assert score(SparseCategoricalAccuracy(), np.array([0, 1]), nan) == 0
    one = np.array([[0.0, 5.0], [np.nan, 1.0]])
    assert score(SparseCategoricalAccuracy(), np.array([1, 0]), one) == 0.5
    assert score(SparseCategoricalAccuracy(), np.array([-1, -1]), one) == 0
    assert math.isnan(score(MeanSquaredError(), np.zeros((2, 2)), nan))


SHAPES = [
    (BinaryAccuracy(), (4,), (4, 1), "y.reshape(-1, 1)"),
    (BinaryAccuracy(), (4, 1), (4,), "y.reshape(-1)"),
    (MeanSquaredError(), (4,), (4, 1), "y.reshape(-1, 1)"),
    (MeanAbsoluteError(), (4, 1), (1, 4), "y.reshape(-1, 4)"),
    (MeanSquaredError(), (4, 1), (4, 3), "need the same shape"),
    (CategoricalAccuracy(), (1, 3), (4, 3), "need the same shape"),
    (CategoricalAccuracy(), (4,), (4,), "(batch, ..., classes)"),
    (SparseCategoricalAccuracy(), (4, 1), (4, 3), "y.reshape(-1)"),
    (SparseCategoricalAccuracy(), (4, 5, 1), (4, 5, 3), "y.reshape(-1, 5)"),
    (SparseCategoricalAccuracy(), (1,), (4, 3), "need shape (4,)"),
    (SparseCategoricalAccuracy(), (), (4, 3), "need shape (4,)"),
    (Accuracy(), (4,), (4, 1), "y.reshape(-1, 1)"),
]


@pytest.mark.parametrize(("metric", "true_shape", "pred_shape", "remedy"), SHAPES)
def test_nothing_is_broadcast(metric, true_shape, pred_shape, remedy):
    with pytest.raises(ValueError, match=re.escape(remedy)) as caught:
        metric.update(np.zeros(true_shape, int), np.zeros(pred_shape, np.float32))
    for part in (metric.name, f"shape {true_shape}, int64", f"shape {pred_shape}, float32"):
        assert part in str(caught.value)
    assert math.isnan(metric.result())


def test_floating_labels_are_refused():
    with pytest.raises(TypeError, match=r'class labels are integers.*astype\("int64"\)'):
        Accuracy().update(np.zeros(4), np.zeros((4, 3)))


def test_errors_of_small_integers_do_not_wrap_around():
    y_true, y_pred = np.array([[250]], np.uint8), np.array([[3]], np.uint8)
    assert score(MeanAbsoluteError(), y_true, y_pred) == 247
    assert score(MeanSquaredError(), y_true, y_pred) == 247**2
    assert score(MeanSquaredError(), np.array([True]), np.array([False])) == 1


def test_float32_values_are_summed_in_float64():
    metric = get_metric(lambda y_true, y_pred: y_pred)
    for _ in range(100):
        metric.update(np.zeros(1000), np.full(1000, 0.1, np.float32))
    assert metric.result() == pytest.approx(float(np.float32(0.1)), rel=1e-11)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 64)), min_size=1))
def test_mean_weights_batches_by_their_samples(batches):
    mean = Mean("loss")
    for value, count in batches:
        mean.update(np.float64(value), count)
    total = math.fsum(value * count for value, count in batches)
    scale = math.fsum(abs(value * count) for value, count in batches)
    count = sum(count for _, count in batches)
    bound = len(batches) * 2.0**-52 * scale / count
    assert mean.result() == pytest.approx(total / count, rel=2.0**-50, abs=bound)
    assert mean.name == "loss"


def test_reset_forgets_and_an_empty_metric_is_nan():
    for metric in (get_metric("mse"), Mean()):
        assert math.isnan(metric.result())
    metric = get_metric("mse")
    metric.update(np.ones(3), np.zeros(3))
    metric.reset()
    metric.update(np.ones(1), np.ones(1))
    assert metric.result() == 0.0


@pytest.mark.parametrize("name", [*METRICS, *ABBREVIATIONS])
def test_names_give_fresh_metrics_that_keep_the_name_asked_for(name):
    metric = get_metric(name)
    assert type(metric) is METRICS[ABBREVIATIONS.get(name, name)]
    assert metric.name == name
    assert get_metric(name) is not metric


def test_metrics_and_functions_are_metrics():
    metric = BinaryAccuracy()
    assert get_metric(metric) is metric

    def distance(y_true, y_pred):
        return np.abs(y_true - y_pred).max(axis=1)

    mine = get_metric(distance)
    mine.update(np.zeros((2, 2)), np.array([[1.0, 2.0], [0.0, 4.0]]))
    mine.update(np.zeros((1, 2)), np.array([[0.0, 0.0]]))
    assert (mine.name, mine.result()) == ("distance", 2.0)


@pytest.mark.parametrize("returned", [np.float64(0.5), np.zeros(3), [0.5]])
def test_a_function_must_give_values_per_sample(returned):
    with pytest.raises(ValueError, match="return one value per sample"):
        get_metric(lambda y_true, y_pred: returned).update(np.zeros(2), np.zeros(2))


def test_unknown_metrics_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"compile: unknown metric 'acuracy'.*accuracy.*mse, mae"):
        get_metric("acuracy")
    with pytest.raises(TypeError, match=r"the class BinaryAccuracy \(write BinaryAccuracy\("):
        get_metric(BinaryAccuracy)
    with pytest.raises(TypeError, match="got int"):
        get_metric(3)


def test_a_metric_without_values_says_so():
    with pytest.raises(NotImplementedError, match="Metric must define values"):
        Metric("bare").update(np.zeros(1), np.zeros(1))


@pytest.mark.parametrize("name", METRICS)
def test_arguments_are_left_alone(name):
    y_true, y_pred = draw(name, np.random.default_rng(0), 5)
    copies = y_true.copy(), y_pred.copy()
    y_true.flags.writeable = y_pred.flags.writeable = False
    get_metric(name).update(y_true, y_pred)
    np.testing.assert_array_equal(copies[0], y_true)
    np.testing.assert_array_equal(copies[1], y_pred)
