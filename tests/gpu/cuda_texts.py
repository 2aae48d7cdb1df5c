"""Small kernels of CUDA C++ on which the emulator is tested."""

from __future__ import annotations

import re

from chainrule.gpu import emulator


class Text:
    """CUDA C++ with the names of its kernels; compiled once for all tests."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.kernels = re.findall(r"__global__.*?(\w+)\(", source)
        self._module: emulator.Module | None = None

    def module(self) -> emulator.Module:
        if self._module is None:
            self._module = emulator.Module(self.source, self.kernels)
        return self._module

    def marked(self, marker: str) -> int:
        """The number of the line that ends with this comment."""
        lines = self.source.splitlines()
        return next(i for i, line in enumerate(lines, 1) if line.endswith(f"// {marker}"))

    def lines(self, kernel: str) -> range:
        """The numbers of the kernel's lines, and of the functions just before it."""
        lines = self.source.splitlines()
        at = next(i for i, line in enumerate(lines, 1) if f"__global__ void {kernel}(" in line)
        starts = [i for i, line in enumerate(lines, 1) if "__global__" in line and i < at]
        ends = [i for i, line in enumerate(lines, 1) if line == "}"]
        first = next((i for i in ends if starts and i > starts[-1]), 0)
        return range(first + 1, next(i for i in ends if i > at))


SUMS = Text("""
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
extern "C" __global__ void __launch_bounds__(256)
sums_float(const float* x, float* y, long long rows, int columns) {
    sums(x, y, rows, columns);
}
extern "C" __global__ void __launch_bounds__(256)
sums_double(const double* x, double* y, long long rows, int columns) {
    sums(x, y, rows, columns);
}
""")
SUMS.kernels = ["sums_float", "sums_double"]

FEATURES = Text("""
__global__ void places(int* seen) {
    const int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int* own = seen + 6 * (b * blockDim.x * blockDim.y * blockDim.z + t);
    own[0] = threadIdx.x, own[1] = threadIdx.y, own[2] = threadIdx.z;
    own[3] = blockIdx.x, own[4] = blockIdx.y, own[5] = blockIdx.z;
}
extern "C" __global__ void shuffles(const long long* x, long long* y, int by, int width) {
    const int i = threadIdx.x, n = blockDim.x;
    const unsigned all = 0xffffffffu;
    y[i] = __shfl_sync(all, x[i], by, width);
    y[n + i] = __shfl_up_sync(all, x[i], by, width);
    y[2 * n + i] = __shfl_down_sync(all, x[i], by, width);
    y[3 * n + i] = __shfl_xor_sync(all, x[i], by, width);
}
__global__ void votes(const int* x, unsigned* y) {
    const int i = threadIdx.x, n = blockDim.x;
    const unsigned mask = i % 2 ? 0xaaaaaaaau : 0x55555555u;
    y[4 * n + i] = __activemask();
    if (i % 2) {
        y[i] = __ballot_sync(mask, x[i]);
        y[n + i] = __any_sync(mask, x[i]);
        y[2 * n + i] = __all_sync(mask, x[i]);
    } else {
        y[i] = __ballot_sync(mask, x[i]);
        y[n + i] = __any_sync(mask, x[i]);
        y[2 * n + i] = __all_sync(mask, x[i]);
    }
    y[3 * n + i] = __match_any_sync(mask, x[i]);
    __syncwarp();  // so that no thread returns before the others have asked for the active mask
}
__global__ void active(int* y, int by) {
    const int i = threadIdx.x;
    if (i % by == 1) {
        const unsigned mask = __activemask();
        y[i] = mask;
        if (i % 32 == __ffs(mask) - 1) atomicAdd(&y[blockDim.x], __popc(mask));
    } else if (i % by == 2) {
        y[i] = __activemask();
    }
    __syncthreads();
}
__global__ void counts(const int* x, int* y, int stay) {
    const int i = threadIdx.x, n = blockDim.x;
    if (i >= stay) return;
    y[i] = __syncthreads_count(x[i]);
    y[n + i] = __syncthreads_and(x[i]);
    y[2 * n + i] = __syncthreads_or(x[i]);
}
__global__ void dynamic(float* y) {
    extern __shared__ __align__(16) float room[];
    __shared__ float other[4];
    if (threadIdx.x == 0)
        for (int i = 0; i < 4; ++i) y[4 + i] = room[i];
    __syncthreads();
    room[threadIdx.x] = threadIdx.x;
    other[threadIdx.x] = -1;
    __syncthreads();
    y[threadIdx.x] = room[threadIdx.x];
}
__global__ void turn_round(float* y, int barrier, float first) {
    __shared__ float room[64];
    room[threadIdx.x] = first + threadIdx.x;
    if (barrier) __syncthreads();
    y[threadIdx.x] = room[63 - threadIdx.x];
}
__global__ void atomics(const int* x, int* y, double* total) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&y[0], x[i]);
    atomicMax(&y[1], x[i]);
    atomicMin(&y[2], x[i]);
    int old = y[3];
    for (int seen = ~old; seen != old;) {
        seen = old;
        old = atomicCAS(&y[3], seen, seen + 1);
    }
    atomicExch(&y[4], x[i]);
    atomicAdd(total, x[i] / 2.0);
}
__global__ void vectors(const float* x, double* y) {
    const float4 v = reinterpret_cast<const float4*>(x)[threadIdx.x];
    reinterpret_cast<double2*>(y)[threadIdx.x] = make_double2(v.x + v.w, v.y * v.z);
}
__global__ void which(long long* seen) {
    const long long at = (seen[0] < 0 ? 0 : seen[0]) + 1;
    seen[0] = at;
    seen[at] = blockIdx.x + (long long)gridDim.x * blockIdx.y;
}
__global__ void scaled(float* x, int n, float factor) {
    if (threadIdx.x < n) x[threadIdx.x] *= factor;
}
""")

