// Rows, each of which some threads share.
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
