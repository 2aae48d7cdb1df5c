// Cross-entropy of softmax(x) and a label, or probabilities, for each row of logits x.
//
// A team of threads finds the softmax of its row as softmax.cu does (see softmax_of_row.cuh), and takes
// loss and slopes from it in the same pass: the logits of a row that is kept are read once, and never again.

#include "softmax_of_row.cuh"

// loss = -log softmax(x)[label], slopes = softmax(x) - one_hot(label), which is the gradient of x for an
// upstream gradient of 1. A label that is no class makes both NaN: the host cannot look at labels
// without waiting for the GPU.
template <typename T>
__device__ void sparse_cross_entropy(
    const T* x, const int64* labels, T* loss, T* slopes, int64 rows, int columns, int team, int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && packs(slopes, columns);
    T* const keep = kept ? kept_row<T>(columns, team) : nullptr;
    const auto logit = [](uint32, T value) { return value; };

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team, offset = row * columns;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const int64 label = row < rows ? labels[row] : 0;
        const bool is_class = 0 <= label && label < columns;
        Powers<T> powers = row_powers<false>(x + offset, mine, keep, spare, false, logit);
        if (!is_class) powers.total = infinity<T>() - infinity<T>();

        write_softmax<false, T>(x + offset, nullptr, slopes + offset, mine, keep, powers, logit,
                                [&](uint32 j, T y, T) { return j == label ? y - T(1) : y; });
        if (rank == 0 && row < rows)
            loss[row] = log(powers.total) - (is_class ? x[offset + label] - powers.top : T(0));
    }
}

// loss = -Σ_j targets[j] logarithms[j], with the logarithms of softmax(x), which are written too. A
// target of 0 takes no part, even where a logit is -inf.
template <typename T>
__device__ void dense_cross_entropy(
    const T* x, const T* targets, T* loss, T* logarithms, int64 rows, int columns, int team, int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(x, columns) && packs(targets, columns) && packs(logarithms, columns);
    T* const keep = kept ? kept_row<T>(columns, team) : nullptr;
    const auto logit = [](uint32, T value) { return value; };

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team, offset = row * columns;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const Powers<T> powers = row_powers<true>(x + offset, mine, keep, spare, false, logit);

        T sum = T(0);
        write_softmax<true>(x + offset, targets + offset, logarithms + offset, mine, keep, powers,
                            logit, [&](uint32, T y, T target) {
                                sum += target == T(0) ? T(0) : target * y;
                                return y;
                            });
        sum = team_reduce<Sum>(sum, team, spare);
        if (rank == 0 && row < rows) loss[row] = -sum;
    }
}

// The gradient of x: g (softmax(x) Σ_j targets[j] - targets).
template <typename T>
__device__ void dense_cross_entropy_backward(
    const T* g, const T* logarithms, const T* targets, T* dx, int64 rows, int columns, int team, int kept)
{
    __shared__ T spare[32];
    const uint32 rank = threadIdx.x % team, rows_of_block = blockDim.x / team;
    const bool packed = packs(logarithms, columns) && packs(targets, columns) && packs(dx, columns);
    T* const keep = kept ? kept_row<T>(columns, team) : nullptr;

    for (int64 start = (int64)blockIdx.x * rows_of_block; start < rows;
         start += (int64)gridDim.x * rows_of_block) {
        const int64 row = start + threadIdx.x / team, offset = row * columns;
        const Portion mine{row < rows ? uint32(columns) : 0u, rank, uint32(team), packed};
        const T* const wanted = targets + offset;
        uint32 count = 0, i = 0;
        T mass = T(0);
        read_row(wanted, mine, [&](uint32, T target) {
            if (keep != nullptr) keep[count++ * team] = target;
            mass += target;
        });
        mass = team_reduce<Sum>(mass, team, spare);
        const T upstream = row < rows ? g[row] : T(0);
        const auto slope = [&](T value, T target) { return upstream * (exp(value) * mass - target); };
        if (keep != nullptr)
            map_row(logarithms + offset, dx + offset, mine,
                    [&](uint32, T value) { return slope(value, keep[i++ * team]); });
        else
            map_rows(logarithms + offset, wanted, dx + offset, mine,
                     [&](uint32, T value, T target) { return slope(value, target); });
    }
}