FAULTS = Text("""
__global__ void two_barriers(int* x) {
    if (threadIdx.x < 3) __syncthreads();
    else __syncthreads();
}
__global__ void barrier_and_shuffle(int* x) {
    if (threadIdx.x == 3)
        __syncthreads();
    x[0] = __shfl_sync(0xffffffffu, 1, 0);
}
__global__ void other_masks(int* x) {
    x[threadIdx.x] = __ballot_sync(threadIdx.x < 2 ? 0x3u : 0x7u | 1u << threadIdx.x, 1);
    __syncthreads();
}
__global__ void foreign_mask(int* x) {
    x[threadIdx.x] = __shfl_sync(0x1u, 1, 0);
}
__global__ void failing(int* x) {
    assert(threadIdx.x < 2);
}
__global__ void spinning(int* x) {
    while (atomicAdd(&x[0], 0) == 0) {
    }
}
__global__ void null(int* x) {
    int* nothing = nullptr;
    asm volatile("" : "+r"(nothing));  // so that the compiler does not know
    *nothing = 1;
}
__global__ void far(int* x) {
    x[1ll << 42] = 1;
}
__global__ void divided(int* x) {
    x[1] = 7 / x[threadIdx.x];
}
__device__ __noinline__ int deeper(int n) {
    volatile char room[1024];
    room[n % 1024] = 1;
    return n ? deeper(n - 1) + room[3] : 0;
}
__global__ void deep(int* x) {
    x[0] = deeper(1000000 + x[0]);
}
__global__ void fine(int* x) {
    __shared__ int room[4];
    room[threadIdx.x] = threadIdx.x;
    __syncthreads();
    x[blockIdx.x * 4 + threadIdx.x] = blockIdx.x * 4 + room[threadIdx.x];
}
""")


