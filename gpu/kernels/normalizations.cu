// Normalisation of rows (layer norm) and of features, the columns of a batch (batch norm): numbers less
// their mean, over their standard deviation, times scale, plus offset; and the gradients.
//
// All statistics are those of the differences from the first number of the row or column. Numbers that
// are equal have differences of exactly 0, and numbers far from 0 lose nothing. What is kept on the chip
// has its mean found first, then its variance. What is not is read once for both: each thread follows
// mean and squares as numbers come (Welford 1962), and those of several threads are put together as
// parts of one set (Chan, Golub and LeVeque 1979).
//
// Features take three launches: moments of pieces of each column; these put together; and the numbers
// normalised. So a million rows of few features keep the whole GPU busy, and sums have one order.

#include "columns.cuh"
#include "rows.cuh"

// Numbers that come one by one: how many, their sum and mean, and the sum of the squares around it.
template <typename T> struct Moments {
    uint32 count = 0;
    T sum = T(0), mean = T(0), squares = T(0);

    __device__ __forceinline__ void add(T x)
    {
        const T apart = x - mean;
        sum += x;
        mean += apart / T(++count);
        squares += apart * (x - mean);
    }

    // The squares around the mean of a larger set.
    __device__ __forceinline__ T around(T whole) const
    {
        return count == 0 ? T(0) : squares + T(count) * ((mean - whole) * (mean - whole));
    }
};

// Sets also[j] = f(j, to[j]) for the numbers of a thread of a row, where f sets to[j].
template <typename T, typename F>
__device__ __forceinline__ void write_two(T* to, T* also, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto one) {
        auto two = one;
#pragma unroll
        for (int i = 0; i < one.size; ++i) two.at[i] = f(j + i, one.at[i]);
        store(to + j, one);
        store(also + j, two);
    });
}

// The same with f(j, from[j], to[j]).
template <typename T, typename F>
__device__ __forceinline__ void map_two(const T* from, T* to, T* also, Portion mine, F f)
{
    each_part<T>(mine, [&](uint32 j, auto one) {
        const auto value = load(from + j, one);
        auto two = one;
#pragma unroll
        for (int i = 0; i < one.size; ++i) two.at[i] = f(j + i, value.at[i], one.at[i]);
        store(to + j, one);
        store(also + j, two);
    });
}

// Rows ----------------------------------------------------------------------------------------

// y = scale z + offset, z = (x - mean) weight, weight = 1 / sqrt(variance + epsilon).
template <typename T>
__device__ void layer_norm_forward(
    const T* x, const T* scale, const T* offset, T* y, T* z, T* weight, int64 rows, int columns,
    T epsilon, int team, int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && packs(y, columns) && packs(z, columns);
    T* const keep = kept_row<T>(columns, team);
    const T n = T(columns);

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const T* const from = x + row * columns;
        T *const y_row = y + row * columns, *const z_row = z + row * columns;
        const T first = row < rows ? from[0] : T(0);
        T mean, squares = T(0);

        if (kept) {
            uint32 count = 0;
            T sum = T(0);
            read_row(from, mine, [&](uint32, T value) {
                keep[count++ * team] = value - first;
                sum += value - first;
            });
            mean = team_reduce<Sum>(sum, team, spare) / n;
            for (uint32 i = 0; i < count; ++i) {
                const T apart = keep[i * team] - mean;
                keep[i * team] = apart;
                squares += apart * apart;
            }
        } else {
            Moments<T> own;
            read_row(from, mine, [&](uint32, T value) { own.add(value - first); });
            mean = team_reduce<Sum>(own.sum, team, spare) / n;
            squares = own.around(mean);
        }
        squares = team_reduce<Sum>(squares, team, spare);

        const T factor = T(1) / sqrt(squares / n + epsilon);
        if (rank == 0 && row < rows) weight[row] = factor;
        uint32 i = 0;
        const auto written = [&](uint32 j, T apart, T& normal) {
            normal = apart * factor;
            return normal * scale[j] + offset[j];
        };
        if (kept)
            write_two(z_row, y_row, mine,
                      [&](uint32 j, T& normal) { return written(j, keep[i++ * team], normal); });
        else
            map_two(from, z_row, y_row, mine, [&](uint32 j, T value, T& normal) {
                return written(j, value - first - mean, normal);
            });
    }
}

// dx = weight (h - mean(h) - z mean(h z)), with h = g scale.
template <typename T>
__device__ void layer_norm_backward(
    const T* g, const T* z, const T* weight, const T* scale, T* dx, int64 rows, int columns, int team,
    int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(g, columns) && packs(z, columns) && packs(dx, columns);
    T* const kept_h = kept_row<T>(columns, team, 2, 0);
    T* const kept_z = kept_row<T>(columns, team, 2, 1);
    const T n = T(columns);

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const T *const g_row = g + row * columns, *const z_row = z + row * columns;
        T* const to = dx + row * columns;
        T mean = T(0), slope = T(0);
        uint32 count = 0, i = 0;

        read_rows(g_row, z_row, mine, [&](uint32 j, T value, T normal) {
            const T h = value * scale[j];
            mean += h;
            slope += h * normal;
            if (kept) {
                kept_z[count * team] = normal;
                kept_h[count++ * team] = h;
            }
        });
        mean = team_reduce<Sum>(mean, team, spare) / n;
        slope = team_reduce<Sum>(slope, team, spare) / n;

        const T factor = row < rows ? weight[row] : T(0);
        if (kept) {
            write_row(to, mine, [&](uint32) {
                const uint32 at = i++ * team;
                return (kept_h[at] - mean - kept_z[at] * slope) * factor;
            });
        } else {
            map_rows(g_row, z_row, to, mine, [&](uint32 j, T value, T normal) {
                return (value * scale[j] - mean - normal * slope) * factor;
            });
        }
    }
}

