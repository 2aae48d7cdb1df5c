// Activations, with or without a bias before them; the way back, with the gradient of the bias.
//
// Forward, every element is for itself: y = f(x + bias). The threads stride over the array, 16
// bytes at a time; each keeps track of its column, or it would have to divide at every step.
//
// On the way back the gradient of x is g f'(x + bias), and that of the bias its sum over the rows.
// A block goes down a chunk of rows and a strip of columns, writes the one and adds up the other;
// the sums of the chunks are then added up, always in the same order.

#include "columns.cuh"

template <typename T> __device__ __forceinline__ T smaller(T a, T b) { return -larger(-a, -b); }

// Between -limit and limit; NaN stays.
template <typename T> __device__ __forceinline__ T held(T x, T limit)
{
    return larger(smaller(x, limit), -limit);
}

// Each activation: its value at z; its derivative, of z and its value y; and its share, which is
// what z is multiplied by, if anything is.
struct Relu {
    template <typename T> static __device__ T share(T z) { return T(1); }
    template <typename T> static __device__ T value(T z) { return larger(z, T(0)); }
    template <typename T> static __device__ T slope(T z, T y) { return T(y > T(0)); }
};

struct Sigmoid {
    template <typename T> static __device__ T share(T z) { return T(1); }
    template <typename T> static __device__ T value(T z) { return logistic(z); }
    template <typename T> static __device__ T slope(T z, T y) { return y * (T(1) - y); }
};

struct Tanh {
    template <typename T> static __device__ T share(T z) { return T(1); }
    template <typename T> static __device__ T value(T z) { return tanh(z); }
    template <typename T> static __device__ T slope(T z, T y) { return T(1) - y * y; }
};

struct Silu {
    template <typename T> static __device__ T share(T z) { return logistic(z); }
    template <typename T> static __device__ T value(T z) { return larger(z, T(-800)) * share(z); }
    template <typename T> static __device__ T slope(T z, T y)
    {
        const T part = share(z);
        return part + smaller(y, T(100)) * (T(1) - part);  // y is infinite where 1 - part is 0
    }
};

// Beyond 40 the normal distribution function, and its approximation, are 0 or 1.
struct Gelu {
    template <typename T> static __device__ T share(T z)
    {
        return T(0.5) * erfc(z * T(-0.7071067811865476));  // -sqrt(1/2)
    }
    template <typename T> static __device__ T value(T z) { return larger(z, T(-40)) * share(z); }
    template <typename T> static __device__ T slope(T z, T y)
    {
        const T h = held(z, T(40));
        return share(z) + h * (exp(h * h * T(-0.5)) * T(0.3989422804014327));  // 1 / sqrt(2 pi)
    }
};

// (1 + tanh(u)) / 2 is logistic(2 u), which keeps its relative accuracy where it is small; u is
// sqrt(2/pi) (h + 0.044715 h^3).
struct GeluTanh {
    template <typename T> static __device__ T share(T z)
    {
        const T h = held(z, T(40));
        return logistic(h * (T(1) + T(0.044715) * (h * h)) * T(1.5957691216057308));
    }
    template <typename T> static __device__ T value(T z) { return larger(z, T(-40)) * share(z); }
    template <typename T> static __device__ T slope(T z, T y)
    {
        const T h = held(z, T(40)), part = share(z);
        return part
            + h * (part * (T(1) - part)) * ((T(1) + T(0.134145) * (h * h)) * T(1.5957691216057308));
    }
};

struct Erf {
    template <typename T> static __device__ T share(T z) { return T(1); }
    template <typename T> static __device__ T value(T z) { return erf(z); }
};

struct Erfc {
    template <typename T> static __device__ T share(T z) { return T(1); }
    template <typename T> static __device__ T value(T z) { return erfc(z); }
};

// Forward, for one activation A and packs P: elements from `first` to before `last`. With a bias
// these are rows; `column` counts the packs of one.
template <typename A, typename P, typename T> __device__ __forceinline__ void
forward_packs(const T* x, const T* bias, T* y, T* share, int64 first, int64 last, int columns)
{
    const int width = bias == nullptr ? 1 : columns / P::size;
    const int step = threads_in_grid() % width;
    int column = thread_in_grid() % width;
    for (int64 i = first + thread_in_grid() * P::size; i < last; i += threads_in_grid() * P::size) {
        P z = *(const P*)(x + i), part;
        if (bias != nullptr) {
            const P added = ((const P*)bias)[column];
            for (int j = 0; j < P::size; j++) z.at[j] += added.at[j];
        }
        for (int j = 0; j < P::size; j++) {
            if (share != nullptr) part.at[j] = A::share(z.at[j]);
            z.at[j] = A::value(z.at[j]);
        }
        *(P*)(y + i) = z;
        if (share != nullptr) *(P*)(share + i) = part;
        column -= width - step;  // their sum could be beyond an int
        if (column < 0) column += width;
    }
}

