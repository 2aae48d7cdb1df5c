// Softmax along rows, its logarithm, and softmax of what a mask shows; and the gradients.
//
// Each row belongs to a team of threads, which finds its softmax (see softmax_of_row.cuh). A row
// that fits into shared memory is read once and written once, a longer one is read twice.
//
// Where a mask hides an element it counts as -inf. A row of which nothing is shown becomes 0.

#include "softmax_of_row.cuh"

typedef unsigned char uint8;

// A mask that several blocks of rows share: of shape (outer, 1, inner, columns), repeated along the
// axis of 1 to (outer, repeats, inner, columns), the shape of x. No mask is a null pointer.
struct Mask {
    const uint8* mask;
    int64 repeats, inner;

    __device__ __forceinline__ const uint8* row(int64 row, int columns) const
    {
        if (mask == nullptr) return nullptr;
        return mask + (row / inner / repeats * inner + row % inner) * columns;
    }
};

template <typename T> __device__ __forceinline__ T shown(const uint8* mask, uint32 j, T x, T otherwise)
{
    return mask == nullptr || mask[j] ? x : otherwise;
}

template <typename T, bool LOGARITHM>
__device__ __forceinline__ void softmax_rows(
    const T* x, Mask masks, T* y, int64 rows, int columns, int team, int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && packs(y, columns);
    T* const keep = kept ? kept_row<T>(columns, team) : nullptr;

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team, offset = row * columns;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const uint8* const mask = masks.row(row, columns);
        const auto seen = [&](uint32 j, T value) { return shown(mask, j, value, -infinity<T>()); };

        Powers<T> powers =
            row_powers<LOGARITHM>(x + offset, mine, keep, spare, mask != nullptr, seen);
        if (mask != nullptr && powers.total == T(0)) powers.total = T(1);
        write_softmax<LOGARITHM, T>(x + offset, nullptr, y + offset, mine, keep, powers, seen,
                                    [](uint32, T value, T) { return value; });
    }
}

template <typename T>
__device__ void softmax_forward(const T* x, T* y, int64 rows, int columns, int team, int kept)
{
    softmax_rows<T, false>(x, Mask{nullptr, 1, 1}, y, rows, columns, team, kept);
}

template <typename T>
__device__ void log_softmax_forward(const T* x, T* y, int64 rows, int columns, int team, int kept)
{
    softmax_rows<T, true>(x, Mask{nullptr, 1, 1}, y, rows, columns, team, kept);
}

template <typename T>
__device__ void masked_softmax_forward(
    const T* x, const uint8* mask, T* y, int64 rows, int columns, int64 repeats, int64 inner, int team,
    int kept)
{
    softmax_rows<T, false>(x, Mask{mask, repeats, inner}, y, rows, columns, team, kept);
}

// The gradient of x: dx[j] = y[j] (g[j] - Σ_i g[i] y[i]); what is hidden has y = 0, and its g counts as 0.
template <typename T>
__device__ __forceinline__ void softmax_backward_rows(
    const T* g, const T* y, Mask masks, T* dx, int64 rows, int columns, int team, int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(g, columns) && packs(y, columns) && packs(dx, columns);
    T* const kept_g = kept_row<T>(columns, team, 2, 0);
    T* const kept_y = kept_row<T>(columns, team, 2, 1);

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team, offset = row * columns;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const T *const g_row = g + offset, *const y_row = y + offset;
        const uint8* const mask = masks.row(row, columns);
        T total = T(0);

        if (kept) {
            uint32 count = 0, i = 0;
            read_rows(g_row, y_row, mine, [&](uint32 j, T value, T share) {
                value = shown(mask, j, value, T(0));
                kept_g[count * team] = value;
                kept_y[count++ * team] = share;
                total += value * share;
            });
            total = team_reduce<Sum>(total, team, spare);
            write_row(dx + offset, mine, [&](uint32) {
                const uint32 at = i++ * team;
                return kept_y[at] * (kept_g[at] - total);
            });
        } else {
            read_rows(g_row, y_row, mine, [&](uint32 j, T value, T share) {
                total += shown(mask, j, value, T(0)) * share;
            });
            total = team_reduce<Sum>(total, team, spare);
            map_rows(g_row, y_row, dx + offset, mine, [&](uint32 j, T value, T share) {
                return share * (shown(mask, j, value, T(0)) - total);
            });
        }
    }
}

template <typename T>
__device__ void softmax_backward(
    const T* g, const T* y, T* dx, int64 rows, int columns, int team, int kept)
{
    softmax_backward_rows<T>(g, y, Mask{nullptr, 1, 1}, dx, rows, columns, team, kept);
}

template <typename T>
__device__ void masked_softmax_backward(
    const T* g, const T* y, const uint8* mask, T* dx, int64 rows, int columns, int64 repeats, int64 inner,
    int team, int kept)
{
    softmax_backward_rows<T>(g, y, Mask{mask, repeats, inner}, dx, rows, columns, team, kept);
}
