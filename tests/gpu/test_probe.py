"""The probe tells why a GPU cannot be used, and raises nothing."""

from __future__ import annotations

import importlib
import re
import sys

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
