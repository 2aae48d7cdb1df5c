// The product of two matrices, tile by tile: how a product is computed from fast memory.
//
// An entry of c takes `inner` products, and each number of a and b is wanted for many entries. A block
// computes a tile of 32 x 32 entries. It walks along the inner axis in steps of 32, and at each step
// copies a tile of a and one of b to shared memory, once, which its threads then read 32 times. Each of
// the 256 threads has four entries of one column, `lane`, in its registers: a number of b that it reads
// serves all four, and of a all threads of a warp read the same one.
//
// What a tile has beyond the edge of a matrix is filled with zeros, and its entries are not written.
// The sums run along the inner axis in order.

const int TILE = 32, PART = 4, STEP = TILE / PART;

template <typename T>
__device__ void tiled_matmul(const T* a, const T* b, T* c, int rows, int inner, int columns)
{
    __shared__ T left[TILE][TILE], right[TILE][TILE];
    const int lane = threadIdx.x % TILE, first = threadIdx.x / TILE; // rows first, first + STEP, ...
    const int across = (columns - 1) / TILE + 1;
    const int64 tiles = (int64)((rows - 1) / TILE + 1) * across;
    for (int64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64 top = tile / across * TILE + first, column = tile % across * TILE + lane;
        T sums[PART] = {};
        for (int64 start = 0; start < inner; start += TILE) {
            for (int part = 0; part < PART; ++part) {
                const int place = first + part * STEP;
                const int64 row = top + part * STEP;
                left[place][lane] = row < rows && start + lane < inner
                    ? a[row * inner + start + lane] : T(0);
                right[place][lane] = start + place < inner && column < columns
                    ? b[(start + place) * columns + column] : T(0);
            }
            __syncthreads();
            for (int k = 0; k < TILE; ++k) {
                const T number = right[k][lane];
                for (int part = 0; part < PART; ++part)
                    sums[part] += left[first + part * STEP][k] * number;
            }
            __syncthreads(); // before the next tiles take their place
        }
        for (int part = 0; part < PART; ++part) {
            const int64 row = top + part * STEP;
            if (row < rows && column < columns) c[row * columns + column] = sums[part];
        }
    }
}
