// Sums, maxima and places of maxima, along rows and along columns of matrices.
//
// Along a row a team of threads (see rows.cuh) reduces, each its own numbers and then together by
// shuffles. Down columns a block takes a few that lie side by side, so that a warp reads neighbouring
// words. A single long row, or a few long columns, would keep few blocks busy: such a one is cut into
// pieces, whose results are reduced by a second launch. Which numbers are added in which order depends
// on the shape alone, so that the same numbers give the same sum on every GPU and in every run.

#include "columns.cuh"
#include "rows.cuh"

template <typename Op, typename T>
__device__ __forceinline__ void reduce_rows(
    const T* x, T* y, int64 rows, int columns, int pieces, int length, int team)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && (pieces == 1 || length % Pack<T>::size == 0);
    const int64 tasks = rows * pieces;

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < tasks;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 task = start + threadIdx.x / team;
        const int first = int(task % pieces) * length;
        const uint32 n = task < tasks ? min(length, columns - first) : 0;
        const Portion mine{n, rank, uint32(team), packed};
        T value = Op::template start<T>();
        read_row(x + task / pieces * columns + first, mine,
                 [&](uint32, T next) { value = Op::of(value, next); });
        value = team_reduce<Op>(value, team, spare);
        if (rank == 0 && task < tasks) y[task] = value;
    }
}

template <typename T>
__device__ void row_sum(const T* x, T* y, int64 rows, int columns, int pieces, int length, int team)
{
    reduce_rows<Sum>(x, y, rows, columns, pieces, length, team);
}

template <typename T>
__device__ void row_max(const T* x, T* y, int64 rows, int columns, int pieces, int length, int team)
{
    reduce_rows<Max>(x, y, rows, columns, pieces, length, team);
}

template <typename Op, typename T>
__device__ __forceinline__ void reduce_columns(
    const T* x, T* y, int64 matrices, int rows, int columns, int pieces, int length, int width)
{
    __shared__ T kept[256];
    const int lane = threadIdx.x / width, lanes = blockDim.x / width;
    const int64 count = tiles(matrices, columns, pieces, width);

    for (int64 number = blockIdx.x; number < count; number += gridDim.x) {
        const Tile tile(number, rows, columns, pieces, length, width);
        T value = Op::template start<T>();
        if (tile.column < columns)
            for (int64 row = tile.first + lane; row < tile.last; row += lanes)
                value = Op::of(value, x[(tile.matrix * rows + row) * columns + tile.column]);
        value = column_reduce<Op>(value, width, kept);
        if (lane == 0 && tile.column < columns)
            y[(tile.matrix * pieces + tile.piece) * columns + tile.column] = value;
    }
}

template <typename T>
__device__ void column_sum(
    const T* x, T* y, int64 matrices, int rows, int columns, int pieces, int length, int width)
{
    reduce_columns<Sum>(x, y, matrices, rows, columns, pieces, length, width);
}

template <typename T>
__device__ void column_max(
    const T* x, T* y, int64 matrices, int rows, int columns, int pieces, int length, int width)
{
    reduce_columns<Max>(x, y, matrices, rows, columns, pieces, length, width);
}

// A number and its place. The larger number wins, NaN before all others, and of equals the first.
template <typename T> struct Placed {
    T value = -infinity<T>();
    int64 place = 0x7fffffffffffffffll;

    __device__ __forceinline__ void meet(T other, int64 there)
    {
        const bool same = value == other || (is_nan(value) && is_nan(other));
        const bool beaten = is_nan(other) ? !is_nan(value) : other > value;
        if (same ? there < place : beaten) {
            value = other;
            place = there;
        }
    }
};

// The first of the largest numbers of a warp's lanes, or of the `team` lanes that share a row.
template <typename T> __device__ __forceinline__ Placed<T> warp_first(Placed<T> best, int team)
{
    for (int distance = team / 2; distance > 0; distance /= 2) {
        const T value = __shfl_xor_sync(FULL_WARP, best.value, distance);
        const int64 place = __shfl_xor_sync(FULL_WARP, best.place, distance);
        best.meet(value, place);
    }
    return best;
}

// `given` are the places that the numbers of x have in the whole row; without, they are at 0, 1, ...
// Of each piece the largest number goes to `value`, if that is wanted, and its place to `place`.
template <typename T>
__device__ void row_argmax(
    const T* x, const int64* given, T* value, int64* place, int64 rows, int columns, int pieces,
    int length, int team)
{
    __shared__ T values[32];
    __shared__ int64 places[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && (pieces == 1 || length % Pack<T>::size == 0);
    const int64 tasks = rows * pieces;

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < tasks;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 task = start + threadIdx.x / team, row = task / pieces;
        const int first = int(task % pieces) * length;
        const uint32 n = task < tasks ? min(length, columns - first) : 0;
        const Portion mine{n, rank, uint32(team), packed};
        Placed<T> best;
        read_row(x + row * columns + first, mine, [&](uint32 j, T next) {
            best.meet(next, given == nullptr ? first + (int64)j : given[row * columns + first + j]);
        });
        best = warp_first(best, min(team, 32));
        if (team > 32) {
            const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
            if (lane == 0) {
                values[warp] = best.value;
                places[warp] = best.place;
            }
            __syncthreads();
            Placed<T> other;
            if (lane < blockDim.x / 32) other.meet(values[lane], places[lane]);
            best = warp_first(other, 32);
            __syncthreads();
        }
        if (rank == 0 && task < tasks) {
            if (value != nullptr) value[task] = best.value;
            place[task] = best.place;
        }
    }
}

// The same down columns; `given` and the results have the shapes of x and of the pieces.
template <typename T>
__device__ void column_argmax(
    const T* x, const int64* given, T* value, int64* place, int64 matrices, int rows, int columns,
    int pieces, int length, int width)
{
    __shared__ T values[256];
    __shared__ int64 places[256];
    const int at = threadIdx.x, lane = at / width, lanes = blockDim.x / width;
    const int64 count = tiles(matrices, columns, pieces, width);

    for (int64 number = blockIdx.x; number < count; number += gridDim.x) {
        const Tile tile(number, rows, columns, pieces, length, width);
        Placed<T> best;
        if (tile.column < columns)
            for (int64 row = tile.first + lane; row < tile.last; row += lanes) {
                const int64 there = (tile.matrix * rows + row) * columns + tile.column;
                best.meet(x[there], given == nullptr ? row : given[there]);
            }
        values[at] = best.value;
        places[at] = best.place;
        __syncthreads();
        for (int half = lanes / 2; half > 0; half /= 2) {
            if (lane < half) {
                best.meet(values[at + half * width], places[at + half * width]);
                values[at] = best.value;
                places[at] = best.place;
            }
            __syncthreads();
        }
        if (lane == 0 && tile.column < columns) {
            const int64 to = (tile.matrix * pieces + tile.piece) * columns + tile.column;
            if (value != nullptr) value[to] = best.value;
            place[to] = best.place;
        }
        __syncthreads();
    }
}
