// Softmax along rows: y[j] = exp(x[j] - top) / total, with top = max(x), total = Σ exp(x[j] - top).
//
// Each row belongs to a team of threads (see common.cuh). A row that fits into shared memory is read
// once and written once: it is kept there while its maximum and its sum are found. A longer one is read
// twice. Its first reading finds both at once: the sum is kept relative to the largest number so far,
// and rescaled by exp(old top - new top) when a larger one comes (Milakov and Gimelshein 2018, Online
// normalizer calculation for softmax). Each thread does so for its own numbers; then their sums are
// brought to the common maximum and added.
//
// Where a mask hides an element it counts as -inf. A row of which nothing is shown becomes 0.

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

// The sum of exp(x - top) over numbers that come one by one, and top, the largest of them.
template <typename T> struct Powers {
    T top = -infinity<T>(), total = T(0);

    __device__ __forceinline__ void add(T x)
    {
        if (x == -infinity<T>()) return;  // adds 0; -inf - -inf is NaN
        const bool rises = x > top;
        const T power = exp(rises ? top - x : x - top);
        total = rises ? total * power + (T(1) + (x - x)) : total + power;  // x - x: NaN for inf
        if (rises) top = x;
    }
};

template <typename T, bool LOGARITHM>
__device__ __forceinline__ void softmax_rows(
    const T* x, Mask masks, T* y, int64 rows, int columns, int team, int kept)
{
    __shared__ T spare[32];
    const int rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && packs(y, columns);
    T* const mine = kept_row<T>(columns, team);

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team;
        const uint32 n = row < rows ? columns : 0;
        const T* const from = x + row * columns;
        T* const to = y + row * columns;
        const uint8* const mask = masks.row(row, columns);
        T top = -infinity<T>(), total = T(0);

        if (kept) {
            uint32 count = 0;
            read_row(from, n, rank, team, packed, [&](uint32 j, T value) {
                value = shown(mask, j, value, -infinity<T>());
                mine[count++ * team] = value;
                top = larger(top, value);
            });
            top = team_reduce<Max>(top, team, spare);
            if (mask != nullptr && top == -infinity<T>()) top = T(0);
#pragma unroll 1
            for (uint32 i = 0; i < count; ++i) {
                const T shifted = mine[i * team] - top, power = exp(shifted);
                mine[i * team] = LOGARITHM ? shifted : power;
                total += power;
            }
            total = team_reduce<Sum>(total, team, spare);
        } else {
            Powers<T> powers;
            read_row(from, n, rank, team, packed, [&](uint32 j, T value) {
                powers.add(shown(mask, j, value, -infinity<T>()));
            });
            top = team_reduce<Max>(powers.top, team, spare);
            if (mask != nullptr && top == -infinity<T>()) top = T(0);
            total = team_reduce<Sum>(powers.total * exp(powers.top - top), team, spare);
        }

        if (mask != nullptr && total == T(0)) total = T(1);
        const T share = LOGARITHM ? log(total) : total;
        if (kept) {
            uint32 i = 0;
            write_row(to, n, rank, team, packed, [&](uint32) {
                const T value = mine[i++ * team];
                return LOGARITHM ? value - share : value / share;
            });
        } else {
            map_row(from, to, n, rank, team, packed, [&](uint32 j, T value) {
                const T shifted = shown(mask, j, value, -infinity<T>()) - top;
                return LOGARITHM ? shifted - share : exp(shifted) / share;
            });
        }
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
    const int rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(g, columns) && packs(y, columns) && packs(dx, columns);
    T* const my_g = kept_row<T>(columns, team, 2, 0);
    T* const my_y = kept_row<T>(columns, team, 2, 1);

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team;
        const uint32 n = row < rows ? columns : 0;
        const T *const g_row = g + row * columns, *const y_row = y + row * columns;
        T* const to = dx + row * columns;
        const uint8* const mask = masks.row(row, columns);
        T total = T(0);

        if (kept) {
            uint32 count = 0;
            read_row(y_row, n, rank, team, packed,
                     [&](uint32, T value) { my_y[count++ * team] = value; });
            count = 0;
            read_row(g_row, n, rank, team, packed, [&](uint32 j, T value) {
                value = shown(mask, j, value, T(0));
                my_g[count * team] = value;
                total += value * my_y[count++ * team];
            });
            total = team_reduce<Sum>(total, team, spare);
            uint32 i = 0;
            write_row(to, n, rank, team, packed, [&](uint32) {
                const uint32 at = i++ * team;
                return my_y[at] * (my_g[at] - total);
            });
        } else {
            read_row(g_row, n, rank, team, packed,
                     [&](uint32 j, T value) { total += shown(mask, j, value, T(0)) * y_row[j]; });
            total = team_reduce<Sum>(total, team, spare);
            map_row(g_row, to, n, rank, team, packed, [&](uint32 j, T value) {
                return y_row[j] * (shown(mask, j, value, T(0)) - total);
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
