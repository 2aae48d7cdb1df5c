"""What one who learns CUDA gets wrong: the emulator says what it is, and the process lives on."""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np
import pytest

from chainrule.gpu import emulator
from chainrule.gpu.emulator.compiling import find_compiler

try:
    find_compiler()
except emulator.EmulatorError as missing:
    pytest.skip(str(missing), allow_module_level=True)

linux = pytest.mark.skipif(sys.platform != "linux", reason="checked mode needs Linux")
modes = pytest.mark.parametrize("checked", [False, pytest.param(True, marks=linux)])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("__global__ void add(int* x) {}", "the text has no kernel 'k'; it has add"),
        ("namespace a { __global__ void k(int* x) {} }", "outside of namespaces"),
        ("__global__ void k(int* x) {}\n__global__ void k(float* x) {}", "several kernels 'k'"),
        ("__device__ void k(int* x) {}", "'k' is not a kernel"),
        ("template <typename T> __global__ void k(T* x) {}", "'k' is a template"),
        ("__global__ int k(int* x) { return 1; }", "returns void, this one int"),
        ("__global__ void k(int& x) {}", "a reference is to the host's memory"),
        ("#include <cuda_fp16.h>\n__global__ void k(half* x) {}", "no half-precision types"),
        ("#include <mma.h>\n__global__ void k(int* x) {}", "no matrix instructions"),
        ("#include <cooperative_groups.h>\n__global__ void k(int* x) {}", "no cooperative groups"),
        ("texture<int, 1> t;\n__global__ void k(int* x) {}", "no textures and surfaces"),
        ("__global__ void k(int* x) { *x = __shfl_down(1, 1); }", "only with a mask"),
        ("__global__ void k(int* x) {}\nint main() { k<<<1, 1>>>(0); }", "launched from Python"),
    ],
)
def test_what_is_no_kernel_here_is_told_without_the_runtimes_inside(source, told):
    with pytest.raises(emulator.EmulatorError) as caught:
        emulator.Module(source, ["k"])
    assert told in str(caught.value)
    assert "CHAINRULE" not in str(caught.value) and "chainrule-generated" not in str(caught.value)


@pytest.mark.parametrize(
    "declaration",
    [
        'extern "C" __global__ void k(int* x)',
        "void __global__ k(int* x)",
        "static __global__ void __launch_bounds__(64, 2) k(int* x)",
        "__global__ __launch_bounds__(64) void k(int* x)",
        "template <typename T> __device__ T one() { return 1; }\n__global__ void\nk(int* x)",
        "#define KERNEL __global__ void\nKERNEL k(int* x)",
        "/* void k(int& x) is none */ __global__ void k(int* x /* not & */)",
    ],
)
def test_a_kernel_may_be_declared_in_every_way_of_cuda(declaration):
    x = np.zeros(1, np.int32)
    emulator.run(
        "#include <cuda_runtime.h>\n#include <cassert>\n"
        + declaration
        + "\n{ assert(!*x); *x = 7; }",
        "k",
        1,
        1,
        [x],
    )
    assert x[0] == 7


@modes
def test_an_assertion_of_the_c_library_is_a_report_and_abort_is_one(checked):
    text = (
        "#include <assert.h>\n#include <stdlib.h>\n"
        "__global__ void k(int n) {\nassert(n < 3);\nif (n < 0) abort();\n}"
    )
    module = emulator.Module(text, ["k"], checked)
    with pytest.raises(emulator.EmulatorError, match=r"kernel\.cu:4: assertion.*n < 3"):
        module.launch("k", 1, 1, [3])
    with pytest.raises(emulator.EmulatorError, match=r"crash.*calls abort"):
        module.launch("k", 1, 1, [-1])
    module.launch("k", 1, 1, [2])


