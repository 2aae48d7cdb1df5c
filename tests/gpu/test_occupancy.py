"""How many warps a multiprocessor holds, compared with NVIDIA's own calculator where that is."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chainrule.gpu.inspection.occupancy import LIMITS, REGISTERS, occupancy


@pytest.fixture(scope="module")
def calculator(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """NVIDIA's occupancy calculator, which a CUDA installation has as a header in C++."""
    nvcc, gxx = shutil.which("nvcc"), shutil.which("g++")
    roots = [os.environ.get("CUDA_PATH"), "/usr/local/cuda", nvcc and str(Path(nvcc).parents[1])]
    headers = [Path(root, "include") for root in roots if root]
    found = [each for each in headers if (each / "cuda_occupancy.h").is_file()]
    if not found or gxx is None:
        pytest.skip("no CUDA installation with cuda_occupancy.h, or no g++")
    folder = tmp_path_factory.mktemp("calculator")
    source = folder / "calculator.cpp"
    source.write_text("""
    #include <cuda_occupancy.h>
    extern "C" int blocks(int major, int minor, int threads, long shared_of_all, long reserved,
                          int block, int registers, long shared) {
        cudaOccDeviceProp device;
        device.computeMajor = major;
        device.computeMinor = minor;
        device.maxThreadsPerBlock = 1024;
        device.maxThreadsPerMultiprocessor = threads;
        device.regsPerBlock = device.regsPerMultiprocessor = 65536;
        device.warpSize = 32;
        device.sharedMemPerBlock = 49152;
        device.sharedMemPerMultiprocessor = shared_of_all;
        device.numSms = 1;
        device.sharedMemPerBlockOptin = shared_of_all - reserved;
        device.reservedSharedMemPerBlock = reserved;
        cudaOccFuncAttributes kernel;
        kernel.maxThreadsPerBlock = block;
        kernel.numRegs = registers;
        kernel.sharedSizeBytes = shared;
        cudaOccDeviceState state;
        cudaOccResult result;
        if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, block, 0))
            return -1;
        return result.activeBlocksPerMultiprocessor;
    }""")
    library = folder / "calculator.so"
    command = [gxx, "-w", "-shared", "-fPIC", f"-I{found[0]}", str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(library))
    number, bytes_ = ctypes.c_int, ctypes.c_long
    loaded.blocks.argtypes = [number, number, number, bytes_, bytes_, number, number, bytes_]
    return loaded


@given(
    architecture=st.sampled_from(list(LIMITS)),
    warps=st.integers(1, 32),
    registers=st.integers(0, 255),
    shared=st.integers(0, 48 * 1024),
)
@example(architecture=80, warps=17, registers=128, shared=0)  # fits, but not in every quarter
@example(architecture=75, warps=8, registers=32, shared=32 * 1024)
@example(architecture=90, warps=1, registers=16, shared=0)  # bounded by the places for blocks
@example(architecture=100, warps=4, registers=32, shared=45 * 1024)
def test_occupancy_is_that_of_nvidias_calculator(
    calculator, architecture: int, warps: int, registers: int, shared: int
) -> None:
    limits, block = LIMITS[architecture], 32 * warps
    expected = calculator.blocks(
        *divmod(architecture, 10),
        limits.warps * 32,
        limits.shared,
        limits.reserved,
        block,
        registers,
        shared,
    )
    found = occupancy(architecture, block, registers, shared)
    assert found.blocks == expected
    assert found.warps == expected * warps
    assert found.share == found.warps / limits.warps <= 1


def test_what_bounds_the_occupancy_is_named() -> None:
    assert occupancy(90, 1024, 64, 0) == (1, 32, 0.5, "registers")
    assert occupancy(90, 64, 16, 60 * 1024).limit == "shared memory"
    assert occupancy(90, 32, 16, 0).limit == "blocks"
    assert occupancy(90, 96, 16, 0).limit == "warps"
    assert occupancy(80, 1024, 65, 0).blocks == 0  # 72 registers for 1,024 threads are too many
    assert REGISTERS < 1024 * 72


def test_more_registers_never_hold_more_warps() -> None:
    for architecture in LIMITS:
        held = [occupancy(architecture, 256, registers, 0).warps for registers in range(1, 256)]
        assert np.all(np.diff(held) <= 0)


def test_an_unknown_architecture_has_no_occupancy() -> None:
    with pytest.raises(ValueError, match=re.escape("occupancy: sm_30 is unknown; known: 75, 80")):
        occupancy(30, 256, 32, 0)
