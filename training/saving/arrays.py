"""Named arrays as the bytes of a `safetensors` file, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.engine.errors import DtypeError, describe

#: The dtypes that NumPy and the file format share, and what the format calls them.
DTYPES = {
    "bool": "BOOL",
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}

_OFFSETS = re.compile(rb'"data_offsets"\s*:\s*\[\s*[0-9]+\s*,\s*([0-9]{1,20})\s*\]')


def pack(
    arrays: Mapping[str, np.ndarray], *, where: str, metadata: Mapping[str, str] | None = None
) -> list[Any]:
    """The file's bytes, in pieces: its header, and the memory of one array after the other.

    They depend on the names and the arrays alone, not on their order. No array is copied unless
    its layout is another than the file's (`safetensors.numpy.save` copies all of them into one,
    which takes longer than writing them).

    Arguments:
        arrays: of booleans, integers or floating-point numbers, in any layout and byte order.
        where: name of the public function, for messages.
        metadata: strings by name, kept in the header.

    Raises:
        TypeError: a name is no string, or a value is no array of such numbers.
        ValueError: a name cannot be written.

    >>> unpack(b"".join(pack({"w": np.array([1.0, 2.0])}, where="save")))
    {'w': array([1., 2.])}
    """
    dense: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if not isinstance(name, str):
            raise TypeError(f"{where}: the name of an array is {describe(name)}; give a string")
        if not isinstance(array, (np.ndarray, np.generic)):
            raise TypeError(
                f"{where}: {name!r} is {describe(array)}, which is no NumPy array; convert it with "
                "numpy.asarray"
            )
        if array.dtype.name not in DTYPES:
            raise DtypeError(
                f"{where}: {name!r} has {describe(array)}, which a safetensors file cannot hold; "
                f"convert it to one of {', '.join(sorted(DTYPES))}"
            )
        if name == "__metadata__" or not _is_text(name):
            raise ValueError(f"{where}: {name!r} cannot be the name of an array; choose another")
        # The memory is written as it lies: a transposed view would be written transposed.
        dense[name] = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    header: dict[str, Any] = {"__metadata__": dict(metadata or {"format": "np"})}
    pieces, begin = [], 0
    # Larger numbers first, so that each begins at a multiple of its size.
    for name, array in sorted(dense.items(), key=lambda item: (-item[1].itemsize, item[0])):
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, begin + array.nbytes],
        }
        begin += array.nbytes
        if array.size:
            pieces.append(array.reshape(-1).view(np.uint8))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *pieces]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def announced(start: bytes, size: int) -> int:
    """How long a file's header is, by its first 8 bytes.

    Arguments: `start`, those bytes; `size`, that of the whole file in bytes.

    Raises ValueError if the file is too short for that.
    """
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or length > size - 8:
        raise ValueError(f"its {size:,} bytes do not hold the header that they announce")
    return length


def expected_size(header: bytes) -> int:
    """How many bytes of numbers a header tells of.

    >>> expected_size(b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
    8
    """
    return max((int(found[1]) for found in _OFFSETS.finditer(header)), default=0)


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """The arrays in a file's bytes, by name; each has memory of its own.

    Raises:
        ValueError: it is no such file, it is damaged, or NumPy has no such numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    announced(content[:8], len(content))
    try:
        return load(content)
    except KeyError as error:
        raise ValueError(
            f"it holds numbers of the kind {error}, which NumPy lacks; save them as float32"
        ) from error
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
