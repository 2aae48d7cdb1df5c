"""The probe tells why a GPU cannot be used, and raises nothing."""

from __future__ import annotations

import importlib
import re
import sys
from types import SimpleNamespace

import pytest

from chainrule.gpu import probe

module = importlib.import_module("chainrule.gpu.probe")
Driver = module.Driver


def cuda(monkeypatch: pytest.MonkeyPatch, driver, versions: dict[str, str]):
    monkeypatch.setattr(module, "probe_driver", lambda: driver)
    monkeypatch.setattr(
        module,
        "installed",
        lambda pattern: {k: v for k, v in versions.items() if re.fullmatch(pattern, k)},
    )
    return probe()[1]


def test_the_cpu_is_usable() -> None:
    assert probe()[0].name == "cpu"
    assert probe()[0].usable


def test_without_a_driver_the_reason_says_so_and_cupy_is_not_imported(monkeypatch) -> None:
    monkeypatch.setattr(module, "load_driver", lambda: None)
    report = probe()[1]
    assert not report.usable
    assert "NVIDIA driver" in report.reason
    assert "cupy" not in sys.modules


def test_a_driver_that_answers_nonsense_is_reported(monkeypatch) -> None:
    monkeypatch.setattr(module, "load_driver", object)  # has none of the functions
    report = probe()[1]
    assert not report.usable
    if sys.platform in ("linux", "win32"):
        assert "does not answer as expected" in report.reason


@pytest.mark.parametrize(
    ("version", "versions", "reason", "remedy"),
    [
        ((12, 4), {}, "CuPy and numba-cuda are not installed", "chainrule[cuda12]"),
        ((12, 4), {"cupy-cuda12x": "14", "cupy-cuda13x": "14"}, "overwrite", "uninstall"),
        ((12, 4), {"cupy-cuda13x": "14"}, "supports CUDA 12.4", "chainrule[cuda12]"),
        ((13, 0), {"cupy-cuda13x": "14", "numba-cuda": "1"}, "the CPU only", "cpu"),
    ],
)
def test_each_cause_has_its_reason_and_remedy(
    monkeypatch, version, versions, reason, remedy
) -> None:
    report = cuda(monkeypatch, Driver(version, ("cuda:0 a GPU",)), versions)
    assert not report.usable  # whatever is installed: there are no CUDA kernels yet
    assert reason in report.reason
    assert remedy in report.remedy


def test_the_details_tell_versions(monkeypatch) -> None:
    found = {"cupy-cuda12x": "14.0", "numba-cuda": "0.20"}
    report = cuda(monkeypatch, Driver((12, 4), ("cuda:0 a GPU",)), found)
    assert "12.4" in report.details["driver"]
    assert report.details["cupy"] == "cupy-cuda12x 14.0"
    assert report.details["numba-cuda"] == "numba-cuda 0.20"


class FakeDriver:
    """Answers as libcuda does: a result code, and the value through the pointer given."""

    def __init__(self, version=12040, init=0, count=1, count_error=0, attributes_error=0):
        self.version, self.init, self.count = version, init, count
        self.count_error, self.attributes_error = count_error, attributes_error

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
        pointer._obj.value = {75: 9, 76: 0}[attribute]
        return self.attributes_error

    def cuDeviceTotalMem_v2(self, pointer, device):
        pointer._obj.value = 80 * 2**30
        return self.attributes_error


@pytest.fixture
def machine(monkeypatch):
    """Sets up a machine: a driver (or None), installed packages, a platform."""

    def set_up(fake=None, packages=None, platform="linux"):
        monkeypatch.setattr(module.sys, "platform", platform)
        monkeypatch.setattr(module, "load_driver", lambda: fake)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        distributions = [
            SimpleNamespace(metadata={"Name": name}, version=version)
            for name, version in (packages or {}).items()
        ]
        monkeypatch.setattr(module.metadata, "distributions", lambda: distributions)

    return set_up


READY = {"cupy_cuda12x": "14.0.0", "numba-cuda": "0.30"}


