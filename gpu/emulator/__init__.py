"""Runs the GPU's kernels on the CPU, thread by thread, and finds their faults."""

from .conduct import checked, schedule
from .reports import EmulatorError, Report

__all__ = ["EmulatorError", "Report", "checked", "schedule"]
