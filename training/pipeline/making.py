"""The functions that make a pipeline from arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from chainrule.training.data import check_arrays

from ..files import as_path
from .arguments import refuse
from .arrays import ArraySource
from .pipeline import Pipeline


def from_arrays(x: Any, y: Any = None, **elsewhere: Any) -> Pipeline:
    """Samples and targets that are arrays, memory maps, or lists that can be made arrays.

    Nothing is copied: a memory map that is larger than memory stays on disk, and what is read of
    it at a time is a batch. Do not change the arrays while they are used.

    Arguments:
        x: samples, shape (samples, ...); a tuple or a dict of arrays for a model of several inputs.
        y: targets, shape (samples, ...); None where there are none.
        **elsewhere: none; arguments of other libraries are explained.

    Raises:
        TypeError: the dtype is neither boolean, integer, float32 nor float64.
        ValueError: an array is ragged, has no samples, holds NaN or infinity, or the numbers of
            samples differ.

    >>> from_arrays(np.zeros((100, 8)), np.zeros(100, "int64")).shuffle().batch(32)
    <Pipeline of 4 batches of 32: x (32, 8) float64, y (32,) int64;
     arrays -> shuffle -> batch(32)>
    """
    refuse(elsewhere, "from_arrays")
    return Pipeline(ArraySource(*check_arrays(x, y, where="from_arrays")))


def from_npy(
    x: str | os.PathLike[str], y: str | os.PathLike[str] | None = None, **elsewhere: Any
) -> Pipeline:
    """Samples and targets in files that `np.save` wrote, which may be larger than memory.

    The files are mapped into memory and read batch by batch.

    Arguments:
        x: file of the samples, shape (samples, ...).
        y: file of the targets, shape (samples, ...); None where there are none.
        **elsewhere: none; arguments of other libraries are explained.

    Raises:
        OSError: a file cannot be read.
        ValueError, TypeError: it is no such file, or `from_arrays` would refuse what it holds.

    >>> import chainrule as cr
    >>> cr.data.from_npy("x.npy", "y.npy").shuffle().batch(64).prefetch()  # doctest: +SKIP
    <Pipeline of 15625 batches of 64: x (64, 28, 28) float32, y (64,) int64;
     arrays -> shuffle -> batch(64) -> prefetch(2)>
    """
    refuse(elsewhere, "from_npy")
    arrays = _mapped(x, "x"), None if y is None else _mapped(y, "y")
    return Pipeline(ArraySource(*check_arrays(*arrays, where="from_npy")))


def _mapped(path: str | os.PathLike[str], name: str) -> np.ndarray:
    shown = as_path(path, "from_npy", name)
    try:
        array = np.load(shown, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"from_npy: {name}: {shown} is no file of np.save that can be mapped ({error})"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(
            f"from_npy: {name}: {shown} is an archive of several arrays, which cannot be mapped; "
            "save each by np.save"
        )
    if not array.dtype.isnative:
        raise ValueError(
            f"from_npy: {name}: {shown} has the byte order of another machine; save it anew: "
            'np.save(path, array.astype(array.dtype.newbyteorder("=")))'
        )
    return array
