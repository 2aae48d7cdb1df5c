"""What tells data apart: their shapes, dtypes and a hash of their contents, as plain data."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from chainrule.engine.hosted import host_array
from chainrule.engine.tensor import Tensor
from chainrule.training.inputs import parts, several

#: Bytes that are hashed together: the rows of a memory map are read in pieces of this size.
CHUNK = 1 << 22


def array_fingerprint(x: Any) -> dict[str, Any]:
    """Shape, dtype and SHA-256 of an array, or of each in a tuple or a dict of arrays.

    Equal arrays have equal fingerprints, however they lie in memory and whatever their byte order.
    A memory map is read piece by piece.

    Arguments:
        x: an array, shape (samples, ...); or a tuple or a dict of such.

    Returns:
        {"dtype": name, "shape": list, "sha256": hexadecimal digits}; for several arrays, one such
        for each, by the index that gets it out of `x`: "[0]", "['ids']".

    Raises:
        TypeError: an array holds Python objects, whose contents cannot be hashed.

    >>> array_fingerprint(np.arange(3, dtype="int64"))["sha256"][:8]
    'ab25350e'
    >>> sorted(array_fingerprint({"a": np.zeros(3), "b": np.ones(3)}))
    ["['a']", "['b']"]
    """
    if several(x):
        return {name: _one(each) for name, each in parts(x, "")}
    return _one(x)


def _one(value: Any) -> dict[str, Any]:
    if isinstance(value, Tensor):
        value = host_array(value)
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(
            f"array_fingerprint: an array of Python objects, shape {array.shape}, has no contents "
            "to hash; make an array of numbers"
        )
    digest = hashlib.sha256()
    little = array.dtype.newbyteorder("<")
    if array.ndim == 0 or array.size == 0:
        digest.update(array.astype(little).tobytes())
    else:
        rows = max(1, CHUNK * len(array) // max(1, array.nbytes))
        for start in range(0, len(array), rows):
            chunk = np.ascontiguousarray(array[start : start + rows], little)
            digest.update(chunk.view(np.uint8).reshape(-1).data)
    return {
        "dtype": array.dtype.newbyteorder("=").name,
        "shape": list(array.shape),
        "sha256": digest.hexdigest(),
    }


def file_fingerprint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Size and SHA-256 of a file, which is read piece by piece.

    Raises OSError if it cannot be read.

    >>> sorted(file_fingerprint(__file__))
    ['bytes', 'sha256']
    """
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}
