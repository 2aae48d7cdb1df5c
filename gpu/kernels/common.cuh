// What the kernels share: blocks and warps, reductions, 16-byte loads, indices and windows.
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

template <typename T> __device__ __forceinline__ void store_pack(T* p, const Pack<T>& value)
{
    *(Pack<T>*)p = value;
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

// The last digit of `rest`, a number written in the base `size`, which loses it. So the index of an
// element is taken apart, the innermost axis first. A division of 64 bits would take four times as long.
__device__ __forceinline__ int digit(uint32& rest, int size)
{
    const uint32 whole = rest / (uint32)size;
    const int last = (int)(rest - whole * (uint32)size);
    rest = whole;
    return last;
}

// One axis of an array with windows on it: window `o` sees the elements o stride + i dilation - before,
// for `i` from 0 to `window`; there are `length` of them.
struct Axis {
    int size, window, stride, dilation, before, length;

    // What window `o` sees at offset `i`: an element, or a place in the margins.
    __device__ __forceinline__ int seen(int o, int i) const
    {
        return o * stride + i * dilation - before;
    }

    __device__ __forceinline__ bool has(int element) const { return element >= 0 && element < size; }

    // Which window sees an element at offset `i`; -1 if none does.
    __device__ __forceinline__ int seer(int element, int i) const
    {
        const int start = element + before - i * dilation;
        const int o = stride == 1 ? start : start / stride;
        return start >= 0 && o < length && o * stride == start ? o : -1;
    }

    // How many elements window `o` sees, without the margins, where the dilation is 1.
    __device__ __forceinline__ int count(int o) const
    {
        const int start = o * stride - before, end = start + window;
        return (end < size ? end : size) - (start > 0 ? start : 0);
    }
};

// Windows on the two axes of images, (images, height, width, channels); and the parameters that every
// kernel with windows has, as gpu/windows.py lists them. An image, a block's blockIdx.y, has less than
// 2^31 numbers; where it starts may be further.
struct Windows {
    int64 images;
    Axis down, across;
    int channels;
};

#define WINDOW_PARAMETERS                                                                          \
    int64 images, int height, int width, int channels, int out_height, int out_width,              \
        int window_height, int window_width, int stride_down, int stride_across,                   \
        int dilation_down, int dilation_across, int top, int left

#define WINDOWS_OF(size)                                                                           \
    Windows                                                                                        \
    {                                                                                              \
        images, {height, window_height, stride_down, dilation_down, top, out_height},              \
            {width, window_width, stride_across, dilation_across, left, out_width}, channels / size \
    }

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

// Rows --------------------------------------------------------------------------------------
//
// A *team* is the threads that share a row: 1, 2, 4, ... 32 lanes of a warp, or the whole block. A
// block takes blockDim.x / team rows at a time, which lie one after the other in memory. Teams whose
// row is beyond the last go on with a row of 0 numbers, since their threads take part in shuffles
// and barriers. Each thread has the numbers rank, rank + team, ... of its row, or as many packs.

// Of a value in each thread of a team, the reduction; every thread gets it. All threads of the block
// take part. `spare`: see block_reduce.
template <typename Op, typename T> __device__ __forceinline__ T team_reduce(T value, int team, T* spare)
{
    if (team > 32) return block_reduce<Op>(value, spare);
    for (int distance = team / 2; distance > 0; distance /= 2)
        value = Op::of(value, __shfl_xor_sync(FULL_WARP, value, distance));
    return value;
}

// What a thread has of a row of n numbers. `packed`: does it take them 16 bytes at a time?
struct Portion {
    uint32 n, rank, team;
    bool packed;
};

// Calls f(j, none) for the places j of a thread's numbers, or packs, in order: `none` is a One or a
// Pack without a value, from which f sees which of the two it is to move.
template <typename T, typename F> __device__ __forceinline__ void each_part(Portion mine, F f)
{
    if (mine.packed) {
        const uint32 step = mine.team * Pack<T>::size;
        for (uint32 j = mine.rank * Pack<T>::size; j < mine.n; j += step) f(j, Pack<T>());
    } else {
        for (uint32 j = mine.rank; j < mine.n; j += mine.team) f(j, One<T>());
    }
}

// Calls f(j, row[j]) for the numbers of a thread, in order.
template <typename T, typename F>
__device__ __forceinline__ void read_row(const T* row, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto none) {
        const auto value = load(row + j, none);
#pragma unroll
        for (int i = 0; i < value.size; ++i) f(j + i, value.at[i]);
    });
}