class _Intrinsics(Text):
    """Conditions that hold on the device."""

    checks = (
        "exp(1.0f) == expf(1.0f) && sizeof(exp(1.0f)) == 4 && sizeof(exp(1.0)) == 8",
        "sizeof(tanh(1.0f)) == 4 && sizeof(sqrt(2.0f)) == 4 && sizeof(erf(2.0f)) == 4",
        "sizeof(fmax(1.0f, 2.0f)) == 4 && fmax(NAN, 1.0f) == 1.0f && fmin(1.0, (double)NAN) == 1.0",
        "sizeof(rsqrt(4.0f)) == 4 && rsqrt(4.0f) == 0.5f && rsqrt(16.0) == 0.25",
        "isnan(NAN) && isinf(INFINITY) && !isnan(1.0f) && isnan(CUDART_NAN)",
        "CUDART_INF_F == INFINITY && CUDART_INF > 1e308",
        "__float_as_int(1.0f) == 0x3f800000 && __int_as_float(0x7f800000) == INFINITY",
        "__longlong_as_double(0x7ff0000000000000ll) == CUDART_INF",
        "__double_as_longlong(1.0) == 0x3ff0000000000000ll",
        "__hiloint2double(0x3ff00000, 0) == 1.0 && __double2hiint(-2.0) == (int)0xc0000000",
        "__umulhi(0xffffffffu, 0xffffffffu) == 0xfffffffeu && __mulhi(-2, 3) == -1",
        "__umul64hi(~0ull, ~0ull) == ~1ull && __mul64hi(-1ll, 5ll) == -1",
        "__popc(0xf0f0u) == 8 && __popcll(~0ull) == 64",
        "__clz(1) == 31 && __clz(0) == 32 && __clzll(0) == 64",
        "__ffs(8) == 4 && __ffs(0) == 0 && __ffsll(1ll << 40) == 41",
        "__brev(1u) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u",
        "__byte_perm(0x33221100u, 0x77665544u, 0x7531u) == 0x77553311u",
        "__byte_perm(0x80u, 0u, 0x0008u) == 0x808080ffu",
        "__funnelshift_l(0x80000000u, 1u, 1) == 3u && __funnelshift_r(0x80000000u, 1u, 31) == 3u",
        "__saturatef(2.0f) == 1.0f && __saturatef(-1.0f) == 0.0f && __saturatef(NAN) == 0.0f",
        "__saturatef(0.25f) == 0.25f && __fdividef(1.0f, 4.0f) == 0.25f",
        "min(3, 5) == 3 && max(3u, 5u) == 5u && min(2ll, 1ll) == 1 && max(1.5f, 2.5) == 2.5",
        "fma(3.0, 5.0, 1.0) == 16.0 && fmaf(3.0f, 5.0f, 1.0f) == 16.0f",
        "__fmul_rn(3.0f, 5.0f) == 15.0f && __dadd_rn(1.0, 2.0) == 3.0",
        "__float2int_rn(2.5f) == 2 && __float2int_rz(-2.5f) == -2 && __float2int_rd(-2.5f) == -3",
        "__expf(0.0f) == 1.0f && __logf(1.0f) == 0.0f && __powf(2.0f, 3.0f) == 8.0f",
        "fabs(sinpi(0.5) - 1.0) < 1e-15 && fabs(normcdf(0.0) - 0.5) < 1e-15",
        "sizeof(float4) == 16 && alignof(float4) == 16 && sizeof(float3) == 12",
        "alignof(double2) == 16 && alignof(int2) == 8 && alignof(uchar4) == 4",
        "make_float4(1, 2, 3, 4).w == 4 && make_uint3(1, 2, 3).z == 3 && dim3(5).y == 1",
        "warpSize == 32 && __activemask() == 1u",
        "__ldg(&holds[0]) == 1 && __ldcs((const unsigned char*)holds) == 1",
    )

    def __init__(self) -> None:
        body = "".join(f"    holds[{i}] = ({check});\n" for i, check in enumerate(self.checks))
        super().__init__("__global__ void intrinsics(unsigned char* holds) {\n" + body + "}\n")


INTRINSICS = _Intrinsics()

PLANTED = Text("""
__device__ float total(float value, float* parts, int fault) {
    const unsigned mask = fault == 6 ? 0xffffu : 0xffffffffu;
    for (int offset = 16; offset; offset >>= 1)
        value += __shfl_xor_sync(mask, value, offset);  // wrong mask
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    if (threadIdx.x % 32 == 0 && !(fault == 5 && warp == 1))
        parts[warp] = value;
    if (fault != 1) __syncthreads();
    value = 0;
    for (int i = 0; i < warps; ++i)
        if (fault == 5) value += parts[i];  // uninitialised
        else value += parts[i];             // missing barrier
    __syncthreads();
    return value;
}
__global__ void centre(const float* x, float* y, long long rows, int columns, int fault) {
    __shared__ float parts[32];
    for (long long row = blockIdx.x; row < rows || fault == 7; row += gridDim.x) {
        if (fault == 2 && threadIdx.x == 40) return;
        const float* source = x + row * columns;
        float sum = 0;
        for (int j = threadIdx.x; j < columns + (fault == 3); j += blockDim.x)
            if (fault == 7) sum += source[j];  // wrong grid
            else sum += source[j];             // off-by-one read
        if (fault == 2) __syncthreads();  // divergent barrier
        sum = fault == 2 ? sum : total(sum, parts, fault);
        if (fault == 7 && row >= rows) return;
        for (int j = threadIdx.x; j < columns + (fault == 4 && row == rows - 1); j += blockDim.x) {
            const float value = j < columns ? source[j] - sum : 0;
            y[row * columns + j] = value;  // off-by-one write
        }
    }
}
""")

