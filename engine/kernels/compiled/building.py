"""Compiling a kernel: once for all processes, and again only if its source has changed."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

#: What LLVM may do to sums and products: a product and the sum that it goes into may be rounded
#: once instead of twice. Nothing is reordered, and NaN and infinities are what they are.
CONTRACTED = frozenset({"contract"})
#: The folders of the files that kernels are compiled from.
SOURCES = (Path(__file__).parent, Path(__file__).parents[1])


def array(dtype: Any, ndim: int = 1, layout: str = "C", written: bool = False) -> Any:
    """Numba's type of an array argument; one that is not `written` may be read-only.

    `layout` is "C" for arrays that are contiguous, "A" for any.
    """
    import numba

    scalar = numba.from_dtype(np.dtype(dtype))
    return numba.types.Array(scalar, ndim, layout, readonly=not written)


def scalar(dtype: Any) -> Any:
    """Numba's type of a number."""
    import numba

    return numba.from_dtype(np.dtype(dtype))


def build(
    function: Callable[..., Any], signature: Iterable[Any], fastmath: Iterable[str] = CONTRACTED
) -> Callable[..., Any]:
    """A kernel as machine code, for arguments of these types alone; keep it, it is slow to make.

    It runs without Python's lock, and a division by zero gives infinity or NaN. The machine code
    is kept on disk beside the source, or in a folder of the user's where that cannot be written
    (Numba's environment variable NUMBA_CACHE_DIR names another).
    """
    import numba

    def made(cache: bool) -> Any:
        machine = numba.njit(error_model="numpy", nogil=True, fastmath=set(fastmath))(function)
        if cache:
            machine.enable_caching()
            file = machine._cache._cache_file
            file._source_stamp = (file._source_stamp, _shared())
        machine.compile(tuple(signature))
        machine.disable_compile()  # arguments are converted, never compiled for
        return machine

    try:
        return made(cache=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        # No folder for the cache can be written, the disk is full, or a file in it is damaged:
        # then every process compiles for itself.
        return made(cache=False)


@functools.cache
def _shared() -> tuple[tuple[str, int, int], ...]:
    """The state of all files that kernels are compiled from.

    Numba asks for that of the kernel's own file only, and would keep machine code that was made
    from earlier texts of the others.
    """
    found = []
    for folder in SOURCES:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    about = entry.stat()
                    found.append((entry.name, about.st_mtime_ns, about.st_size))
    return tuple(sorted(found))
