"""Weights in files: named arrays, written completely or not at all, loaded all or none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.engine.errors import CheckpointError, DtypeError, ShapeError, describe
from chainrule.engine.tensor import Tensor, on_host

from .files import as_path, atomic_write, reading
from .saving.arrays import announced, expected_size, unpack
from .saving.bundle import read_bundle
from .saving.seal import check_seal, pack_sealed

Named = Sequence[tuple[str, Tensor]]

_FROM_TORCH = (
    "there, safetensors.torch.save_file(model.state_dict(), path) writes what "
    "cr.utils.from_torch_weights takes here"
)
_FROM_KERAS = "there, model.get_weights() lists what model.set_weights takes here"
#: How files of other libraries begin, and how their weights come here.
_SIGNATURES = {
    b"PK": f"it is a zip file, as of PyTorch or Keras. From PyTorch: {_FROM_TORCH}. From Keras: "
    f"{_FROM_KERAS}",
    b"\x89HDF": f"it is an HDF5 file, as of Keras: {_FROM_KERAS}",
    b"\x80": f"it is a pickle, as of PyTorch, which is never read: {_FROM_TORCH}",
}

AT_MOST = 20  # names in a message, of each kind

#: How names of weights end in PyTorch and not here, or begin in its Sequential.
_TORCH = re.compile(
    r"(.*\.)?(weight|weight_[ih]h_l\d+(_reverse)?|in_proj_weight|running_(mean|var))|\d+\..*"
)


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
    pieces = pack_sealed({name: on_host(each) for name, each in weights}, where="save_weights")
    with atomic_write(path, where="save_weights") as file:
        file.writelines(pieces)


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a `safetensors` file, by name; or the weights of a saved model or checkpoint.

    A file that `save_weights` wrote holds a checksum, and is refused if any bit of it was changed.

    Arguments:
        path: the file, or the folder that `model.save` or `fit(checkpoint=)` wrote.

    Raises:
        OSError: the file is missing or cannot be read.
        CheckpointError (a ValueError): it is no such file, or it is damaged.
    """
    path = as_path(path, "load_weights")
    if path.is_dir():
        return _weights_in(path)
    try:
        content = _content(path)
        check_seal(content)
        return unpack(content)
    except ValueError as error:
        raise CheckpointError(
            f"load_weights: {str(path)!r} is damaged, or no safetensors file of numbers ({error}); "
            f"{_remedy_for(path)}"
        ) from error


def _remedy_for(path: Path) -> str:
    """What to do about a file that is none of ours, by its first bytes."""
    if path.is_file():  # and no pipe, which would be waited for
        with suppress(OSError), open(path, "rb") as file:
            start = file.read(4)
            for signature, remedy in _SIGNATURES.items():
                if start.startswith(signature):
                    return remedy
    return "give a file that save_weights has written"


def _content(path: Path) -> bytes:
    """All bytes of a file, once its header is seen to tell the file's size."""
    remedy = "give the path of a file that save_weights has written"
    with reading(path, where="load_weights", remedy=remedy):
        if path.exists() and not path.is_file():
            raise ValueError("it is no file on a disk")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = announced(start, size)
            header = file.read(length)
            told = 8 + length + expected_size(header)
            if size != told:
                raise ValueError(f"it has {size:,} bytes, and its header tells of {told:,}")
            return start + header + file.read()


def _weights_in(folder: Path) -> dict[str, np.ndarray]:
    from .saving.models import bundle_in

    folder, kind = bundle_in(folder)
    if folder.is_file():  # a ModelCheckpoint's, of weights alone
        return read_weights(folder)
    _, arrays = read_bundle(folder, kind, groups=("weights",), where="load_weights")
    return arrays["weights"]


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
            + f". {_remedy([name for name in values if name not in own])}"
        )
    for name in common:
        if not np.can_cast(values[name].dtype, own[name].dtype, "same_kind"):
            raise DtypeError(
                f"{where}: {name} has {describe(own[name])}, but got {describe(values[name])}, "
                "which cannot be converted; the model was left as it is"
            )
    for name in common:
        own[name].assign(values[name])


def _remedy(unknown: Sequence[str]) -> str:
    if any(_TORCH.fullmatch(name) for name in unknown):
        return (
            "The names are such as PyTorch gives: chainrule.utils.from_torch_weights(model, "
            "safetensors.numpy.load_file(path)) takes its weights"
        )
    return "Build the model with the layers and sizes that it had when they were saved"


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
