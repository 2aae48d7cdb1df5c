"""What is known of the machine's GPUs. Kernels for them are not there yet: training is on the CPU."""

from .probe import DeviceReport, probe

__all__ = ["DeviceReport", "probe"]
