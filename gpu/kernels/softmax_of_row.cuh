// The softmax of a row.
//
// With top = max(x) and total = Σ exp(x[j] - top) it is exp(x[j] - top) / total. A row that is kept
// is read once. Another one is read twice: the first reading finds both at once, the sum relative to
// the largest number so far, and rescaled by exp(old top - new top) when a larger one comes (Milakov
// and Gimelshein 2018, Online normalizer calculation for softmax). Each thread does so for its own
// numbers; then their sums are brought to the common maximum, and added.

#include "rows.cuh"

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
