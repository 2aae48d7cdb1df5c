"""The kernels written for Numba become machine code of every GPU, without a GPU."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import pytest

from chainrule.engine.errors import DeviceError
from chainrule.gpu import numba_compiling, table
from chainrule.gpu.inspection import ARCHITECTURES
from chainrule.gpu.table import (
    F64,
    I32,
    I64,
    REAL,
    U8,
    U64,
    Entry,
    entries,
    entry,
    reads,
    scalar,
    writes,
)

_lacking = numba_compiling.missing()
pytestmark = pytest.mark.skipif(_lacking is not None, reason=str(_lacking))

TABLE = entries()
every_entry = pytest.mark.parametrize("entry", TABLE, ids=[each.name for each in TABLE])


@pytest.mark.parametrize("real", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@every_entry
def test_an_entry_of_the_table_becomes_machine_code_without_faults(entry: Entry, real: str):
    for left_out in numba_compiling.variants(entry):
        report = numba_compiling.inspect_entry(entry, real, 80, left_out)
        assert not report.faults, report
        assert report.usage.shared <= 48 * 1024, report


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [each for each in ARCHITECTURES if each != 80])
@every_entry
def test_the_other_gpus_get_machine_code_as_well(entry: Entry, architecture: int):
    report = numba_compiling.inspect_entry(entry, "float32", architecture)
    assert not report.faults, report


# ------------------------------------------------------------------ what is found, on examples


def example(function: Any, real: str, *kinds: Any, architecture: int = 80) -> Any:
    """The report on a kernel; `kinds` of its arguments, REAL or I64, arrays as lists of one."""
    from numba import cuda

    parameters = [
        reads(f"a{i}", kind[0], "1") if isinstance(kind, list) else scalar(f"a{i}", kind)
        for i, kind in enumerate(kinds)
    ]
    made = entry("examples", "example", *parameters, enter=False)
    text = numba_compiling.compiled(
        cuda.jit(function), numba_compiling.signature(made, real), architecture
    )
    return numba_compiling.inspect_ptx(text, "example", real, architecture, 256)


def line_of(function: Any, text: str) -> int:
    import inspect

    lines, start = inspect.getsourcelines(function)
    (found,) = [number for number, line in enumerate(lines) if text in line]
    return start + found


def test_arithmetic_in_float32_is_found_to_be_without_doubles():
    from numba import cuda

    real = np.float32

    @cuda.jit(device=True)
    def half(value: Any) -> Any:
        return real(0.5) * value

    def kernel(x: Any, y: Any, n: Any) -> None:
        kept = cuda.shared.array(64, real)
        i = cuda.grid(1)
        kept[cuda.threadIdx.x % 64] = math.exp(x[i]) / real(n)
        cuda.syncthreads()
        y[i] = half(cuda.shfl_xor_sync(0xFFFFFFFF, kept[0], 1))

    report = example(kernel, "float32", [REAL], [REAL], I64)
    assert not report.faults
    assert report.usage.shared == 256
    assert 4 <= report.usage.registers <= 64
    assert report.occupancy.warps > 0


def test_a_literal_is_a_double_and_is_told_with_its_line():
    from numba import cuda

    def kernel(x: Any, y: Any, n: Any) -> None:
        i = cuda.grid(1)
        if i < n:
            y[i] = 0.1 * x[i]

    report = example(kernel, "float32", [REAL], [REAL], I64)
    (fault,) = report.faults
    place = f"test_numba_compile.py:{line_of(kernel, '0.1')}"
    assert f"{place} mul.f64" in fault or f"{place} mul.rn.f64" in fault
    assert not example(kernel, "float64", [REAL], [REAL], I64).faults


def test_an_index_by_a_computed_number_is_local_memory():
    from numba import cuda

    def kernel(x: Any, y: Any, n: Any) -> None:
        kept = cuda.local.array(200, np.float32)
        for i in range(200):
            kept[i] = x[i]
        y[0] = kept[n]

    (fault,) = example(kernel, "float32", [REAL], [REAL], I64).faults
    assert "in memory, not in registers" in fault


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_type_of_the_table_has_its_type_in_numba(architecture: int):
    from numba import cuda
    from numba.cuda import types

    def kernel(y: Any, mask: Any, n: Any, seed: Any, rate: Any, bias: Any) -> None:
        i = cuda.grid(1)
        if i < n and mask[i] != 0:
            y[i] = rate
            if bias is not None:
                y[i] += bias[i]
            if seed > np.uint64(5):
                y[i] = seed

    made = entry(
        "examples",
        "types",
        writes("y", REAL, "n"),
        reads("mask", U8, "n"),
        scalar("n", I32),
        scalar("seed", U64),
        scalar("rate", F64),
        reads("bias", REAL, "n", optional=True),
        enter=False,
    )
    given, left_out = numba_compiling.variants(made)
    assert (given, left_out) == (frozenset(), {"bias"})
    kinds = numba_compiling.signature(made, "float64", left_out)
    assert kinds == (
        types.Array(types.float64, 1, "C"),
        types.Array(types.uint8, 1, "C"),
        types.int32,
        types.uint64,
        types.float64,
        types.none,
    )
    for each in (given, left_out):
        kinds = numba_compiling.signature(made, "float64", each)
        text = numba_compiling.compiled(cuda.jit(kernel), kinds, architecture)
        log, cubin = numba_compiling.machine_code(text, architecture)
        assert "registers" in log
        assert cubin.startswith(b"\x7fELF")


def test_ptx_that_cannot_be_assembled_is_told_with_the_reason():
    with pytest.raises(RuntimeError, match=r"(?s)nvJitLink, sm_80: .*(syntax|fatal|Missing)"):
        numba_compiling.machine_code(".version 8.0\n.target sm_80\nthis is no instruction\n")


def test_an_array_that_is_left_out_is_passed_as_a_null_pointer():
    """Numba's own launch refuses None, though the compiled kernel has a parameter for it."""
    import re
    from types import SimpleNamespace

    from numba import cuda
    from numba.cuda import dispatcher, types

    from chainrule.gpu.backends import NullPointers

    def kernel(n: Any, bias: Any, scale: Any) -> None:
        if bias is not None:
            bias[n] = scale

    kinds = (types.int64, types.none, types.float32)
    made = cuda.jit(kernel)
    passed: list[Any] = []

    def prepare(extensions: list[Any]) -> None:
        caller = SimpleNamespace(extensions=extensions)
        for kind, value in zip(kinds, (np.int64(3), None, np.float32(2)), strict=True):
            dispatcher._Kernel._prepare_args(caller, kind, value, 0, [], passed)

    with pytest.raises(NotImplementedError):
        prepare(made.extensions)
    made.extensions.append(NullPointers())
    passed.clear()
    prepare(made.extensions)
    assert [each.value for each in passed] == [3, 0, 2]
    declared = re.findall(r"\.param \.([a-z]\d+)", numba_compiling.compiled(made, kinds))
    sizes = {"b64": 8, "u64": 8, "b32": 4, "f32": 4}
    assert [ctypes.sizeof(each) for each in passed] == [sizes[each] for each in declared]


