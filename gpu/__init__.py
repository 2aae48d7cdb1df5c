"""What is known of the machine's devices, and why each is or is not usable."""

from .probe import DeviceReport, probe, require, usable

__all__ = ["DeviceReport", "probe", "require", "usable"]
