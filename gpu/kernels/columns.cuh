// Columns, some of which a block works on.
//
// A block works on `width` columns, 1, 2, 4, ... 256, which lie side by side in memory: thread t is at
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