// Features ------------------------------------------------------------------------------------

// Of each piece of each column of x, less its first number: the sum, the mean and the squares around it.
template <typename T>
__device__ void feature_moments(
    const T* x, T* sums, T* means, T* squares, int64 rows, int columns, int pieces, int64 length,
    int width)
{
    __shared__ T kept[256];
    const int lane = threadIdx.x / width, lanes = blockDim.x / width;
    const int64 count = tiles(1, columns, pieces, width);

    for (int64 number = blockIdx.x; number < count; number += gridDim.x) {
        const Tile tile(number, rows, columns, pieces, length, width);
        const bool inside = tile.column < columns;
        Moments<T> own;
        if (inside) {
            const T first = x[tile.column];
            for (int64 row = tile.first + lane; row < tile.last; row += lanes)
                own.add(x[row * columns + tile.column] - first);
        }
        const T sum = column_reduce<Sum>(own.sum, width, kept);
        const T mean = sum / T(tile.last - tile.first);
        const T around = column_reduce<Sum>(own.around(mean), width, kept);
        if (lane == 0 && inside) {
            const int64 to = tile.piece * (int64)columns + tile.column;
            sums[to] = sum;
            means[to] = mean;
            squares[to] = around;
        }
    }
}

// The pieces of each column put together: the mean of its differences from the first number, its mean
// and variance, and the weight 1 / sqrt(variance + epsilon).
template <typename T>
__device__ void feature_statistics(
    const T* x, const T* sums, const T* means, const T* squares, T* apart, T* mean, T* variance,
    T* weight, int64 rows, int columns, int pieces, int64 length, int width, T epsilon)
{
    __shared__ T kept[256];
    const int lane = threadIdx.x / width, lanes = blockDim.x / width;
    const int64 count = tiles(1, columns, 1, width);
    const T n = T(rows);

    for (int64 number = blockIdx.x; number < count; number += gridDim.x) {
        const Tile tile(number, pieces, columns, 1, pieces, width);
        const bool inside = tile.column < columns;
        T sum = T(0), around = T(0);
        if (inside)
            for (int64 piece = lane; piece < pieces; piece += lanes)
                sum += sums[piece * columns + tile.column];
        const T whole = column_reduce<Sum>(sum, width, kept) / n;
        if (inside)
            for (int64 piece = lane; piece < pieces; piece += lanes) {
                const int64 rest = rows - piece * length, at = piece * columns + tile.column;
                const T off = means[at] - whole;
                around += squares[at] + T(rest < length ? rest : length) * (off * off);
            }
        around = column_reduce<Sum>(around, width, kept) / n;
        if (lane == 0 && inside) {
            apart[tile.column] = whole;
            mean[tile.column] = x[tile.column] + whole;
            variance[tile.column] = around;
            weight[tile.column] = T(1) / sqrt(around + epsilon);
        }
    }
}

// y = scale z + offset, z = (x - x[0] - apart) weight, with a number of each for every column. Read one
// by one, since neighbours in a warp then have neighbouring words of all these, too.
template <typename T>
__device__ void feature_apply(
    const T* x, const T* apart, const T* weight, const T* scale, const T* offset, T* y, T* z,
    int64 rows, int columns, int team)
{
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;

    for (int64 row = (int64)blockIdx.x * rows_of_block + threadIdx.x / team; row < rows;
         row += (int64)gridDim.x * rows_of_block)
        for (uint32 j = rank; j < uint32(columns); j += team) {
            const int64 at = row * columns + j;
            const T normal = (x[at] - x[j] - apart[j]) * weight[j];
            z[at] = normal;
            y[at] = normal * scale[j] + offset[j];
        }
}

// Of each piece of each column: Σ g z, in the first half of the piece's sums, and Σ g, in the second.
template <typename T>
__device__ void feature_sums(
    const T* g, const T* z, T* sums, int64 rows, int columns, int pieces, int64 length, int width)
{
    __shared__ T kept[256];
    const int lane = threadIdx.x / width, lanes = blockDim.x / width;
    const int64 count = tiles(1, columns, pieces, width);

    for (int64 number = blockIdx.x; number < count; number += gridDim.x) {
        const Tile tile(number, rows, columns, pieces, length, width);
        const bool inside = tile.column < columns;
        T slope = T(0), total = T(0);
        if (inside)
            for (int64 row = tile.first + lane; row < tile.last; row += lanes) {
                const T upstream = g[row * columns + tile.column];
                slope += upstream * z[row * columns + tile.column];
                total += upstream;
            }
        slope = column_reduce<Sum>(slope, width, kept);
        total = column_reduce<Sum>(total, width, kept);
        if (lane == 0 && inside) {
            T* const to = sums + 2 * (int64)columns * tile.piece + tile.column;
            to[0] = slope;
            to[columns] = total;
        }
    }
}

// dx = scale weight (g - (Σ g + z Σ g z) / n), with the sums that feature_sums found.
template <typename T>
__device__ void feature_pull(
    const T* g, const T* z, const T* sums, const T* weight, const T* scale, T* dx, int64 rows,
    int columns, int team)
{
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const T* const totals = sums + columns;
    const T n = T(rows);

    for (int64 row = (int64)blockIdx.x * rows_of_block + threadIdx.x / team; row < rows;
         row += (int64)gridDim.x * rows_of_block)
        for (uint32 j = rank; j < uint32(columns); j += team) {
            const int64 at = row * columns + j;
            dx[at] = (g[at] - (z[at] * sums[j] + totals[j]) / n) * (weight[j] * scale[j]);
        }
}
