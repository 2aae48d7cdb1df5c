"""`chainrule doctor`: what a report of a problem should contain."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.gpu.probe import installed, probe

PACKAGES = ("numpy", "numba", "llvmlite", "safetensors", "matplotlib", "threadpoolctl")
VARIABLES = (
    *("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"),
    *("NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_CACHE_DIR", "OPENBLAS_CORETYPE"),
)


def report() -> str:
    """Versions, BLAS and threads, kernel cache, devices and why each is or is not usable.

    >>> report().splitlines()[0]
    'Versions'
    """
    sections = {
        "Versions": _versions(),
        "BLAS and threads": _threads(),
        "Kernel cache": {"folder": _cache()},
        "Devices": {},
    }
    for each in probe():
        sections["Devices"][each.name] = f"{'usable' if each.usable else 'not usable'}: {each.reason}"
        if each.remedy:
            sections["Devices"]["  remedy"] = each.remedy
        sections["Devices"].update({f"  {key}": text for key, text in each.details.items()})
    lines = []
    for title, entries in sections.items():
        lines.append(title)
        lines += [f"  {key:<22} {text}" for key, text in entries.items()]
        lines.append("")
    return "\n".join(lines).rstrip()


def _versions() -> dict[str, str]:
    found = {
        "chainrule": installed("chainrule") or "not installed (run from its folder)",
        "Python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
    }
    return found | {name: installed(name) or "not installed" for name in PACKAGES}


def _threads() -> dict[str, str]:
    built: Any = np.show_config(mode="dicts")
    blas = (built or {}).get("Build Dependencies", {}).get("blas", {})
    found = {
        "processors": str(os.cpu_count()),
        "NumPy's BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip(),
    }
    if installed("threadpoolctl"):
        from threadpoolctl import threadpool_info

        for pool in threadpool_info():
            name = f"{pool['internal_api']} {pool.get('version') or ''}".rstrip()
            found[f"pool {name}"] = f"{pool['num_threads']} threads"
    return found | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def _cache() -> str:
    """Where Numba keeps compiled kernels, and whether it can."""
    import chainrule.engine.kernels as kernels

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(kernels.__file__).parent / "__pycache__"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return f"{folder} (writable)"
    except OSError as error:
        return f"{folder} (not writable: {error.strerror}); Numba uses the user's cache folder"
