"""numba.cuda, loaded such that it also works beside a NumPy that is newer than it knows."""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import Any

import numpy as np


@functools.cache
def numba_cuda() -> Any:
    """The module numba.cuda, which numba-cuda brings.

    Up to 0.30, numba-cuda gives meaning to `numpy.row_stack` when it first compiles, a name that
    NumPy 2.5 has no more: while that is loaded, there is one.

    Raises ImportError where it is not installed, or what a damaged one raises.
    """
    from numba import cuda

    if not hasattr(np, "row_stack"):

        def row_stack(arrays: Any) -> Any:
            return np.vstack(arrays)

        vars(np)["row_stack"] = row_stack
        try:
            with contextlib.suppress(ImportError):  # Numba's simulator has no such module
                importlib.import_module("numba.cuda.np.arrayobj")
        finally:
            del vars(np)["row_stack"]
    return cuda
