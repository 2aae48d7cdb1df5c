"""Sequences of ids as arrays: filled up to one length, cut into windows, spread to one-hot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.engine.errors import DtypeError, ShapeError, describe

from .integers import check_integer

SIDES = ("pre", "post")


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0,
) -> np.ndarray:
    """Sequences of different lengths as one array, filled up and cut to one length.

    It is Keras's `pad_sequences`, but for two cases in which that does harm in silence: a sequence
    without any step is an error here (nothing can be learnt from it), and so is a value that
    `dtype` cannot hold, such as 0.5 or 300 as int8.

    Arguments:
        sequences: each of shape (steps, ...), with the same axes after the first.
        maxlen: length of all rows; None for that of the longest.
        dtype: of the result; numbers, booleans, or object (for strings).
        padding: fill up at the start ("pre") or the end ("post").
        truncating: cut what is too long at the start ("pre") or the end ("post").
        value: what is filled in.

    Returns:
        an array of shape (sequences, maxlen, ...).

    Raises:
        ValueError: there is no sequence, one is empty (the message names its row), a value does
            not fit `dtype`, or an argument is none of the above.
        ShapeError: a sequence is a single number, or differs from the first after its first axis.
        DtypeError, TypeError: `dtype` or `maxlen` is of another kind.

    Source: Keras, `keras.utils.pad_sequences`.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]])
    array([[0, 0, 1],
           [0, 2, 3],
           [4, 5, 6]], dtype=int32)
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2, padding="post", truncating="post")
    array([[1, 0],
           [2, 3],
           [4, 5]], dtype=int32)
    """
    kind = _kind(dtype, "pad_sequences", allowed="biufO")
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in SIDES:
            raise ValueError(f'pad_sequences: {name} must be "pre" or "post", got {side!r}')
    rows = _rows(sequences)
    lengths = np.array([len(row) for row in rows])
    width = (
        int(lengths.max())
        if maxlen is None
        else check_integer(maxlen, "maxlen", least=1, where="pad_sequences")
    )
    flat = np.concatenate(rows)
    if kind.kind != "O" and flat.dtype.kind not in "biuf":
        raise DtypeError(
            f"pad_sequences: the sequences hold no numbers ({flat.dtype}); encode text first, or "
            "give dtype=object to keep strings"
        )
    starts = np.cumsum(lengths) - lengths
    if (bad := _unfit(flat, kind)) is not None:
        row = int(np.searchsorted(starts, bad[0], "right")) - 1
        raise ValueError(
            f"pad_sequences: sequences[{row}] holds {flat[bad]} at step {bad[0] - starts[row]}, "
            f'which {kind} cannot hold; give a dtype that can, such as dtype="float32"'
        )
    filling = np.asarray(value, object if kind.kind == "O" else None)
    if filling.ndim or (kind.kind != "O" and filling.dtype.kind not in "biuf"):
        raise ValueError(f"pad_sequences: value must be a single number, got {describe(value)}")
    if _unfit(filling, kind) is not None:
        raise ValueError(f"pad_sequences: value={value} is none that {kind} can hold")
    kept = np.minimum(lengths, width)
    # Of every row, the first or the last `kept` steps: where they come from, and where they go.
    step = np.arange(len(flat)) - np.repeat(starts, lengths)
    first = lengths - kept if truncating == "pre" else np.zeros_like(kept)
    taken = (step >= np.repeat(first, lengths)) & (step < np.repeat(first + kept, lengths))
    column = np.arange(width)
    into = column >= (width - kept)[:, None] if padding == "pre" else column < kept[:, None]
    result = np.full((len(rows), width, *flat.shape[1:]), value, kind)
    result[into] = flat[taken].astype(kind)
    return result


def _rows(sequences: Iterable[Any]) -> list[np.ndarray]:
    rows: list[np.ndarray] = []
    for position, sequence in enumerate(sequences):
        where = f"pad_sequences: sequences[{position}]"
        try:
            row = np.asarray(sequence)
        except ValueError as error:
            raise ShapeError(f"{where} cannot be made an array ({error})") from error
        if row.ndim == 0:
            remedy = "encode text first" if row.dtype.kind in "US" else "give a list of sequences"
            raise ShapeError(f"{where} is a single value, {row.item()!r:.60}; {remedy}")
        if len(row) == 0:
            raise ValueError(
                f"{where} is empty: nothing can be learnt from it; leave it out, and its target"
            )
        if rows and row.shape[1:] != rows[0].shape[1:]:
            raise ShapeError(
                f"{where} has {describe(row)}, but sequences[0] {describe(rows[0])}; after the "
                "first axis all must be alike"
            )
        rows.append(row)
    if not rows:
        raise ValueError("pad_sequences: sequences is empty; at least one is needed")
    return rows


def windows(
    ids: Any,
    length: int,
    count: int | None = None,
    stride: int | None = None,
    target: str = "next",
) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of a sequence, and what follows: samples and targets to learn the next id from.

        x[i, t] = ids[start_i + t]          y[i, t] = ids[start_i + t + 1]

    The starts are 0, stride, 2 · stride, …, as far as a whole window with its target fits; or
    `count` of them, spread evenly from the first possible one to the last, both included. The ids
    are kept as the smallest of uint8, uint16 and int32 that holds the highest of them. With a
    stride both arrays are read-only views of one copy of the sequence; with a count they are
    copies of the windows, together (length + 1) · count ids.

    Arguments:
        ids: integers from 0, shape (steps,).
        length: steps of a window.
        count: number of windows, at most the number of possible starts, steps − length.
        stride: distance between starts; 1, which is every possible one, if there is no count.
        target: "next", the id that follows at every step, or "last", only the one that follows
            the window.

    Returns:
        x, of shape (count, length), and y, of the same shape, or (count,) for "last".

    Raises:
        DtypeError, ShapeError: `ids` are no integers, or have not one axis.
        ValueError: an id is negative, the sequence is too short for one window, or too short for
            `count` different ones; both `count` and `stride` are given; `target` is unknown.
        TypeError: a number is no integer.

    >>> x, y = windows([3, 1, 4, 1, 5, 9], length=3, stride=2)
    >>> x.tolist(), y.tolist()
    ([[3, 1, 4], [4, 1, 5]], [[1, 4, 1], [1, 5, 9]])
    >>> windows([3, 1, 4, 1, 5, 9], length=3, count=2, target="last")[1]
    array([1, 9], dtype=uint8)
    """
    sequence = np.asarray(ids)
    if sequence.ndim != 1:
        raise ShapeError(f"windows: ids must have shape (steps,), got {describe(sequence)}")
    if sequence.dtype.kind not in "iu":
        raise DtypeError(
            f"windows: ids must be integers, got {describe(sequence)}; encode text first"
        )
    if target not in ("next", "last"):
        raise ValueError(f'windows: target must be "next" or "last", got {target!r}')
    length = check_integer(length, "length", least=1, where="windows")
    possible = len(sequence) - length
    if possible < 1:
        raise ValueError(
            f"windows: ids has {len(sequence)} steps, but a window of length={length} and what "
            f"follows it take {length + 1}; give a longer sequence, or shorter windows"
        )
    if sequence.min() < 0:
        first = int(np.argmax(sequence < 0))
        raise ValueError(f"windows: ids[{first}] = {sequence[first]} is negative; ids start at 0")
    every = np.lib.stride_tricks.sliding_window_view(_small(sequence), length + 1)
    if count is None:
        step = 1 if stride is None else check_integer(stride, "stride", least=1, where="windows")
        chosen = every[::step]
    elif stride is not None:
        raise ValueError(f"windows: give count={count} or stride={stride}, not both")
    else:
        count = check_integer(count, "count", least=1, where="windows")
        if count > possible:
            raise ValueError(
                f"windows: ids has {len(sequence)} steps, and so {possible} windows of "
                f"length={length}, fewer than count={count}; lower count, or give a longer sequence"
            )
        chosen = every[np.arange(count) * (possible - 1) // max(count - 1, 1)]
    return chosen[:, :-1], chosen[:, 1:] if target == "next" else chosen[:, -1]


def _small(sequence: np.ndarray) -> np.ndarray:
    """A copy in the smallest dtype of ids."""
    highest = int(sequence.max())
    for kind in (np.uint8, np.uint16, np.int32):
        if highest <= np.iinfo(kind).max:
            return sequence.astype(kind)
    raise ValueError(f"windows: ids hold {highest}, more than int32 can hold")


def to_categorical(y: Any, num_classes: int | None = None, dtype: Any = "float32") -> np.ndarray:
    """Class numbers as one-hot rows: 1 at the class, 0 elsewhere.

        result[..., c] = 1 if y[...] == c, else 0

    It costs `num_classes` numbers a label: 108,000 windows of 20 characters of 105 are 907 MB of
    float32, where the labels themselves take 2 MB as uint8. The loss
    `sparse_categorical_crossentropy` takes those, and computes the same; prefer it.

    Arguments:
        y: labels, whole numbers from 0 of any dtype, any shape; a last axis of length 1 is
            dropped, as in Keras.
        num_classes: number of classes; None for the highest label plus one.
        dtype: of the result.

    Returns:
        an array of shape (*y.shape, num_classes).

    Raises:
        ValueError: a label is no whole number, or outside 0 … num_classes − 1 (the message names
            the first and its position), or there is none.
        DtypeError: labels or `dtype` are no numbers.

    Source: Keras, `keras.utils.to_categorical`.

    >>> to_categorical([0, 2, 1])
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    kind = _kind(dtype, "to_categorical", allowed="biuf")
    given = np.asarray(y)
    if given.dtype.kind not in "biuf":
        raise DtypeError(f"to_categorical: y must be class numbers, got {describe(given)}")
    if given.size == 0:
        raise ValueError(f"to_categorical: y is empty ({describe(given)})")
    if (bad := _unfit(given, np.dtype(np.int64))) is not None:
        raise ValueError(f"to_categorical: y{_at(bad)} = {given[bad]} is no class number")
    labels = given.astype(np.int64)
    if num_classes is None:
        classes = int(labels.max()) + 1
    else:
        classes = check_integer(num_classes, "num_classes", least=1, where="to_categorical")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        first = tuple(int(each) for each in np.argwhere(outside)[0])
        remedy = "number the classes from 0"
        if labels.min() >= 0:
            remedy += f", or give num_classes={int(labels.max()) + 1}"
        raise ValueError(
            f"to_categorical: y{_at(first)} = {labels[first]} is outside the classes 0 to "
            f"{classes - 1} ({np.count_nonzero(outside)} of {labels.size} labels are); {remedy}"
        )
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    result = np.zeros((*labels.shape, classes), kind)
    np.put_along_axis(result, labels[..., None], 1, axis=-1)
    return result


def _at(position: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, position))}]" if position else ""


def _kind(dtype: Any, where: str, *, allowed: str) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise DtypeError(f"{where}: dtype={dtype!r} is unknown") from error
    if kind.kind not in allowed:
        strings = ", or object for strings" if "O" in allowed else ""
        raise DtypeError(f"{where}: dtype must be one of numbers{strings}, got {dtype!r}")
    return kind


def _unfit(values: np.ndarray, kind: np.dtype[Any]) -> tuple[int, ...] | None:
    """The position of the first number that `kind` cannot hold; floats may round it."""
    if kind.kind == "O" or np.can_cast(values.dtype, kind):
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        cast = values.astype(kind)
    wrong = np.isinf(cast) & np.isfinite(values) if kind.kind == "f" else cast != values
    return tuple(int(each) for each in np.argwhere(wrong)[0]) if wrong.any() else None
