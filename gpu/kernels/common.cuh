// What all kernels share: blocks and warps, reductions, 16-byte loads.
//
// A block is a few warps of 32 threads. A reduction goes in two stages: within each warp by shuffles,
// which read another thread's register, then over the warps through shared memory.

#define FULL_WARP 0xffffffffu

typedef long long int64;
typedef unsigned int uint32;
typedef unsigned long long uint64;

// What a launch with shared memory by size gives to a block; cast it to what you keep there.
extern __shared__ __align__(16) unsigned char dynamic_shared[];

// 16 bytes of numbers, read or written by one instruction.
template <typename T> struct __align__(16) Pack {
    static const int size = 16 / sizeof(T);
    T at[size];
};

// May a row of `length` numbers, at every multiple of `length` from `p`, be read 16 bytes at a time?
template <typename T> __device__ __forceinline__ bool packs(const T* p, int64 length)
{
    return (uint64)p % 16 == 0 && length % Pack<T>::size == 0;
}

template <typename T> __device__ __forceinline__ Pack<T> load_pack(const T* p)
{
    return *(const Pack<T>*)p;
}

// By __stcg, whose one instruction cannot be taken apart: of `*(float4*)p = ...` nvcc 13 makes a store
// for each number, if these come out of a loop.
__device__ __forceinline__ void store_pack(float* p, const Pack<float>& value)
{
    __stcg((float4*)p, make_float4(value.at[0], value.at[1], value.at[2], value.at[3]));
}

__device__ __forceinline__ void store_pack(double* p, const Pack<double>& value)
{
    __stcg((double2*)p, make_double2(value.at[0], value.at[1]));
}

// One number, in the shape of a Pack: for code that is written once for both.
template <typename T> struct One {
    static const int size = 1;
    T at[1];
};

// Reads and writes of either; what is read is of the kind of `like`.
template <typename T, typename P> __device__ __forceinline__ P load(const T* p, const P& like)
{
    return *(const P*)p;
}

template <typename T, typename P> __device__ __forceinline__ void store(T* p, const P& value)
{
    *(P*)p = value;
}

// The number of a thread among all of the grid, and how many there are. Loops go from the one in
// steps of the other, so that any grid will do.
__device__ __forceinline__ int64 thread_in_grid()
{
    return (int64)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64 threads_in_grid() { return (int64)gridDim.x * blockDim.x; }

template <typename T> __device__ __forceinline__ T infinity();
template <> __device__ __forceinline__ float infinity<float>() { return __int_as_float(0x7f800000); }
template <> __device__ __forceinline__ double infinity<double>()
{
    return __longlong_as_double(0x7ff0000000000000ll);
}

template <typename T> __device__ __forceinline__ bool is_nan(T x) { return x != x; }

// The larger of two; NaN if one is NaN, unlike fmax.
template <typename T> __device__ __forceinline__ T larger(T a, T b)
{
    return a > b || is_nan(a) ? a : b;
}

// 1 / (1 + exp(-x)), from exp(-|x|), which cannot overflow.
template <typename T> __device__ __forceinline__ T logistic(T x)
{
    const T decay = exp(-fabs(x));
    return (x >= T(0) ? T(1) : decay) / (T(1) + decay);
}

// What a reduction does with two numbers.
struct Sum {
    template <typename T> static __device__ __forceinline__ T of(T a, T b) { return a + b; }
    template <typename T> static __device__ __forceinline__ T start() { return T(0); }
};

struct Max {
    template <typename T> static __device__ __forceinline__ T of(T a, T b) { return larger(a, b); }
    template <typename T> static __device__ __forceinline__ T start() { return -infinity<T>(); }
};

// Of a value in each thread of a warp, the reduction; every thread gets it. All 32 threads take part.
template <typename Op, typename T> __device__ __forceinline__ T warp_reduce(T value)
{
    for (int distance = 16; distance > 0; distance /= 2)
        value = Op::of(value, __shfl_xor_sync(FULL_WARP, value, distance));
    return value;
}

// The same over a whole block of one dimension, up to 1,024 threads; every thread gets it. `spare`
// is shared memory for 32 numbers, free again when all threads have returned.
template <typename Op, typename T> __device__ __forceinline__ T block_reduce(T value, T* spare)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_reduce<Op>(value);
    if (lane == 0) spare[warp] = value;
    __syncthreads();
    value = warp_reduce<Op>(lane < warps ? spare[lane] : Op::template start<T>());
    __syncthreads();
    return value;
}