ORDER = Text("""
__global__ void through_syncwarp(int* y) {
    __shared__ int room[64];
    room[threadIdx.x] = threadIdx.x;
    __syncwarp();
    y[threadIdx.x] = room[threadIdx.x ^ 31];
    __syncwarp();
    room[threadIdx.x ^ 1] = 5;
}
__global__ void through_nothing(int* y) {
    __shared__ int room[32];
    room[threadIdx.x] = threadIdx.x;
    __syncwarp();
    room[threadIdx.x] += 1;
    y[threadIdx.x] = room[threadIdx.x ^ 31];  // read of nothing
}
__global__ void through_a_shuffle(int* y) {
    __shared__ int room[32];
    room[threadIdx.x] = threadIdx.x;
    const int other = __shfl_xor_sync(0xffffffffu, threadIdx.x, 31);
    y[threadIdx.x] = room[other];  // read of a shuffle
}
__global__ void through_half_a_warp(int* y) {
    __shared__ int room[32];
    room[threadIdx.x] = threadIdx.x;
    __syncwarp(threadIdx.x < 16 ? 0xffffu : 0xffff0000u);
    y[threadIdx.x] = room[threadIdx.x ^ 15];
    y[threadIdx.x] += room[threadIdx.x ^ 16];  // read of a half
}
__global__ void syncwarp_across_warps(int* y) {
    __shared__ int room[64];
    room[threadIdx.x] = threadIdx.x;
    __syncwarp();
    y[threadIdx.x] = room[threadIdx.x ^ 32];  // read across warps
}
__global__ void each_its_own_byte(unsigned char* y) {
    __shared__ unsigned char flags[64];
    flags[threadIdx.x] = threadIdx.x & 1;
    y[blockIdx.x * blockDim.x + threadIdx.x] = flags[threadIdx.x];
}
__global__ void all_read_one(int* y) {
    __shared__ int room[4];
    if (threadIdx.x == 0) room[3] = 3;
    __syncthreads();
    y[1 + blockIdx.x * blockDim.x + threadIdx.x] = y[0] + room[3];
}
__global__ void all_write_one(int* y) {
    y[0] = 1;  // write of one
}
__global__ void blocks_write_one(int* y) {
    y[0] = 1;  // write of blocks
}
__global__ void write_after_read(int* y) {
    __shared__ int room[64];
    room[threadIdx.x] = threadIdx.x;
    __syncthreads();
    const int other = room[(threadIdx.x + 40) % 64];  // write after read
    room[threadIdx.x] = other;
}
__global__ void read_then_written(int* y) {
    __shared__ int room[32];
    if (threadIdx.x < 32) room[threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x < 32) y[threadIdx.x] = room[threadIdx.x];  // read then written
    else room[threadIdx.x - 32] = 2;
}
__global__ void read_by_all_written_by_a_reader(int* y) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 1;
    __syncthreads();
    y[threadIdx.x] = count;
    __syncwarp();
    if (threadIdx.x == 64) count = 2;  // write by a reader
}
__global__ void atomics_meet(int* y) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    atomicAdd(&count, 1);
    atomicMax(&y[0], (int)threadIdx.x);
    __syncthreads();
    y[1 + blockIdx.x * blockDim.x + threadIdx.x] = count;
}
__global__ void atomic_and_plain(int* y) {
    atomicAdd(&y[0], 1);
    if (threadIdx.x == 40) y[0] = 7;  // plain beside atomic
}
__device__ void counted(int* y, bool before, bool after) {
    for (bool done = false; !done;)
        if (atomicCAS(&y[0], 0, 1) == 0) {
            __threadfence_block();
            y[1] += 1;  // count in a lock
            if (before) __threadfence_block();
            atomicExch(&y[0], 0);
            if (after) __threadfence_block();
            done = true;
        }
}
__global__ void lock(int* y) {
    counted(y, true, false);
}
__global__ void lock_without_fence(int* y) {
    counted(y, false, true);
}
__device__ void last(int* y, bool fence) {
    __shared__ bool is_last;
    y[1 + blockIdx.x] = 10 * blockIdx.x;
    if (fence) __threadfence();
    is_last = atomicAdd(&y[0], 1) == gridDim.x - 1;
    if (is_last)
        for (int i = 0; i < gridDim.x; ++i)
            y[100] += y[1 + i];  // read without fence
}
__global__ void last_block(int* y) {
    if (threadIdx.x == 0) last(y, true);
}
__global__ void last_block_without_fence(int* y) {
    if (threadIdx.x == 0) last(y, false);
}
""")

