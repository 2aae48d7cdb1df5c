"""The doctor's report tells what is there, and says so where something is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import doctor
from chainrule.gpu import DeviceReport


def test_the_report_of_this_machine():
    text = doctor.report()
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert titles == ["Versions", "Machine", "BLAS and threads", "Numba", "Devices"]
    assert re.search(rf"^  numpy +{re.escape(np.__version__)}$", text, re.M)
    assert metadata.version("chainrule") in text
    assert "cpu       usable: NumPy and Numba compute here" in text
    assert "\n  cuda      " in text
    assert "\n  emulated  " in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_report_imports_none_of_the_heavy_packages():
    code = (
        "import sys; from chainrule.doctor import report; report(); "
        "print([name for name in ('numba', 'cupy', 'matplotlib', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_packages_are_said_to_be_missing(monkeypatch):
    def version(name):
        if name in ("matplotlib", "safetensors"):
            raise metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(doctor.metadata, "version", version)
    entries = dict(doctor.versions())
    assert entries["matplotlib"] == entries["safetensors"] == "not installed"
    assert entries["numba"] == "1.2.3"
    assert entries["Python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")


def test_every_cupy_is_listed(monkeypatch):
    distributions = [
        SimpleNamespace(metadata={"Name": name}, version="14.0.0")
        for name in ("cupy-cuda13x", "cupy-cuda12x", "numba-cuda")
    ]
    monkeypatch.setattr(metadata, "distributions", lambda: distributions)
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3")
    names = [name for name, _ in doctor.versions()]
    assert names[-3:] == ["cupy-cuda12x", "cupy-cuda13x", "numba-cuda"]


def test_blas_with_and_without_threadpoolctl(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    entries = dict(doctor.blas())
    assert entries["NumPy's BLAS"]
    assert entries["OPENBLAS_NUM_THREADS"] == "3"
    assert entries["MKL_NUM_THREADS"] == "not set"
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert "pip install threadpoolctl" in dict(doctor.blas())["loaded"]


def test_blas_threads_in_use_are_told():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(1):
        loaded = [value for name, value in doctor.blas() if name == "loaded"]
    if not threadpoolctl.threadpool_info():
        pytest.skip("this BLAS is not known to threadpoolctl")
    assert all(value.endswith(", 1 threads") for value in loaded)


def test_a_numpy_that_does_not_know_its_blas(monkeypatch):
    monkeypatch.setattr(np, "show_config", lambda mode: {})
    assert dict(doctor.blas())["NumPy's BLAS"] == "unknown"


def test_kernel_cache_in_the_chosen_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new" / "folder"))
    assert doctor.cache_folder() == (tmp_path / "new" / "folder", "NUMBA_CACHE_DIR, writable")
    assert not (tmp_path / "new").exists()
    assert list(tmp_path.iterdir()) == []


def test_kernel_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    folder, why = doctor.cache_folder()
    assert folder is None
    assert "compiled anew in every process" in why
    assert dict(doctor.numba())["kernel cache"].startswith("none: cannot write")


def test_kernel_cache_beside_the_kernels_or_else_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(doctor, "writable", lambda folder: folder.name == "__pycache__")
    folder, why = doctor.cache_folder()
    assert folder.parent.name == "compiled"
    assert why.startswith("beside the kernels")
    monkeypatch.setattr(doctor, "writable", lambda folder: folder.name != "__pycache__")
    for platform, variables, expected in (
        ("linux", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "numba"),
        ("darwin", {}, Path.home() / "Library" / "Caches" / "numba"),
        ("win32", {"LOCALAPPDATA": str(tmp_path)}, tmp_path / "numba" / "Cache"),
    ):
        monkeypatch.setattr(doctor.sys, "platform", platform)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert doctor.cache_folder() == (expected, "the user's cache, writable")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user bound by modes")
def test_a_folder_without_write_permission_is_not_writable(tmp_path):
    tmp_path.chmod(0o500)
    assert not doctor.writable(tmp_path)


def test_a_folder_that_the_system_refuses_is_not_writable(monkeypatch, tmp_path):
    def refused(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    assert not doctor.writable(tmp_path)


def test_devices_come_with_reason_details_and_remedy(monkeypatch):
    lacks = {"numba": "numba-cuda is not installed"}
    made = DeviceReport("cuda", False, "no driver", "install it", {"driver": "none"}, lacks)
    monkeypatch.setattr(doctor, "probe", lambda thorough: [made])
    assert list(doctor.devices()) == [
        ("cuda", "not usable: no driver"),
        ("", "driver: none"),
        ("", "without the kernel set 'numba': numba-cuda is not installed"),
        ("", "what to do: install it"),
    ]
