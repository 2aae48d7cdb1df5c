"""What a report of a problem should contain: versions, BLAS and threads, kernel cache, devices."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.engine.threads import get_num_threads
from chainrule.gpu.probing import installed, probe

__all__ = ["report"]

_PACKAGES = ("chainrule", "numpy", "numba", "llvmlite", "safetensors", "matplotlib")
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
_NUMBA_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "NUMBA_DISABLE_JIT",
    "NUMBA_CACHE_DIR",
)


def report() -> str:
    """The whole report, as lines of text.

    >>> print(report())  # doctest: +ELLIPSIS
    Versions
      chainrule ...
    """
    sections = {
        "Versions": versions(),
        "Machine": machine(),
        "BLAS and threads": blas(),
        "Numba": numba(),
        "Devices": devices(),
    }
    lines = []
    for title, found in sections.items():
        entries = list(found)
        width = max(len(name) for name, _ in entries)
        lines += [
            title,
            *(f"  {name.ljust(width)}  {value}".rstrip() for name, value in entries),
            "",
        ]
    return "\n".join(lines).rstrip()


def versions() -> Iterator[tuple[str, str]]:
    """The versions of Python and of the packages that matter, by their metadata."""
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"
        if name == "chainrule":
            yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    for pattern in (r"nvidia-cuda-nvrtc(-cu\d+)?", r"cupy(-.*)?", "numba-cuda"):
        yield from installed(pattern).items()


def machine() -> Iterator[tuple[str, str]]:
    """The operating system and the processor."""
    yield "platform", platform.platform()
    cores = f"{os.cpu_count() or 'unknown'} logical cores"
    if hasattr(os, "sched_getaffinity"):
        cores += f", {len(os.sched_getaffinity(0))} of them for this process"
    yield "processor", f"{platform.machine()}, {cores}"
    yield "Python at", sys.executable or "unknown"


def blas() -> Iterator[tuple[str, str]]:
    """The library that multiplies matrices, its threads, and what would change their number."""
    config: Any = np.show_config(mode="dicts") or {}
    built = config.get("Build Dependencies", {}).get("blas", {})
    yield "NumPy's BLAS", f"{built.get('name', 'unknown')} {built.get('version', '')}".rstrip()
    if importlib.util.find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_info

        for pool in threadpool_info():
            kind = pool.get("architecture") or pool.get("user_api")
            name = f"{pool['internal_api']} {pool.get('version') or ''}".rstrip()
            yield "loaded", f"{name} ({kind}), {pool['num_threads']} threads"
    else:
        yield "loaded", "unknown: pip install threadpoolctl to see the threads in use"
    yield "threads of chainrule's kernels", str(get_num_threads())
    yield from variables(("CHAINRULE_NUM_THREADS", *_BLAS_VARIABLES))


def numba() -> Iterator[tuple[str, str]]:
    """The settings of Numba, and where compiled kernels are kept, without importing it."""
    yield from variables(_NUMBA_VARIABLES)
    folder, why = cache_folder()
    if folder is None:
        yield "kernel cache", f"none: {why}"
    else:
        yield "kernel cache", f"{folder} ({why})"


def variables(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The values of environment variables."""
    for name in names:
        yield name, os.environ.get(name, "not set")


def cache_folder() -> tuple[Path | None, str]:
    """Where Numba keeps compiled kernels, as it looks for a place, and a word on which that is.

    The folder is None where none of the places can be written; then the word says which they were,
    and what to do.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        places = [(Path(chosen), "NUMBA_CACHE_DIR, writable")]
    else:
        kernels = importlib.util.find_spec("chainrule.engine.kernels.compiled")
        places = [(_user_cache(), "the user's cache, writable")]
        if kernels is not None and kernels.origin is not None:
            beside = Path(kernels.origin).parent / "__pycache__"
            places.insert(0, (beside, "beside the kernels, writable"))
    for folder, why in places:
        if writable(folder):
            return folder, why
    tried = " and ".join(str(folder) for folder, _ in places)
    return None, (
        f"cannot write {tried}; kernels are compiled anew in every process: set NUMBA_CACHE_DIR to "
        f"a folder that can be written"
    )


def _user_cache() -> Path:
    """The user's folder for Numba's cache, by the customs of the operating system."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(root) / "numba" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "numba"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def writable(folder: Path) -> bool:
    """Can a file be made in `folder`, or could the folder be made? Leaves nothing behind."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return False
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False


def devices() -> Iterator[tuple[str, str]]:
    """Each device, and why it is or is not usable; a GPU is tried."""
    for each in probe(thorough=True):
        yield each.name, f"{'usable' if each.usable else 'not usable'}: {each.reason}"
        for name, value in each.details.items():
            yield "", f"{name}: {value}"
        for name, value in each.lacks.items():
            yield "", f"without the kernel set {name!r}: {value}"
        if each.remedy is not None:
            yield "", f"what to do: {each.remedy}"