@modes
@pytest.mark.parametrize("kernel", ["spins", "waits"])
def test_ctrl_c_ends_a_launch_and_says_where_it_was(checked, kernel):
    text = """__global__ void spins(volatile int* x) {
    while (x[0] == 0) {
    }  // of spins
}
__global__ void waits(volatile int* x) {
    while (x[0] == 0) __syncthreads();
}
"""
    module = emulator.Module(text, ["spins", "waits"], checked)
    module.launch(kernel, 1, 4, [np.ones(1, np.int32)])
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt, match=kernel) as caught:
        module.launch(kernel, 1, 4, [np.zeros(1, np.int32)])
    timer.join()
    if kernel == "spins":
        assert r"kernel.cu:2: interrupted, block (0, 0, 0), thread (0, 0, 0)" in str(caught.value)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    module.launch(kernel, 1, 4, [np.ones(1, np.int32)])


def test_a_handler_of_the_programs_own_is_left_to_decide():
    text = "__global__ void k(volatile int* x, int n) { while (n-- > 0) x[0] += 1; }"
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        x = np.zeros(1, np.int32)
        emulator.run(text, "k", 1, 1, [x, 200_000_000])
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert x[0] == 200_000_000 and caught == [1]


def test_a_frame_that_does_not_fit_its_stack_does_not_reach_into_the_next(capfd):
    text = (
        "__global__ void k(int* x, int n) { int own[60000]; for (int i = 0; i < 60000; ++i) "
        "own[i] = i * n; __syncthreads(); x[threadIdx.x] = own[n]; }"
    )
    with pytest.raises(emulator.EmulatorError, match=r"no room on its stack of 128 KB"):
        emulator.run(text, "k", 1, 2, [np.zeros(2, np.int32), 1], schedule="reverse")


VARIABLES = """__device__ int counts[4];
__device__ unsigned blocks_done;
__constant__ int table[4] = {1, 2, 3, 4};
__device__ __noinline__ int* at(int i) { return counts + i; }
__global__ void races(int* x) {
    counts[1] = threadIdx.x;
}
__global__ void outside(int* x) {
    *at(1 << 12) = 1;
}
__global__ void beyond_the_table(int* x) {
    const int* entry = &table[x[0] < 0 ? 0 : 3];
    x[threadIdx.x] = entry[threadIdx.x];
}
__global__ void own_static(int* x) {
    static int calls;
    x[threadIdx.x] = ++calls;
}
__global__ void last_block_sums(int* x) {
    x[1 + blockIdx.x] = blockIdx.x;
    __threadfence();
    if (atomicAdd(&blocks_done, 1) != gridDim.x - 1) return;
    for (int i = 0; i < gridDim.x; ++i) x[0] += x[1 + i] * table[i];
    blocks_done = 0;
}
__global__ void whole(int* x) {
    atomicAdd(&counts[threadIdx.x % 4], table[threadIdx.x % 4]);
    __syncthreads();
    x[threadIdx.x] = counts[threadIdx.x % 4];
}
__global__ void too_much(int* x) {
    __shared__ float a[10000], b[2000];
    a[threadIdx.x] = b[threadIdx.x] = x[0] = 1;
}
"""


@linux
@pytest.mark.parametrize(
    ("kernel", "grid", "block", "told"),
    [
        ("races", 1, 2, r"kernel\.cu:6: race.*variable 'counts' at byte 4"),
        ("races", 2, 1, r"kernel\.cu:6: race.*variable 'counts' at byte 4.*blocks run in no order"),
        ("outside", 1, 1, r"kernel\.cu:9: out of bounds"),
        ("beyond_the_table", 1, 4, r"kernel\.cu:13: out of bounds.*end of variable 'table'"),
        ("own_static", 1, 2, r"kernel\.cu:17: race.*variable 'calls'"),
        ("last_block_sums", 4, 1, None),
        ("whole", 1, 8, None),
        ("too_much", 1, 1, r"too_much: 48000 bytes of __shared__ variables and 2000 of dynamic"),
    ],
)
def test_variables_of_the_module_are_checked_as_arrays_are(kernel, grid, block, told):
    module = emulator.Module(VARIABLES, [kernel], checked=True)
    x = np.zeros(40, np.int32)
    if told is None:
        for schedule in ("forward", "reverse", "shuffle:3"):
            module.launch(kernel, grid, block, [x], schedule=schedule)
        return
    with pytest.raises(emulator.EmulatorError, match=told):
        module.launch(kernel, grid, block, [x], shared=2000)
