"""The probe tells why a GPU cannot be used, and raises nothing."""

from __future__ import annotations

import importlib
import sys

import pytest

from chainrule.gpu import probe

module = importlib.import_module("chainrule.gpu.probe")


def cuda(monkeypatch: pytest.MonkeyPatch, driver, versions: dict[str, str]):
    monkeypatch.setattr(module, "driver", lambda: driver)
    monkeypatch.setattr(module, "installed", versions.get)
    return probe()[1]


def test_the_cpu_is_usable() -> None:
    assert probe()[0].name == "cpu"
    assert probe()[0].usable


def test_without_a_driver_the_reason_says_so_and_cupy_is_not_imported(monkeypatch) -> None:
    def missing(name: str):
        raise OSError(name)

    monkeypatch.setattr(module.ctypes, "CDLL", missing)
    report = probe()[1]
    assert not report.usable
    assert "no NVIDIA driver" in report.reason
    assert "cupy" not in sys.modules


@pytest.mark.parametrize(
    ("driver", "versions", "reason", "remedy"),
    [
        ((12040, 1), {}, "CuPy is not installed", "cpu"),
        ((12040, 1), {"cupy-cuda12x": "14", "cupy-cuda13x": "14"}, "two CuPys", "uninstall"),
        ((12040, 1), {"cupy-cuda13x": "14"}, "needs CUDA 13, the driver has 12", "cupy-cuda12x"),
        ((13000, 2), {"cupy-cuda13x": "14"}, "computes on the CPU only", "cpu"),
    ],
)
def test_each_cause_has_its_reason_and_remedy(
    monkeypatch, driver, versions, reason, remedy
) -> None:
    report = cuda(monkeypatch, driver, versions)
    assert not report.usable  # whatever is installed: there are no CUDA kernels yet
    assert reason in report.reason
    assert remedy in report.remedy


def test_the_details_tell_versions(monkeypatch) -> None:
    report = cuda(monkeypatch, (12040, 2), {"cupy-cuda12x": "14.0", "numba-cuda": "0.20"})
    assert report.details["driver"] == "CUDA 12.4, 2 GPU"
    assert report.details["CuPy"] == "cupy-cuda12x 14.0"
    assert report.details["numba-cuda"] == "0.20"
