"""Classes by their names: targets that are names as ids, and a model's outputs as names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.tensor import Tensor

#: So many of the known classes are listed in a message.
_LISTED = 10


def class_names(classes: Any, where: str) -> tuple[str, ...]:
    """The names as Python strings.

    Raises:
        TypeError: it is no list or array of strings.
        ValueError: there are fewer than two, or one is empty, or comes twice.

    >>> class_names(np.array(["cat", "dog"]), "Preprocessing")
    ('cat', 'dog')
    """
    if not isinstance(classes, (list, tuple, np.ndarray)):
        raise TypeError(f"{where}: classes must be a list of names, got {describe(classes)}")
    names: dict[str, None] = {}  # a set in the order given: there may be very many
    for position, each in enumerate(classes):
        if not isinstance(each, str):
            raise TypeError(
                f"{where}: classes[{position}] must be a string, got {describe(each)}; numbers "
                "from 0 need no names"
            )
        if not each:
            raise ValueError(f"{where}: classes[{position}] is empty; every class needs a name")
        if each in names:
            raise ValueError(f"{where}: the class {each!r} comes twice; np.unique(y) lists each")
        names[str(each)] = None
    if len(names) < 2:
        raise ValueError(f"{where}: classes must be at least two, got {list(names)}")
    return tuple(names)


def ids_of_names(
    y: Any, classes: tuple[str, ...], *, y_name: str = "y", where: str = "fit"
) -> np.ndarray | None:
    """Targets that are names as ids, int64, of the same shape; None if they are no names.

    Raises:
        ValueError: a target is none of the classes.

    >>> ids_of_names(["dog", "cat"], ("cat", "dog"))
    array([1, 0])
    """
    if isinstance(y, Tensor):  # of numbers always, and maybe on a GPU
        return None
    try:
        names = np.asarray(y)
    except ValueError:  # ragged, which is refused elsewhere, as of numbers
        return None
    if names.dtype.kind not in "UTO":
        return None
    flat = names.astype(object, copy=False).ravel()
    known = {name: number for number, name in enumerate(classes)}
    if not any(isinstance(each, str) for each in flat):
        return None
    ids = np.array([known.get(each, -1) if isinstance(each, str) else -1 for each in flat])
    ids = ids.reshape(names.shape).astype(np.int64)
    if (ids < 0).any():
        first = tuple(map(int, np.argwhere(ids < 0)[0]))
        at = f"[{', '.join(map(str, first))}]" if first else ""
        got = names[first]
        shown = str(got) if isinstance(got, str) else got
        raise ValueError(
            f"{where}: {y_name}{at} = {describe(shown)} is none of the {len(classes)} classes "
            f"({np.count_nonzero(ids < 0)} of {ids.size} targets are none), which are "
            f"{_listed(classes)}"
        )
    return ids


def labels(
    outputs: Any,
    classes: tuple[str, ...] | None = None,
    *,
    threshold: float = 0.5,
    where: str = "labels",
) -> np.ndarray:
    """The most probable class of each sample: its name, or its id if there are no names.

    Arguments:
        outputs: a model's, shape (batch, ..., classes); or, of two classes, the probability of
            the second, shape (batch, ..., 1) or (batch,).
        classes: the names.
        threshold: what the probability of the second of two classes must exceed; 0 for logits.
        where: name of the public function, for messages.

    Returns:
        an array of shape (batch, ...), of strings, or int64. Of equal probabilities the first
        class is taken.

    Raises:
        ShapeError: the last axis is not as long as there are classes.
        ValueError: an output is NaN; or one that should be a probability is none.

    >>> labels([[0.2, 0.8], [0.9, 0.1]], ("cat", "dog")).tolist(), labels([[0.7], [0.3]]).tolist()
    (['dog', 'cat'], [1, 0])
    """
    values = np.asarray(outputs)
    if values.dtype.kind not in "iuf" or values.ndim == 0:
        raise ShapeError(
            f"{where}: outputs must be numbers of shape (batch, ..., classes), got "
            f"{describe(values)}"
        )
    if np.isnan(values).any():
        raise ValueError(
            f"{where}: {np.count_nonzero(np.isnan(values))} of {values.size} outputs are NaN, "
            "which have no most probable class; see whether the training diverged"
        )
    if values.ndim == 1 or values.shape[-1] == 1:
        if classes is not None and len(classes) != 2:
            raise _misfit(values.shape, classes, where)
        if threshold > 0 and not ((values >= 0) & (values <= 1)).all():
            raise ValueError(
                f"{where}: a single output is taken for the probability of the second of two "
                f"classes, but one is {values[(values < 0) | (values > 1)][0]}; end the model in a "
                "sigmoid, or compile it with a loss of from_logits=True"
            )
        ids = (values > threshold).astype(np.int64)
        ids = ids if ids.ndim == 1 else ids[..., 0]
    else:
        check_units(classes, values.shape, where)
        ids = values.argmax(axis=-1)
    return ids if classes is None else np.array(classes)[ids]


def check_units(classes: tuple[str, ...] | None, shape: tuple[int, ...], where: str) -> None:
    """Raise ShapeError if outputs of a shape cannot be of these classes.

    >>> check_units(("cat", "dog"), (32, 2), "fit"), check_units(("cat", "dog"), (32, 1), "fit")
    (None, None)
    """
    if classes is None or (len(classes) == 2 and (len(shape) == 1 or shape[-1] == 1)):
        return
    if len(shape) == 1 or shape[-1] != len(classes):
        raise _misfit(shape, classes, where)


def _misfit(shape: tuple[int, ...], classes: tuple[str, ...], where: str) -> ShapeError:
    return ShapeError(
        f"{where}: the model's outputs have shape {shape}, but the preprocessing has "
        f"{len(classes)} classes, {_listed(classes)}; give the last layer {len(classes)} units"
    )


def _listed(classes: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, classes[:_LISTED]))
    return shown if len(classes) <= _LISTED else f"{shown}, ... ({len(classes)} in all)"
