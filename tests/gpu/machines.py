"""Machines that tests make up: a driver that answers as they say, packages, a compiler."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

driver_module = importlib.import_module("chainrule.gpu.driver")
probe_module = importlib.import_module("chainrule.gpu.probing")

READY = {"cupy_cuda12x": "14.0.0", "numba-cuda": "0.30"}


class FakeDriver:
    """Answers as libcuda does: a result code, and the value through the pointer given."""

    def __init__(
        self, version=12040, init=0, count=1, count_error=0, attributes_error=0, capability=(9, 0)
    ):
        self.version, self.init, self.count = version, init, count
        self.count_error, self.attributes_error = count_error, attributes_error
        self.capability = capability

    def cuDriverGetVersion(self, pointer):
        pointer._obj.value = self.version
        return 0

    def cuInit(self, flags):
        assert flags == 0
        return self.init

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = self.count
        return self.count_error

    def cuDeviceGet(self, pointer, index):
        pointer._obj.value = index
        return 0

    def cuDeviceGetName(self, buffer, length, device):
        assert length == 256
        buffer.value = b"NVIDIA Test GPU"
        return self.attributes_error

    def cuDeviceGetAttribute(self, pointer, attribute, device):
        pointer._obj.value = {75: self.capability[0], 76: self.capability[1]}[attribute]
        return self.attributes_error

    def cuDeviceTotalMem_v2(self, pointer, device):
        pointer._obj.value = 80 * 2**30
        return self.attributes_error


@pytest.fixture
def machine(monkeypatch):
    """Sets up a machine: a driver (or None), installed packages, a platform."""

    def set_up(fake=None, packages=None, platform="linux"):
        monkeypatch.setattr(driver_module.sys, "platform", platform)
        monkeypatch.setattr(driver_module, "load_driver", lambda: fake)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        distributions = [
            SimpleNamespace(metadata={"Name": name}, version=version)
            for name, version in (packages or {}).items()
        ]
        monkeypatch.setattr(probe_module.metadata, "distributions", lambda: distributions)

    return set_up
