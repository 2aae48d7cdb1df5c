"""The GPU: kernels in CUDA C and in Numba's Python, what launches them, and an emulator of both.

Importing this makes the devices "cuda" and "emulated" known to the engine by name; neither CuPy nor
a compiler is looked for until one of them is used.
"""

from . import devices
from .probe import DeviceReport, probe, require, usable

__all__ = ["DeviceReport", "devices", "probe", "require", "usable"]