def test_on_macos_no_driver_is_suggested(machine):
    machine(None, platform="darwin")
    report = module.probe_cuda()
    assert "there is no NVIDIA driver for" in report.reason
    assert report.remedy == 'use device="cpu"'


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (100, "sees no NVIDIA GPU (CUDA error 100)", "nvidia-smi"),
        (34, "is a stub", "off the path"),
        (803, "differ in version", "reboot"),
        (999, "cuInit failed (CUDA error 999)", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start(machine, error, reason, remedy):
    machine(FakeDriver(init=error), READY)
    report = module.probe_cuda()
    assert reason in report.reason
    assert remedy in report.remedy
    assert report.details["driver"] == "supports CUDA 12.4"


def test_hidden_gpus_are_blamed_on_the_variable(machine, monkeypatch):
    machine(FakeDriver(init=100), READY)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES='' may hide it" in module.probe_cuda().remedy


@pytest.mark.parametrize("fake", [FakeDriver(count=0), FakeDriver(count_error=3)])
def test_a_driver_without_gpus(machine, fake):
    machine(fake, READY)
    report = module.probe_cuda()
    assert "sees no NVIDIA GPU" in report.reason
    assert report.details["GPUs"] == "none"


@pytest.mark.parametrize("error", [AttributeError("cuInit"), OSError("bad"), ValueError("ends")])
def test_a_library_that_is_no_driver(machine, monkeypatch, error):
    def broken(self, flags):
        raise error

    monkeypatch.setattr(FakeDriver, "cuInit", broken)
    machine(FakeDriver())
    found = module.probe_driver()
    assert "does not answer as expected" in found.problem
    assert "reinstall" in found.remedy


def test_a_complete_machine_is_still_not_usable_by_this_version(machine):
    machine(FakeDriver(count=2), READY)
    report = module.probe_cuda()
    assert not report.usable
    assert report.reason == module.NOT_YET
    assert report.remedy == 'use device="cpu"'
    assert report.details == {
        "driver": "supports CUDA 12.4",
        "GPUs": "cuda:0 NVIDIA Test GPU, compute capability 9.0, 80.0 GiB; "
        "cuda:1 NVIDIA Test GPU, compute capability 9.0, 80.0 GiB",
        "cupy": "cupy-cuda12x 14.0.0",
        "numba-cuda": "numba-cuda 0.30",
    }


def test_a_gpu_that_does_not_tell_its_name_is_counted(machine):
    machine(FakeDriver(attributes_error=1), READY)
    assert module.probe_cuda().details["GPUs"] == "cuda:0"


@pytest.mark.parametrize(
    ("version", "extra"), [(12040, "cuda12"), (13000, "cuda13"), (14010, "cuda13")]
)
def test_missing_packages_are_named_with_the_extra_for_the_driver(machine, version, extra):
    machine(FakeDriver(version))
    report = module.probe_cuda()
    assert "CuPy and numba-cuda are not installed" in report.reason
    assert f"pip install 'chainrule[{extra}]'" in report.remedy
    machine(FakeDriver(version), {"cupy-cuda12x": "14.0.0"})
    assert "besides, numba-cuda is not installed" in module.probe_cuda().reason


def test_an_old_driver_must_be_updated(machine):
    machine(FakeDriver(11080))
    assert "update the NVIDIA driver to one for CUDA 12" in module.probe_cuda().remedy


def test_two_cupys_are_told_without_a_driver_too(machine):
    machine(None, {"cupy-cuda12x": "14.0.0", "cupy-cuda13x": "14.1.0"})
    assert "cupy-cuda12x and cupy-cuda13x are installed" in module.probe_cuda().reason


def test_cupy_older_than_the_driver_is_fine_and_one_for_amd_is_not(machine):
    machine(FakeDriver(13000), READY)
    assert module.probe_cuda().reason == module.NOT_YET
    machine(FakeDriver(), {"cupy-rocm-5-0": "13.0.0", "numba-cuda": "0.30"})
    assert "cupy-rocm-5-0 is CuPy for AMD's GPUs" in module.probe_cuda().reason


def test_damaged_metadata_does_not_stop_the_probe(monkeypatch):
    damaged = SimpleNamespace(metadata={"Name": None}, version=None)
    whole = SimpleNamespace(metadata={"Name": "CuPy_CUDA12x"}, version="14.0.0")
    monkeypatch.setattr(module.metadata, "distributions", lambda: [damaged, whole])
    assert module.installed("cupy-cuda12x") == {"cupy-cuda12x": "14.0.0"}


def test_the_library_is_looked_for_by_its_name_on_each_system(monkeypatch):
    asked = []

    def missing(name):
        asked.append(name)
        raise OSError(f"{name} is not there")

    monkeypatch.setattr(module.ctypes, "CDLL", missing)
    for platform in ("linux", "win32", "darwin"):
        monkeypatch.setattr(module.sys, "platform", platform)
        assert module.load_driver() is None
    assert asked == ["libcuda.so.1", "libcuda.so", "nvcuda.dll"]
