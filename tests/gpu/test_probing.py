"""What stands in the way of each device is told, with what to do about it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import chainrule as cr
from chainrule.gpu.trial import Failure
from tests.gpu.machines import READY, FakeDriver, machine, probe_module

__all__ = ["machine"]  # a fixture

probe, require, usable = probe_module.probe, probe_module.require, probe_module.usable


def test_the_cpu_is_usable() -> None:
    assert probe()[0].name == "cpu"
    assert probe()[0].usable
    require("cpu")


def test_an_unknown_device_is_an_error() -> None:
    with pytest.raises(cr.DeviceError, match="'tpu' is unknown; known: 'cpu', 'cuda', 'emulated'"):
        usable("tpu")


# ---- cuda


def test_a_complete_machine_is_usable(machine):
    machine(FakeDriver(count=2), READY)
    report = probe_module.probe_cuda()
    assert report.usable
    assert report.remedy is None
    assert not report.lacks
    gpus = [
        "cuda:0 NVIDIA Test GPU, compute capability 9.0, 80.0 GiB",
        "cuda:1 NVIDIA Test GPU, compute capability 9.0, 80.0 GiB",
    ]
    assert report.reason == f"cupy-cuda12x 14.0.0 computes on {', '.join(gpus)}"
    assert report.details == {
        "driver": "supports CUDA 12.4",
        "GPUs": "; ".join(gpus),
        "cupy": "cupy-cuda12x 14.0.0",
        "numba-cuda": "numba-cuda 0.30",
    }


@pytest.mark.parametrize(
    ("version", "packages", "reason", "remedy"),
    [
        (12040, {}, "CuPy is not installed", "pip install 'chainrule[cuda12]'"),
        (13000, {}, "CuPy is not installed", "pip install 'chainrule[cuda13]'"),
        (14010, {}, "CuPy is not installed", "pip install 'chainrule[cuda13]'"),
        (11080, {}, "CuPy is not installed", "update the NVIDIA driver to one for CUDA 12"),
        (
            12040,
            {"cupy-cuda12x": "14", "cupy-cuda13x": "14"},
            "cupy-cuda12x and cupy-cuda13x are installed, and overwrite",
            "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install 'chainrule[cuda12]'",
        ),
        (
            12040,
            {"cupy-cuda13x": "14"},
            "cupy-cuda13x needs a driver for CUDA 13, this one supports 12.4",
            "update the NVIDIA driver, or pip uninstall cupy-cuda13x, then pip install "
            "'chainrule[cuda12]'",
        ),
        (
            13000,
            {"cupy-rocm-5-0": "13"},
            "cupy-rocm-5-0 is CuPy for AMD's GPUs",
            "pip uninstall cupy-rocm-5-0, then pip install 'chainrule[cuda13]'",
        ),
    ],
)
def test_each_cause_has_its_reason_and_remedy(machine, version, packages, reason, remedy) -> None:
    machine(FakeDriver(version), packages)
    report = probe_module.probe_cuda()
    assert not report.usable
    assert not usable("cuda")
    assert reason in report.reason
    assert report.remedy.startswith(remedy)
    with pytest.raises(cr.DeviceError) as caught:
        require("cuda:1")
    assert str(caught.value).startswith("device: 'cuda:1' cannot be used here: ")
    assert reason in str(caught.value)
    assert remedy in str(caught.value)


def test_a_cupy_older_than_the_driver_is_fine(machine):
    machine(FakeDriver(13000), READY)
    assert probe_module.probe_cuda().usable


def test_a_cupy_built_by_the_user_is_taken_at_its_word(machine):
    machine(FakeDriver(), {"cupy": "14.1.0"})
    assert probe_module.probe_cuda().usable


def test_cuda_13_does_not_compile_for_old_gpus(machine):
    packages = {"cupy-cuda13x": "14", "numba-cuda": "1"}
    machine(FakeDriver(13000, capability=(7, 0)), packages)
    report = probe_module.probe_cuda()
    assert "CUDA 13 does not compile for cuda:0 NVIDIA Test GPU, compute cap" in report.reason
    assert report.remedy == "pip uninstall cupy-cuda13x, then pip install 'chainrule[cuda12]'"
    machine(FakeDriver(13000, capability=(7, 0)))
    assert "chainrule[cuda12]" in probe_module.probe_cuda().remedy
    machine(FakeDriver(13000, capability=(7, 5)), packages)
    assert probe_module.probe_cuda().usable


def test_two_cupys_are_told_without_a_driver_too(machine):
    machine(None, {"cupy-cuda12x": "14.0.0", "cupy-cuda13x": "14.1.0"})
    assert "cupy-cuda12x and cupy-cuda13x are installed" in probe_module.probe_cuda().reason


def test_without_numba_cuda_only_its_kernel_set_is_missing(machine, monkeypatch):
    monkeypatch.setattr(probe_module, "try_cupy", lambda install: None)
    machine(FakeDriver(), {"cupy-cuda12x": "14"})
    report = probe_module.probe_cuda()
    assert report.usable
    assert list(report.lacks) == ["numba"]
    require("cuda")
    require("cuda", "raw")
    with pytest.raises(cr.DeviceError, match=r"'numba' here: numba-cuda is not.*\[cuda12\]"):
        require("cuda", "numba")


def test_a_cupy_that_does_not_compute_is_not_required_in_vain(machine, monkeypatch):
    asked = []

    def failing(install):
        asked.append(install)
        return Failure("CuPy finds no NVRTC", "get one")

    monkeypatch.setattr(probe_module, "try_cupy", failing)
    monkeypatch.setattr(probe_module, "try_cupy_apart", failing)
    machine(FakeDriver(), READY)
    with pytest.raises(cr.DeviceError, match="here: CuPy finds no NVRTC; get one"):
        require("cuda")
    report = probe(thorough=True)[1]
    assert (report.usable, report.reason, report.remedy) == (
        False,
        "CuPy finds no NVRTC",
        "get one",
    )
    assert asked == ["pip install 'chainrule[cuda12]'"] * 2
    assert probe()[1].usable  # as far as can be told without trying
    machine(None, READY)
    assert "no NVIDIA driver" in probe(thorough=True)[1].reason
    assert len(asked) == 2  # nothing is tried without a driver


def test_damaged_metadata_does_not_stop_the_probe(monkeypatch):
    damaged = SimpleNamespace(metadata={"Name": None}, version=None)
    whole = SimpleNamespace(metadata={"Name": "CuPy_CUDA12x"}, version="14.0.0")
    monkeypatch.setattr(probe_module.metadata, "distributions", lambda: [damaged, whole])
    assert probe_module.installed("cupy-cuda12x") == {"cupy-cuda12x": "14.0.0"}


# ---- emulated


@pytest.fixture
def programs(monkeypatch):
    """Sets up which programs are on the path, and the platform."""

    def set_up(*names, platform="linux", cxx=None):
        monkeypatch.setattr(probe_module.sys, "platform", platform)
        monkeypatch.setattr(
            probe_module.shutil, "which", lambda name: f"/bin/{name}" if name in names else None
        )
        monkeypatch.delenv("CXX", raising=False)
        if cxx is not None:
            monkeypatch.setenv("CXX", cxx)

    return set_up


@pytest.mark.parametrize(
    ("names", "cxx", "found"),
    [
        (["g++", "clang++"], None, "/bin/g++"),
        (["clang++"], None, "/bin/clang++"),
        (["g++", "clang++"], "clang++ -stdlib=libc++", "/bin/clang++ -stdlib=libc++"),
        (["g++"], "", "/bin/g++"),
    ],
)
def test_the_emulator_needs_a_compiler(programs, names, cxx, found):
    programs(*names, cxx=cxx)
    report = probe_module.probe_emulated()
    assert report.usable
    assert report.details["C++ compiler"] == found
    require("emulated")


@pytest.mark.parametrize(
    ("names", "platform", "remedy"),
    [
        (["apt"], "linux", "sudo apt install g++"),
        (["dnf"], "linux", "sudo dnf install gcc-c++"),
        (["pacman"], "linux", "sudo pacman -S gcc"),
        (["apk"], "linux", "sudo apk add g++"),
        ([], "linux", "install g++"),
        ([], "darwin", "xcode-select --install"),
        ([], "win32", "Windows Subsystem for Linux"),
    ],
)
def test_without_a_compiler_the_remedy_suits_the_system(programs, names, platform, remedy):
    programs(*names, platform=platform)
    assert not usable("emulated")
    with pytest.raises(cr.DeviceError, match="neither g\\+\\+ nor clang\\+\\+ is found") as caught:
        require("emulated")
    assert remedy in str(caught.value)


def test_a_compiler_that_is_named_must_be_there(programs):
    programs("g++", cxx="icpx")
    report = probe_module.probe_emulated()
    assert not report.usable
    assert report.reason.startswith("CXX='icpx' is not found; ")
    assert report.remedy == "set CXX to a C++ compiler, or not at all"


def test_without_greenlet_the_set_numba_is_missing(programs, monkeypatch):
    programs("g++")
    monkeypatch.setattr(probe_module.importlib.util, "find_spec", lambda name: None)
    assert usable("emulated")
    require("emulated", "raw")
    with pytest.raises(cr.DeviceError, match="greenlet is not installed: pip install greenlet"):
        require("emulated", "numba")
