"""The driver is asked through ctypes, and whatever it answers is told."""

from __future__ import annotations

import sys

import pytest

from tests.gpu.machines import READY, FakeDriver, driver_module, machine, probe_module

__all__ = ["machine"]  # a fixture


def test_without_a_driver_the_reason_says_so_and_cupy_is_not_imported(machine) -> None:
    before = "cupy" in sys.modules
    machine(None, READY)
    report = probe_module.probe_cuda()
    assert not report.usable
    assert "no NVIDIA driver was found" in report.reason
    assert 'device="emulated"' in report.remedy
    assert ("cupy" in sys.modules) == before


def test_a_driver_that_answers_nonsense_is_reported(machine) -> None:
    machine(object())  # has none of the functions
    report = probe_module.probe_cuda()
    assert not report.usable
    assert "does not answer as expected" in report.reason


def test_on_macos_no_driver_is_suggested(machine):
    machine(None, platform="darwin")
    report = probe_module.probe_cuda()
    assert "there is no NVIDIA driver for" in report.reason
    assert "install" not in report.remedy


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (100, "sees no NVIDIA GPU (CUDA error 100)", "nvidia-smi"),
        (3, "not initialised (CUDA error 3)", "'spawn'"),
        (34, "is a stub", "off the path"),
        (803, "differ in version", "reboot"),
        (999, "cuInit failed (CUDA error 999)", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start(machine, error, reason, remedy):
    machine(FakeDriver(init=error), READY)
    report = probe_module.probe_cuda()
    assert reason in report.reason
    assert remedy in report.remedy
    assert report.details["driver"] == "supports CUDA 12.4"


def test_hidden_gpus_are_blamed_on_the_variable(machine, monkeypatch):
    machine(FakeDriver(init=100), READY)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES='' may hide it" in probe_module.probe_cuda().remedy


@pytest.mark.parametrize("fake", [FakeDriver(count=0), FakeDriver(count_error=3)])
def test_a_driver_without_gpus(machine, fake):
    machine(fake, READY)
    report = probe_module.probe_cuda()
    assert "sees no NVIDIA GPU" in report.reason
    assert report.details["GPUs"] == "none"


@pytest.mark.parametrize("error", [AttributeError("cuInit"), OSError("bad"), ValueError("ends")])
def test_a_library_that_is_no_driver(machine, monkeypatch, error):
    def broken(self, flags):
        raise error

    monkeypatch.setattr(FakeDriver, "cuInit", broken)
    machine(FakeDriver())
    found = driver_module.probe_driver()
    assert "does not answer as expected" in found.problem
    assert "reinstall" in found.remedy


def test_gpus_are_told_with_what_is_known_of_them(machine):
    machine(FakeDriver(count=2, capability=(8, 6)))
    found = driver_module.probe_driver()
    assert found.version == (12, 4)
    assert found.gpus[1].capability == (8, 6)
    assert str(found.gpus[1]) == "cuda:1 NVIDIA Test GPU, compute capability 8.6, 80.0 GiB"
    machine(FakeDriver(attributes_error=1))
    assert list(map(str, driver_module.probe_driver().gpus)) == ["cuda:0"]


def test_the_library_is_looked_for_by_its_name_on_each_system(monkeypatch):
    asked = []

    def missing(name):
        asked.append(name)
        raise OSError(f"{name} is not there")

    monkeypatch.setattr(driver_module.ctypes, "CDLL", missing)
    for platform in ("linux", "win32", "darwin"):
        monkeypatch.setattr(driver_module.sys, "platform", platform)
        assert driver_module.load_driver() is None
    assert asked == ["libcuda.so.1", "libcuda.so", "nvcuda.dll"]
