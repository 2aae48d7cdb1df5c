"""Tries whether CuPy computes: the one way to know that it finds NVRTC, headers and the GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

#: A first kernel takes seconds to compile; where a driver hangs, somebody still wants a report.
SECONDS = 120


class Failure(NamedTuple):
    """Why CuPy does not compute here, and what to do."""

    reason: str
    remedy: str


def try_cupy(install: str) -> Failure | None:
    """Computes one sum with CuPy on the current GPU; None if it is right.

    Arguments: `install`, the command that installs CuPy with all it needs.
    """
    try:
        import cupy
    except Exception as error:  # a damaged CuPy raises whatever it meets
        return Failure(f"CuPy cannot be imported ({_first(error)})", f"reinstall it: {install}")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy's own errors, by version
        return Failure(
            f"CuPy finds no NVRTC, which compiles its kernels ({_first(error)})",
            f"{install} brings it",
        )
    try:
        found = cupy.asnumpy(cupy.arange(3, dtype="float32") + 1).tolist()
    except Exception as error:
        return _explained(error, install)
    if found != [1.0, 2.0, 3.0]:
        return Failure(f"CuPy computes 0, 1, 2 plus 1 as {found}", "check the GPU: nvidia-smi -q")
    return None


def _explained(error: Exception, install: str) -> Failure:
    """What is missing, by what CuPy says when its first kernel does not compile or run."""
    text, first = str(error), _first(error)
    if "cannot open source file" in text or "could not open source file" in text:
        return Failure(f"CuPy finds no CUDA headers ({first})", f"{install} brings them")
    if "InsufficientDriver" in text or "driver version is insufficient" in text:
        return Failure(f"the driver is too old for this CuPy ({first})", "update the NVIDIA driver")
    if "NoKernelImage" in text or "NO_BINARY_FOR_GPU" in text or "invalid value for" in text:
        return Failure(
            f"this CuPy does not compile for this GPU ({first})",
            "install the extra of another CUDA: cuda13 for GPUs newer than CuPy's CUDA, cuda12 "
            "for compute capability 7.0 and older",
        )
    if "MemoryAllocation" in text or "OUT_OF_MEMORY" in text or "OutOfMemory" in text:
        return Failure(f"the GPU has no memory left ({first})", "see who uses it: nvidia-smi")
    return Failure(f"CuPy does not compute ({first})", f"check nvidia-smi; then {install}")


def _first(error: BaseException) -> str:
    """The error's kind and the first line of its message that says something."""
    cause = error.__cause__ if isinstance(error, ImportError) and error.__cause__ else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip(" =-\t")]
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__


def try_cupy_apart(install: str) -> Failure | None:
    """The same in a process of its own, which may crash or hang without harm."""
    code = (
        "import json, sys; from chainrule.gpu.trial import try_cupy; "
        "print('\\n' + json.dumps(try_cupy(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, install]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Failure(f"CuPy does not answer within {SECONDS} s", "check nvidia-smi; reboot")
    except OSError as error:
        return Failure(f"CuPy could not be tried ({error})", f"run {sys.executable} by hand")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["no message"])[-1]
        return Failure(
            f"CuPy ends the process (exit code {done.returncode}: {last[:200]})",
            f"reinstall the NVIDIA driver, then {install}",
        )
    answer = json.loads(lines[-1])
    return None if answer is None else Failure(*answer)
