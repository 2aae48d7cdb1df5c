"""CuPy is tried, and what is wrong with it is told; here it is made up, with its own messages."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule.gpu import trial
from chainrule.gpu.trial import try_cupy, try_cupy_apart

INSTALL = "pip install 'chainrule[cuda13]'"


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy that works, made of NumPy, in the place of the real one."""
    made = SimpleNamespace(
        cuda=SimpleNamespace(nvrtc=SimpleNamespace(getVersion=lambda: (13, 0))),
        arange=np.arange,
        asnumpy=np.asarray,
    )
    monkeypatch.setitem(sys.modules, "cupy", made)
    return made


def raising(error):
    def function(*arguments, **named):
        raise error

    return function


def test_one_that_works_has_no_failure(cupy) -> None:
    assert try_cupy(INSTALL) is None


def test_one_that_is_not_there_cannot_be_imported(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    failure = try_cupy(INSTALL)
    assert failure.reason.startswith("CuPy cannot be imported (ModuleNotFoundError: ")
    assert failure.remedy == f"reinstall it: {INSTALL}"


def test_the_cause_of_a_failed_import_is_told(monkeypatch, tmp_path) -> None:
    (tmp_path / "cupy.py").write_text(
        "try:\n    raise ImportError('libcublas.so.13: cannot open shared object file')\n"
        "except ImportError as error:\n"
        "    raise ImportError('\\n=====\\nFailed to import CuPy.\\n=====\\n') from error\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    failure = try_cupy(INSTALL)
    assert "ImportError: libcublas.so.13: cannot open shared object file" in failure.reason


def test_one_without_nvrtc(cupy) -> None:
    message = 'Failure finding "libnvrtc.so.13": No such file: libnvrtc.so.13'
    cupy.cuda.nvrtc.getVersion = raising(RuntimeError(message))
    failure = try_cupy(INSTALL)
    assert failure.reason.startswith("CuPy finds no NVRTC")
    assert "libnvrtc.so.13" in failure.reason
    assert failure.remedy == f"{INSTALL} brings it"


@pytest.mark.parametrize(
    ("message", "reason", "remedy"),
    [
        (
            '/x.cu(1): catastrophic error: cannot open source file "cuda_fp16.h"',
            "finds no CUDA headers",
            INSTALL,
        ),
        (
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime",
            "the driver is too old",
            "update the NVIDIA driver",
        ),
        (
            "nvrtc: error: invalid value for --gpu-architecture (-arch)",
            "does not compile for this GPU",
            "cuda12",
        ),
        ("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is", "does not compile for", "cuda13"),
        ("cudaErrorMemoryAllocation: out of memory", "no memory left", "nvidia-smi"),
        ("cudaErrorLaunchFailure: unspecified", "does not compute (RuntimeError: cuda", INSTALL),
    ],
)
def test_a_first_kernel_that_fails(cupy, message: str, reason: str, remedy: str) -> None:
    cupy.arange = raising(RuntimeError(message))
    failure = try_cupy(INSTALL)
    assert reason in failure.reason
    assert remedy in failure.remedy


def test_a_wrong_sum_is_a_failure(cupy) -> None:
    cupy.asnumpy = lambda array: np.zeros(3)
    assert "computes 0, 1, 2 plus 1 as [0.0, 0.0, 0.0]" in try_cupy(INSTALL).reason


# ---- in a process of its own


def cupy_of_the_child(monkeypatch, folder, text: str) -> None:
    (folder / "cupy.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_failure_comes_back_from_the_process(monkeypatch, tmp_path) -> None:
    text = "print('noise')\nraise ImportError('libcudart.so.13: not found')\n"
    cupy_of_the_child(monkeypatch, tmp_path, text)
    failure = try_cupy_apart(INSTALL)
    assert "ImportError: libcudart.so.13: not found" in failure.reason
    assert failure.remedy == f"reinstall it: {INSTALL}"


def test_a_crash_is_told(monkeypatch, tmp_path) -> None:
    text = "import os, sys\nsys.stderr.write('driver gone')\nsys.stderr.flush()\nos._exit(11)\n"
    cupy_of_the_child(monkeypatch, tmp_path, text)
    assert "ends the process (exit code 11: driver gone)" in try_cupy_apart(INSTALL).reason


def test_one_that_hangs_is_told(monkeypatch) -> None:
    def run(*arguments, timeout, **named):
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(trial.subprocess, "run", run)
    assert f"does not answer within {trial.SECONDS} s" in try_cupy_apart(INSTALL).reason


def test_success_comes_back_from_the_process(monkeypatch, tmp_path) -> None:
    text = (
        "import numpy\nfrom types import SimpleNamespace as N\n"
        "cuda = N(nvrtc=N(getVersion=lambda: (13, 0)))\n"
        "arange, asnumpy = numpy.arange, numpy.asarray\n"
    )
    cupy_of_the_child(monkeypatch, tmp_path, text)
    assert try_cupy_apart(INSTALL) is None
