"""Compiled kernels on disk: loaded by the next process, and made anew when a source changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.engine.kernels.compiled import building
from chainrule.engine.kernels.compiled.building import array, build, scalar

SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
import numpy as np
import chainrule as cr
from chainrule.engine.kernels.compiled import building
building.SOURCES = building.SOURCES + (building.Path({folder!r}),)
import kernel
machine = building.build(kernel.twice, (building.scalar(np.float64),))
print(machine(3.0), sum(machine.stats.cache_hits.values()))
"""


def run(folder: Path, cache: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(folder=str(folder))],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_machine_code_is_kept_until_any_source_changes(tmp_path: Path) -> None:
    folder, cache = tmp_path / "sources", tmp_path / "cache"
    folder.mkdir()
    (folder / "kernel.py").write_text("import other\n\ndef twice(x):\n    return other.factor(x)\n")
    other = folder / "other.py"
    text = "import numba\n\n@numba.njit\ndef factor(x):\n    return 2 * x\n"
    other.write_text(text)
    assert run(folder, cache) == ["6.0", "0"]
    assert run(folder, cache) == ["6.0", "1"]
    other.write_text(text.replace("2 * x", "200 * x"))
    assert run(folder, cache) == ["600.0", "0"]


def test_a_damaged_cache_is_no_obstacle(tmp_path: Path) -> None:
    folder, cache = tmp_path / "sources", tmp_path / "cache"
    folder.mkdir()
    (folder / "kernel.py").write_text("def twice(x):\n    return 2 * x\n")
    assert run(folder, cache) == ["6.0", "0"]
    for file in cache.rglob("*.nb?"):
        file.write_bytes(b"")
    assert run(folder, cache)[0] == "6.0"
    shutil.rmtree(cache)
    cache.write_text("a file where the folder was")
    assert run(folder, cache)[0] == "6.0"


def _add(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] += x[i]


def test_read_only_arguments_are_taken_and_others_converted() -> None:
    add = build(_add, (array(np.float32, layout="A"), array(np.float32, written=True)))
    x, y = np.arange(6, dtype=np.float32)[::2], np.zeros(3, np.float32)
    x.flags.writeable = False
    add(x, y)
    assert y.tolist() == [0.0, 2.0, 4.0]
    y.flags.writeable = False
    with pytest.raises(TypeError):
        add(x, y)
    with pytest.raises(TypeError):
        add(x.astype(np.float64), np.zeros(3, np.float32))


def test_a_division_by_zero_is_infinite() -> None:
    inverse = build(_inverse, (scalar(np.float32),))
    assert inverse(np.float32(0)) == np.inf


def _inverse(x: Any) -> Any:
    return np.float32(1) / x


def test_the_sources_are_those_that_kernels_are_compiled_from() -> None:
    names = {name for name, _, _ in building._shared()}
    assert {"tiles.py", "threads.py", "intrinsics.py"} <= names
