"""CUDA on the CPU: kernels of CUDA C++ compiled by the host's compiler, threads as fibers.

`run` compiles one kernel and runs it; a `Module` holds several. `schedule` sets the order in which
threads go on; `checked` looks for races and wrong accesses. No GPU and no CUDA is needed, only g++
or clang++.
"""

from .errors import EmulatorError, Report
from .running import Module, run
from .settings import checked, current_schedule, is_checked, schedule

__all__ = [
    "EmulatorError",
    "Module",
    "Report",
    "checked",
    "current_schedule",
    "is_checked",
    "run",
    "schedule",
]