@pytest.fixture
def arrays_of_cupy(monkeypatch: pytest.MonkeyPatch):
    """A GPU's arrays and stream are replaced: what is launched is told to Numba all the same."""
    import sys
    from types import ModuleType, SimpleNamespace

    from numba import cuda

    cupy: Any = ModuleType("cupy")
    cupy.ndarray = np.ndarray
    cupy.cuda = SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(cuda, "as_cuda_array", lambda array, sync: array)


@pytest.mark.usefixtures("arrays_of_cupy")
def test_a_launch_on_a_gpu_hands_numba_what_it_takes(monkeypatch: pytest.MonkeyPatch):
    """The launch itself is Numba's, which warns of small grids, in bold where there are colours."""
    from numba.core import errors
    from numba.cuda import dispatcher

    from chainrule.gpu import backends

    class Bold(errors.NumbaPerformanceWarning):
        def __init__(self, message: str) -> None:
            super().__init__(message, highlighting=False)
            self.args = (f"\x1b[1m{message}\x1b[0m",)

    monkeypatch.setattr(dispatcher.errors, "NumbaPerformanceWarning", Bold)
    launched: list[Any] = []

    def call(self: Any, arguments: Any, configured: Any) -> None:
        sizes = (configured.griddim, configured.blockdim, configured.sharedmem)
        launched.append((self.py_func.__name__, *sizes, arguments))

    monkeypatch.setattr(dispatcher.CUDADispatcher, "call", call)
    made = table.ENTRIES["tiled_matmul"]
    a = np.ones((2, 3), np.float32)
    backends.NumbaCuda().launch(made, "float32", (4, 1, 1), 0, [a, None, np.int64(5)])
    ((name, grid, block, shared, (flat, nothing, number)),) = launched
    assert (name, grid, block, shared) == ("tiled_matmul", (4, 1, 1), (made.block, 1, 1), 0)
    assert flat.shape == (6,) and np.shares_memory(flat, a)
    assert nothing is None and number == 5


@pytest.mark.usefixtures("arrays_of_cupy")
def test_packages_that_do_not_fit_numba_are_named(monkeypatch: pytest.MonkeyPatch):
    """Numba for CUDA reads names that a newer NumPy lacks."""
    from numba.cuda import dispatcher

    from chainrule.gpu import backends

    def call(self: Any, arguments: Any, configured: Any) -> None:
        raise AttributeError("module 'numpy' has no attribute 'row_stack'")

    monkeypatch.setattr(dispatcher.CUDADispatcher, "call", call)
    made = table.ENTRIES["tiled_matmul"]
    expected = r"kernels\('numba'\).*row_stack.*numba-cuda \d.*numpy \d.*kernels\('raw'\)"
    with pytest.raises(DeviceError, match=expected):
        backends.NumbaCuda().launch(made, "float32", (4, 1, 1), 0, [np.ones(6), None, 5])
