"""The emulator of CUDA C++: threads, barriers, warps, shared memory, schedules, and its errors."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.gpu import emulator
from chainrule.gpu.emulator.compiling import find_compiler

try:
    find_compiler()
except emulator.EmulatorError as missing:
    pytest.skip(str(missing), allow_module_level=True)

SCHEDULES = ["forward", "reverse", "shuffle:1", "shuffle:2"]

SUMS = """
template <typename T> __device__ __forceinline__ T warp_sum(T value) {
    for (int offset = 16; offset; offset >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}
template <typename T> __device__ T block_sum(T value) {
    __shared__ T parts[32];
    value = warp_sum(value);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : T(0);
    if (threadIdx.x < 32) value = warp_sum(value);
    if (threadIdx.x == 0) parts[0] = value;
    __syncthreads();
    value = parts[0];
    __syncthreads();
    return value;
}
template <typename T>
__device__ void sums(const T* __restrict__ x, T* y, long long rows, int columns) {
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        T sum = T(0);
        for (int j = threadIdx.x; j < columns; j += blockDim.x) sum += x[row * columns + j];
        sum = block_sum(sum);
        if (threadIdx.x == 0) y[row] = sum;
    }
}
extern "C" __global__ __launch_bounds__(256)
void sums_float(const float* x, float* y, long long rows, int columns) {
    sums(x, y, rows, columns);
}
extern "C" __global__ __launch_bounds__(256)
void sums_double(const double* x, double* y, long long rows, int columns) {
    sums(x, y, rows, columns);
}
"""


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("name", "dtype"), [("float", np.float32), ("double", np.float64)])
def test_a_sum_over_rows_through_shared_memory_and_shuffles(name, dtype, schedule):
    module = emulator.Module(SUMS, ["sums_float", "sums_double"])
    x = np.random.default_rng(3).normal(size=(7, 300)).astype(dtype)
    y = np.empty(7, dtype)
    module.launch(f"sums_{name}", 3, 64, [x, y, 7, 300], schedule=schedule)
    np.testing.assert_allclose(
        y, x.sum(1, dtype=np.float64), rtol=0, atol=1e4 * np.finfo(dtype).eps
    )
