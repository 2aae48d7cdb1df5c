"""Runs the GPU's kernels on the CPU, thread by thread, and finds their faults.

`run` compiles one kernel of CUDA C and runs it; a `Module` holds several. `schedule` sets the order
in which threads go on; `checked` looks for races and wrong accesses. No GPU and no CUDA is needed,
only g++ or clang++; for kernels written for Numba, greenlet.
"""

from .conduct import checked, schedule
from .reports import EmulatorError, Report
from .running import Module, run

__all__ = ["EmulatorError", "Module", "Report", "checked", "run", "schedule"]
