"""Named arrays as the bytes of a `safetensors` file, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.engine.errors import DtypeError, describe

#: The dtypes that NumPy and the file format share.
DTYPES = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
)


def pack(
    arrays: Mapping[str, np.ndarray], *, where: str, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The file's bytes, which depend on the names and the arrays alone, not on their order.

    Arguments:
        arrays: of booleans, integers or floating-point numbers, in any layout and byte order.
        where: name of the public function, for messages.
        metadata: at most one pair of strings: `safetensors` writes several in random order.

    Raises:
        TypeError: a name is no string, or a value is no array of such numbers.
        ValueError: a name cannot be written.

    >>> unpack(pack({"w": np.array([1.0, 2.0])}, where="save"))
    {'w': array([1., 2.])}
    """
    from safetensors.numpy import save

    dense = {}
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
        # `save` writes the memory as it lies: a transposed view would be written transposed.
        dense[name] = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return save(dense, metadata=dict(metadata or {"format": "np"}))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """The arrays in a file's bytes, by name; each has memory of its own.

    Raises:
        ValueError: it is no such file, it is damaged, or NumPy has no such numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if len(content) < 8 or int.from_bytes(content[:8], "little") > len(content) - 8:
        raise ValueError(f"its {len(content):,} bytes do not hold the header that they announce")
    try:
        return load(content)
    except KeyError as error:
        raise ValueError(f"it holds numbers of the kind {error}, which NumPy lacks") from error
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
