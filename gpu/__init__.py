"""The GPU: kernels in CUDA C and in Numba's Python, what launches them, and an emulator of both.

Importing this makes the devices "cuda" and "emulated" known to the engine by name; neither CuPy nor
a compiler is looked for until one of them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import devices

if TYPE_CHECKING:
    from .probing import DeviceReport, probe, require, usable

__all__ = ["DeviceReport", "devices", "probe", "require", "usable"]


def __getattr__(name: str) -> Any:
    """What is seldom asked for, loaded when it is."""
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.probing"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
