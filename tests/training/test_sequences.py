"""Padding, windows and one-hot rows are what their definitions say, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from chainrule.text import windows
from chainrule.utils import pad_sequences, to_categorical

SIDES = st.sampled_from(["pre", "post"])
ROWS = st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=6), min_size=1, max_size=6)


# ------------------------------------------------------------------------------- pad_sequences


def by_hand(rows, maxlen, padding, truncating, value):
    """The definition, a row and a step at a time."""
    width = max(map(len, rows)) if maxlen is None else maxlen
    result = []
    for row in rows:
        kept = row if len(row) <= width else row[-width:] if truncating == "pre" else row[:width]
        filling = [value] * (width - len(kept))
        result.append(filling + kept if padding == "pre" else kept + filling)
    return result


@given(ROWS, st.one_of(st.none(), st.integers(1, 8)), SIDES, SIDES, st.integers(-3, 3))
def test_every_row_is_cut_and_filled_on_its_side(rows, maxlen, padding, truncating, value):
    found = pad_sequences(rows, maxlen, "int64", padding, truncating, value)
    assert found.dtype == np.int64
    assert found.tolist() == by_hand(rows, maxlen, padding, truncating, value)


def test_what_keras_documents():
    sequence = [[1], [2, 3], [4, 5, 6]]
    found = pad_sequences(sequence)
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert pad_sequences(sequence, value=-1).tolist() == [[-1, -1, 1], [-1, 2, 3], [4, 5, 6]]
    assert pad_sequences(sequence, padding="post").tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6]]
    assert pad_sequences(sequence, maxlen=2).tolist() == [[0, 1], [2, 3], [5, 6]]


def test_steps_may_be_vectors_and_rows_arrays():
    rows = [np.arange(6.0).reshape(3, 2), np.arange(2.0).reshape(1, 2)]
    found = pad_sequences(rows, maxlen=2, dtype="float32", padding="post", value=-1.5)
    assert found.dtype == np.float32
    assert found.tolist() == [[[2, 3], [4, 5]], [[0, 1], [-1.5, -1.5]]]


def test_strings_can_be_kept_as_objects():
    found = pad_sequences([["a"], ["bc", "d"]], dtype=object, value="[PAD]")
    assert found.tolist() == [["[PAD]", "a"], ["bc", "d"]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1], [], [2]],), ValueError, r"sequences\[1\] is empty: nothing can be learnt"),
        (([],), ValueError, "sequences is empty"),
        (([[1], [2, 300]], None, "int8"), ValueError, r"sequences\[1\] holds 300 at step 1.*int8"),
        (([[1, 2], [0.5]],), ValueError, r"sequences\[1\] holds 0\.5 at step 0.*float32"),
        (([[-1]], None, "uint8"), ValueError, r"sequences\[0\] holds -1 at step 0"),
        (([[2**63]], None, "int64"), ValueError, "int64 cannot hold"),
        (([[float("nan")]],), ValueError, "holds nan"),
        (([[1e300]], None, "float32"), ValueError, "float32 cannot hold"),
        (([[1]], None, "uint8", "pre", "pre", -1), ValueError, "value=-1 is none that uint8"),
        (([[1]], None, "int32", "pre", "pre", "x"), ValueError, "value must be a single number"),
        (([[1]], None, "int32", "pre", "pre", [1]), ValueError, "value must be a single number"),
        (([1, 2],), ShapeError, r"sequences\[0\] is a single value, 1; give a list"),
        ((["ab"],), ShapeError, "encode text first"),
        (([["a"]],), DtypeError, "no numbers"),
        (([[[1], [2]], [1]],), ShapeError, r"sequences\[1\] has shape \(1,\).*\(2, 1\)"),
        (([[[1], [2, 3]]],), ShapeError, r"sequences\[0\] cannot be made an array"),
        (([[1]], 0), ValueError, "maxlen must be at least 1"),
        (([[1]], 2.0), TypeError, r"maxlen must be an integer of at least 1, got 2\.0"),
        (([[1]], None, "int32", "left"), ValueError, 'padding must be "pre" or "post"'),
        (([[1]], None, "int32", "pre", "left"), ValueError, 'truncating must be "pre" or "post"'),
        (([[1]], None, "nothing"), DtypeError, "dtype='nothing' is unknown"),
        (([[1]], None, str), DtypeError, "object for strings"),
    ],
)
def test_what_cannot_be_padded_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        pad_sequences(*arguments)


# ------------------------------------------------------------------------------------- windows


@given(st.lists(st.integers(0, 300), min_size=2, max_size=30), st.data())
def test_targets_are_the_samples_one_step_on(ids, data):
    length = data.draw(st.integers(1, len(ids) - 1))
    possible = len(ids) - length
    stride = data.draw(st.one_of(st.none(), st.integers(1, 5)))
    x, y = windows(ids, length, stride=stride)
    starts = range(0, possible, stride or 1)
    assert x.tolist() == [ids[s : s + length] for s in starts]
    assert y.tolist() == [ids[s + 1 : s + 1 + length] for s in starts]
    last = windows(ids, length, stride=stride, target="last")[1]
    assert last.tolist() == [ids[s + length] for s in starts]
    assert x.dtype == y.dtype == (np.uint8 if max(ids) < 256 else np.uint16)


@given(st.integers(2, 60), st.data())
def test_a_count_spreads_the_starts_evenly_over_all(steps, data):
    length = data.draw(st.integers(1, steps - 1))
    possible = steps - length
    count = data.draw(st.integers(1, possible))
    x, y = windows(np.arange(steps), length, count)
    starts = x[:, 0].astype(int)
    np.testing.assert_array_equal(x, starts[:, None] + np.arange(length))
    np.testing.assert_array_equal(y, x + 1)
    assert len(starts) == count and starts[0] == 0
    if count > 1:
        assert starts[-1] == possible - 1
        gaps = np.diff(starts)
        assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_the_windows_of_the_packaged_text_are_small():
    ids = cr.text.CharTokenizer().fit(text := cr.datasets.python_docs().train).encode(text)
    x, y = windows(ids, 20, count=108_000)
    assert x.shape == y.shape == (108_000, 20)
    assert x.dtype == y.dtype == np.uint8
    assert x.base is y.base and x.base.nbytes == 108_000 * 21
    every, _ = windows(ids, 20)
    assert every.shape == (418_453, 20)
    assert not every.flags.writeable
    np.testing.assert_array_equal(every[[0, -1]], x[[0, -1]])


def test_the_sequence_given_is_not_shared():
    ids = np.arange(9, dtype=np.uint8)
    x, _ = windows(ids, 2)
    ids[:] = 7
    assert x[0].tolist() == [0, 1]


@pytest.mark.parametrize(("highest", "kind"), [(255, "uint8"), (256, "uint16"), (65536, "int32")])
def test_ids_are_kept_in_the_smallest_dtype(highest, kind):
    x, y = windows([0, highest, 1], 2)
    assert x.dtype == y.dtype == kind
    assert x.tolist() == [[0, highest]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, 2], 2), ValueError, "ids has 2 steps, but a window of length=2 and what .* take 3"),
        (([1, 2, 3], 2, 2), ValueError, "and so 1 windows of length=2, fewer than count=2"),
        (([1, 2, 3], 1, 1, 1), ValueError, "count=1 or stride=1, not both"),
        (([1, -2, 3], 1), ValueError, r"ids\[1\] = -2 is negative"),
        (([1, 2**31], 1), ValueError, "more than int32 can hold"),
        (([1, 2], 0), ValueError, "length must be at least 1"),
        (([1, 2], 1, 0), ValueError, "count must be at least 1"),
        (([1, 2], 1, None, -1), ValueError, "stride must be at least 1"),
        (([1, 2], True), TypeError, "length must be an integer"),
        (([1, 2], 1, None, None, "first"), ValueError, 'target must be "next" or "last"'),
        (([1.0, 2.0], 1), DtypeError, "must be integers"),
        (("abc", 1), ShapeError, r"must have shape \(steps,\)"),
        (([[1, 2]], 1), ShapeError, r"got shape \(1, 2\)"),
    ],
)
def test_what_has_no_windows_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        windows(*arguments)


# ------------------------------------------------------------------------------ to_categorical


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
    st.one_of(st.none(), st.integers(7, 9)),
    st.sampled_from(["float32", "float64", "uint8"]),
    st.sampled_from(["int64", "uint8", "float32"]),
)
def test_a_row_is_one_at_its_class_and_zero_elsewhere(labels, classes, dtype, given_as):
    found = to_categorical(np.array(labels, given_as), classes, dtype)
    width = max(labels) + 1 if classes is None else classes
    assert found.dtype == dtype
    assert found.tolist() == [[float(c == label) for c in range(width)] for label in labels]


def test_shapes_are_those_of_keras():
    assert to_categorical(np.zeros((4, 1), int), 3).shape == (4, 3)
    assert to_categorical(np.zeros((4, 2), int), 3).shape == (4, 2, 3)
    assert to_categorical([1]).tolist() == [[0, 1]]
    assert to_categorical(2).tolist() == [0, 0, 1]
    assert to_categorical([True, False]).tolist() == [[0, 1], [1, 0]]


def test_the_sparse_loss_of_the_labels_is_the_loss_of_the_rows():
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 5, 20).astype(np.uint8)
    scores = np.exp(draw.normal(size=(20, 5)))
    p = cr.tensor(scores / scores.sum(1, keepdims=True))
    dense = CategoricalCrossentropy(reduction=None)(to_categorical(labels, 5, "float64"), p)
    sparse = SparseCategoricalCrossentropy(reduction=None)(labels, p)
    np.testing.assert_allclose(dense.numpy(), sparse.numpy(), rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 3, 1, 4], 3), ValueError, r"y\[1\] = 3 is outside .* 0 to 2 \(2 of 4.*num_classes=5"),
        (([[0], [-1]],), ValueError, r"y\[1, 0\] = -1 is outside.*number the classes from 0$"),
        (([0, 1.5],), ValueError, r"y\[1\] = 1\.5 is no class number"),
        (([0, float("nan")],), ValueError, r"y\[1\] = nan is no class number"),
        (([],), ValueError, "y is empty"),
        ((["a"],), DtypeError, "y must be class numbers"),
        (([0], 0), ValueError, "num_classes must be at least 1"),
        (([0], 2.0), TypeError, "num_classes must be an integer"),
        (([0], 2, "object"), DtypeError, "dtype must be one of numbers"),
    ],
)
def test_labels_outside_are_named_with_their_place(arguments, error, message):
    with pytest.raises(error, match=message):
        to_categorical(*arguments)