// The same of two rows: f(j, row[j], other[j]).
template <typename T, typename F>
__device__ __forceinline__ void read_rows(const T* row, const T* other, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto none) {
        const auto value = load(row + j, none), beside = load(other + j, none);
#pragma unroll
        for (int i = 0; i < value.size; ++i) f(j + i, value.at[i], beside.at[i]);
    });
}

// Sets row[j] = f(j) for the numbers of a thread, in the same order.
template <typename T, typename F>
__device__ __forceinline__ void write_row(T* row, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto value) {
#pragma unroll
        for (int i = 0; i < value.size; ++i) value.at[i] = f(j + i);
        store(row + j, value);
    });
}

// Sets to[j] = f(j, from[j]) for the numbers of a thread, in the same order.
template <typename T, typename F>
__device__ __forceinline__ void map_row(const T* from, T* to, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto value) {
        value = load(from + j, value);
#pragma unroll
        for (int i = 0; i < value.size; ++i) value.at[i] = f(j + i, value.at[i]);
        store(to + j, value);
    });
}

// The same of two rows: to[j] = f(j, from[j], other[j]).
template <typename T, typename F>
__device__ __forceinline__ void map_rows(const T* from, const T* other, T* to, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto value) {
        const auto beside = load(other + j, value);
        value = load(from + j, value);
#pragma unroll
        for (int i = 0; i < value.size; ++i) value.at[i] = f(j + i, value.at[i], beside.at[i]);
        store(to + j, value);
    });
}

// How many numbers of a row of `columns` a thread of a team has at most.
template <typename T> __device__ __forceinline__ uint32 slots(int columns, int team)
{
    const uint32 step = team * Pack<T>::size;
    return (columns + step - 1) / step * Pack<T>::size;
}

// Where a thread keeps its numbers of a row in shared memory, of one out of several `arrays`: the i-th
// at [i * team], so that neighbours in a warp have neighbouring words. No other thread touches them.
template <typename T>
__device__ __forceinline__ T* kept_row(int columns, int team, int arrays = 1, int array = 0)
{
    const uint32 row = threadIdx.x / team, rank = threadIdx.x % team;
    return (T*)dynamic_shared + (row * arrays + array) * slots<T>(columns, team) * team + rank;
}

// The softmax of a row ------------------------------------------------------------------------
//
// With top = max(x) and total = Σ exp(x[j] - top) it is exp(x[j] - top) / total. A row that is kept
// is read once. Another one is read twice: the first reading finds both at once, the sum relative to
// the largest number so far, and rescaled by exp(old top - new top) when a larger one comes (Milakov
// and Gimelshein 2018, Online normalizer calculation for softmax). Each thread does so for its own
// numbers; then their sums are brought to the common maximum, and added.

// top and total of numbers that come one by one.
template <typename T> struct Powers {
    T top = -infinity<T>(), total = T(0);

    __device__ __forceinline__ void add(T x)
    {
        if (x == -infinity<T>()) return;  // adds 0; -inf - -inf is NaN
        const bool rises = x > top;
        const T power = exp(rises ? top - x : x - top);
        total = rises ? total * power + T(1) : total + power;
        if (rises) top = x;
    }
};