template <typename A, typename T> __device__ __forceinline__ void
forward_any(const T* x, const T* bias, T* y, T* share, int64 size, int columns)
{
    int64 packed = 0;  // elements that are moved by packs: all, or but a few if there is no bias
    if (packs(x, 0) && packs(bias, bias == nullptr ? 0 : columns) && packs(y, 0) && packs(share, 0))
        packed = size - size % Pack<T>::size;
    if (packed > 0) forward_packs<A, Pack<T>>(x, bias, y, share, 0, packed, columns);
    forward_packs<A, One<T>>(x, bias, y, share, packed, size, columns);
}

// y = f(x + bias); and by what f multiplied its argument, if `share` is asked for.
template <typename T> __device__ void bias_activation_forward(
    const T* x, const T* bias, T* y, T* share, int64 size, int columns, int activation)
{
    switch (activation) {
    case 0: return forward_any<Relu>(x, bias, y, share, size, columns);
    case 1: return forward_any<Sigmoid>(x, bias, y, share, size, columns);
    case 2: return forward_any<Tanh>(x, bias, y, share, size, columns);
    case 3: return forward_any<Silu>(x, bias, y, share, size, columns);
    case 4: return forward_any<Gelu>(x, bias, y, share, size, columns);
    case 5: return forward_any<GeluTanh>(x, bias, y, share, size, columns);
    case 6: return forward_any<Erf>(x, bias, y, share, size, columns);
    case 7: return forward_any<Erfc>(x, bias, y, share, size, columns);
    }
}

// The way back, for one activation A and packs P. A block is at a strip of columns, of which each
// thread has a pack, and goes down a chunk of rows; see column_reduce.
template <typename A, typename P, typename T> __device__ __forceinline__ void
backward_packs(const T* g, const T* y, const T* x, const T* bias, T* slope, T* sums, T* kept,
    int64 rows, int columns, int chunks)
{
    const int packs_of_row = columns / P::size;
    int width = 1;
    while (width < 32 && width < packs_of_row) width *= 2;
    const int across = (packs_of_row - 1) / width + 1, line = threadIdx.x / width;
    const int64 length = (rows + chunks - 1) / chunks;
    for (int64 tile = blockIdx.x; tile < (int64)across * chunks; tile += gridDim.x) {
        const int chunk = int(tile / across);
        const int column = (int(tile % across) * width + threadIdx.x % width) * P::size;
        const int64 last = column < columns ? min(rows, (chunk + 1) * length) : 0;
        P sum, added = {};
        for (int j = 0; j < P::size; j++) sum.at[j] = T(0);
        if (x != nullptr && column < columns) added = *(const P*)(bias + column);
        for (int64 row = chunk * length + line; row < last; row += blockDim.x / width) {
            const int64 offset = row * columns + column;
            const P value = *(const P*)(y + offset), given = *(const P*)(g + offset);
            P z = value, result;
            if (x != nullptr) {
                z = *(const P*)(x + offset);
                for (int j = 0; j < P::size; j++) z.at[j] += added.at[j];
            }
            for (int j = 0; j < P::size; j++) {
                result.at[j] = given.at[j] * A::slope(z.at[j], value.at[j]);
                sum.at[j] += result.at[j];
            }
            *(P*)(slope + offset) = result;
        }
        for (int j = 0; j < P::size; j++) {
            const T total = column_reduce<Sum>(sum.at[j], width, kept);
            if (line == 0 && column < columns) sums[(int64)chunk * columns + column + j] = total;
        }
    }
}

template <typename A, typename T> __device__ __forceinline__ void
backward_any(const T* g, const T* y, const T* x, const T* bias, T* slope, T* sums, T* kept,
    int64 rows, int columns, int chunks)
{
    if (packs(g, columns) && packs(y, columns) && packs(x, columns) && packs(bias, columns)
        && packs(slope, columns))
        backward_packs<A, Pack<T>>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    else
        backward_packs<A, One<T>>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
}

// The gradient of x, and of each chunk of rows its sum. relu, sigmoid and tanh read y only.
template <typename T> __device__ void bias_activation_backward(const T* g, const T* y, const T* x,
    const T* bias, T* slope, T* sums, int64 rows, int columns, int chunks, int activation)
{
    __shared__ T kept[256];
    switch (activation) {
    case 0: return backward_any<Relu>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    case 1: return backward_any<Sigmoid>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    case 2: return backward_any<Tanh>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    case 3: return backward_any<Silu>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    case 4: return backward_any<Gelu>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    case 5: return backward_any<GeluTanh>(g, y, x, bias, slope, sums, kept, rows, columns, chunks);
    }
}