ACCESSES = Text(
    """
__device__ __noinline__ float through(const float* p, int i) { return p[i]; }  // past static

__global__ void past_static(float* x, int n) {
    __shared__ float first[16], second[16], third[16];
    first[0] = second[0] = third[0] = 1;
    x[blockIdx.x] = through(second, 16);
}
__global__ void past_static_by_index(float* x, int n) {
    __shared__ float first[16], second[16];
    first[0] = second[0] = 1;
    x[blockIdx.x] = first[n / 4 + blockIdx.x];  // past static by index
}
__global__ void past_dynamic(float* x, int n) {
    extern __shared__ float room[];
    for (int i = 0; i < 16; ++i) room[i] = i;
    x[blockIdx.x] = room[n / 4];  // past dynamic
}
__global__ void past_local(float* x, int n) {
    float own[8];
    for (int i = 0; i < 8; ++i) own[i] = x[i + 8];
    x[blockIdx.x] = own[n / 8];  // past local
}
__global__ void before_array(float* x, int n) {
    x[blockIdx.x] = x[63 - n];  // before array
}
__global__ void partly_past(float* x, int n) {
    x[blockIdx.x] = *reinterpret_cast<const double*>(x + n - 2);
    const char* bytes = reinterpret_cast<const char*>(x);
    memcpy(x + blockIdx.x, bytes + 4 * n - 2, 4);  // partly past
}
__global__ void through_null(float* x, int n) {
    float* nothing = n == 64 ? nullptr : x;
    nothing[blockIdx.x] = 1;  // through null
}
__global__ void far_away(float* x, int n) {
    x[(long long)n << 36] = 1;  // far away
}
__global__ void misaligned(float* x, int n) {
    x[blockIdx.x] = *reinterpret_cast<const double*>(x + n / 8 + 1);  // misaligned
}
__global__ void misaligned_vector(float* x, int n) {
    const float4 v = *reinterpret_cast<const float4*>(x + n / 8 + 1);  // misaligned vector
    x[blockIdx.x] = v.x + v.w;
}
__global__ void never_written(float* x, int n) {
    __shared__ float room[4];
    __shared__ int count;
    x[blockIdx.x] = room[3];  // never written
    atomicAdd(&count, 1);     // atomic on it
}
__global__ void of_the_block_before(float* x, int n) {
    __shared__ float room[4];
    if (blockIdx.x == 0) room[3] = 2;
    x[blockIdx.x] = room[3];  // of the block before
}
__global__ void overflowing(float* x, int n) {
    const long long offset = n * (1 << 27) + n;  // overflowing
    x[blockIdx.x] = offset;
}
__global__ void dividing(float* x, int n) {
    x[blockIdx.x] = n / (n - 64);  // dividing
}
__global__ void copying(float* x, int n) {
    float own[4];
    memcpy(own, x + n - 3, sizeof own);  // copying
    x[blockIdx.x] = own[0];
}
__constant__ float table[4] = {1, 2, 3, 4};
__global__ void whole(float* x, int n) {
    extern __shared__ float4 packs[];
    packs[blockIdx.x] = reinterpret_cast<const float4*>(x)[2 + blockIdx.x];
    float4 own[2] = {packs[blockIdx.x], make_float4(0, 0, 0, 0)};
    own[1] = own[0];
    const unsigned wrapped = 0xffffffffu * (unsigned)n;
    x[blockIdx.x] = own[n / 64].y + table[n / 32] + wrapped + __ldg(x + n - 1);
}
__global__ void beyond(float* x, int n) {
    for (int i = threadIdx.x - 32; i < n + 32; i += blockDim.x) x[i] = 1;
}
__global__ void shift(const float* x, float* y, int n) {
    float before = x[0];  // shift
    for (int i = 0; i < n; ++i) {
        const float next = x[i + 1];
        y[i] = before = before < next ? before : next;
    }
}
__global__ void poke(float* x, int n) {
    x[n] = 1;  // poke
}
__global__ void many(float* x, int n) {
"""
    + "".join(f"    if (n > {i}) x[n + {i}] = 1;\n" for i in range(30))
    + "}\n"
)
