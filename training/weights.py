"""Weights in files: named arrays, written completely or not at all, loaded all or none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.tensor import Tensor, on_host

from .files import atomic_write

Named = Sequence[tuple[str, Tensor]]

AT_MOST = 5  # names in a message, of each kind


def save_weights(weights: Named, path: str | os.PathLike[str]) -> None:
    """Write named weights to a `safetensors` file, which is complete or not there at all.

    Arguments:
        weights: pairs of name and Tensor.
        path: the file; its folder must exist. An older file stays whole if writing fails.

    Raises:
        OSError: the file cannot be written.

    >>> import tempfile
    >>> w = Tensor([1.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights([("w", w)], Path(folder, "model.safetensors"))
    ...     read_weights(Path(folder, "model.safetensors"))
    {'w': array([1., 2.])}
    """
    from safetensors.numpy import save

    # `save` writes the memory as it lies, so that a transposed view would be written transposed.
    arrays = {name: np.array(on_host(weight), order="C") for name, weight in weights}
    content = save(arrays, metadata={"format": "np"})
    with atomic_write(path, where="save_weights") as file:
        file.write(content)


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a `safetensors` file, by name.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no such file, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        explained = type(error)(
            f"load_weights: cannot read {str(path)!r} ({error.strerror or error}); give the path "
            "of a file that save_weights has written"
        )
        explained.errno = error.errno
        raise explained from error
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"load_weights: {str(path)!r} is damaged, or no safetensors file of numbers ({error}); "
            "give a file that save_weights has written"
        ) from error


def assign_weights(
    weights: Named, values: Mapping[str, np.ndarray], *, where: str = "load_weights"
) -> None:
    """Copy values into the weights of the same names; all are checked before one is changed.

    Arguments:
        weights: pairs of name and Tensor, which stay the same Tensors.
        values: an array for each name, of the same shape; numbers are converted to the
            weight's dtype, but floating ones not to integers.
        where: name of the public function, for messages.

    Raises:
        ShapeError: names are missing or unknown, or shapes differ; the message lists them.
        DtypeError: floating numbers are given for integers.

    >>> w = Tensor([1.0, 2.0])
    >>> assign_weights([("w", w)], {"w": np.array([3.0, 4.0])})
    >>> w.tolist()
    [3.0, 4.0]
    """
    own = dict(weights)
    common = [name for name in own if name in values]
    problems = []
    for label, names in (
        ("missing from the file", [name for name in own if name not in values]),
        ("unknown to the model", [name for name in values if name not in own]),
    ):
        if names:
            problems.append(f"{label}: {_listed(names)}")
    misshaped = [
        f"{name} (the model has {own[name].shape}, got {values[name].shape})"
        for name in common
        if own[name].shape != values[name].shape
    ]
    if misshaped:
        problems.append(f"of another shape: {_listed(misshaped)}")
    if problems:
        raise ShapeError(
            f"{where}: the weights do not fit the model, which was left as it is; "
            + "; ".join(problems)
            + ". Build the model with the layers and sizes that it had when they were saved"
        )
    for name in common:
        if not np.can_cast(values[name].dtype, own[name].dtype, "same_kind"):
            raise DtypeError(
                f"{where}: {name} has {describe(own[name])}, but got {describe(values[name])}, "
                "which cannot be converted; the model was left as it is"
            )
    for name in common:
        own[name].assign(values[name])


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - AT_MOST
    return ", ".join(names[:AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def positional(weights: Named, values: Sequence[Any], *, where: str) -> dict[str, np.ndarray]:
    """Values given in the order of the weights, by name.

    Raises:
        ValueError: there are more or fewer of them than weights.

    >>> positional([("w", Tensor([0.0]))], [[1.0]], where="set_weights")
    {'w': array([1.])}
    """
    if len(values) != len(weights):
        raise ValueError(
            f"{where}: the model has {len(weights)} weight arrays "
            f"({_listed([name for name, _ in weights])}), got {len(values)}"
        )
    return {name: np.asarray(value) for (name, _), value in zip(weights, values, strict=True)}