// top and total of a row whose numbers are f(j, row[j]). Kept ones (`kept` is not null) become
// exp(x - top), or x - top if LOGARITHM. With `empty_is_zero` a row of -inf has total 0, not NaN.
template <bool LOGARITHM, typename T, typename F>
__device__ __forceinline__ Powers<T> row_powers(
    const T* row, Portion mine, T* kept, T* spare, bool empty_is_zero, F f)
{
    Powers<T> own, all;
    uint32 count = 0;
    if (kept != nullptr) {
        read_row(row, mine, [&](uint32 j, T x) {
            x = f(j, x);
            kept[count++ * mine.team] = x;
            own.top = larger(own.top, x);
        });
    } else {
        read_row(row, mine, [&](uint32 j, T x) { own.add(f(j, x)); });
    }
    all.top = team_reduce<Max>(own.top, mine.team, spare);
    if (empty_is_zero && all.top == -infinity<T>()) all.top = T(0);
    if (kept != nullptr) {
#pragma unroll 1
        for (uint32 i = 0; i < count; ++i) {
            const T shifted = kept[i * mine.team] - all.top, power = exp(shifted);
            kept[i * mine.team] = LOGARITHM ? shifted : power;
            own.total += power;
        }
    } else {
        own.total *= exp(own.top - all.top);  // NaN if both are infinite, as the row then is
    }
    all.total = team_reduce<Sum>(own.total, mine.team, spare);
    return all;
}

// Sets to[j] = g(j, y, beside[j]), with y the softmax of the row, or its logarithm, whose powers were
// found; without `beside` g gets 0.
template <bool LOGARITHM, typename T, typename F, typename G>
__device__ __forceinline__ void write_softmax(const T* row, const T* beside, T* to, Portion mine,
    const T* kept, Powers<T> powers, F f, G g)
{
    const T share = LOGARITHM ? log(powers.total) : powers.total;
    uint32 count = 0;
    each_part<T>(mine, [&](uint32 j, auto value) {
        const auto other = beside == nullptr ? value : load(beside + j, value);
        if (kept == nullptr) value = load(row + j, value);
#pragma unroll
        for (int i = 0; i < value.size; ++i) {
            T y;
            if (kept != nullptr) {
                const T found = kept[count++ * mine.team];
                y = LOGARITHM ? found - share : found / share;
            } else {
                const T shifted = f(j + i, value.at[i]) - powers.top;
                y = LOGARITHM ? shifted - share : exp(shifted) / share;
            }
            value.at[i] = g(j + i, y, other.at[i]);
        }
        store(to + j, value);
    });
}

// Columns -----------------------------------------------------------------------------------
//
// A block works on `width` columns, 1, 2, 4, ... 32, which lie side by side in memory: thread t is at
// column t % width, and takes every (blockDim.x / width)-th row from t / width on.

// A tile of a stack of matrices is some columns of one piece of one matrix.
struct Tile {
    int64 matrix, column, first, last;  // rows from `first` to before `last`
    int piece;

    __device__ __forceinline__ Tile(
        int64 number, int64 rows, int columns, int pieces, int64 length, int width)
    {
        const int64 across = ((int64)columns + width - 1) / width;
        column = number % across * width + threadIdx.x % width;
        piece = int(number / across % pieces);
        matrix = number / across / pieces;
        first = piece * length;
        last = first + length < rows ? first + length : rows;
    }
};

__device__ __forceinline__ int64 tiles(int64 matrices, int columns, int pieces, int width)
{
    return ((int64)columns + width - 1) / width * pieces * matrices;
}

// Of a value in each thread of a block, the reduction of those at the same column; every thread gets
// it. `kept` is shared memory for a number of each thread, free again afterwards.
template <typename Op, typename T>
__device__ __forceinline__ T column_reduce(T value, int width, T* kept)
{
    const int at = threadIdx.x, lane = at / width;
    kept[at] = value;
    __syncthreads();
    for (int half = blockDim.x / width / 2; half > 0; half /= 2) {
        if (lane < half) kept[at] = Op::of(kept[at], kept[at + half * width]);
        __syncthreads();
    }
    value = kept[at % width];
    __syncthreads();
    return value;
}
