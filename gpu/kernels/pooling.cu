// The maximum or the mean of each window, channel by channel, and their gradients.
//
// Forward, a thread has one result and meets the elements of its window. Backward, it has one element
// of x and gathers from the windows that see it, offset by offset: no two threads write to one place.
// The maximum's gradient is shared equally among a window's largest elements, so each window first
// counts them (max_pool_shares). Where no element is seen twice, which is the usual case, a thread has
// a whole window instead and writes what it sees, with the gap up to the next window: x is read and
// written once, in one kernel (max_pool_backward_apart).
//
// Each is written once, for single numbers and for packs of 16 bytes (V), which are taken where the
// channels are a multiple of a pack; `channels` counts V's below.

#include "windows.cuh"

// Is an element the largest of its window, `best`? Of NaN, NaN is.
template <typename T> __device__ __forceinline__ bool hits(T element, T best)
{
    return element == best || (is_nan(element) && is_nan(best));
}

// A thread's place: a window, or an element, of an image; and a channel.
struct Place {
    int64 image;
    int y, x, channel;
};

template <typename T, template <typename> class V> struct Pools : Windows {
    __device__ __forceinline__ Pools(const Windows& given) : Windows(given) {}

    static __device__ __forceinline__ int64 first()
    {
        return (int64)blockIdx.x * blockDim.x + threadIdx.x;
    }
    static __device__ __forceinline__ int64 step() { return (int64)gridDim.x * blockDim.x; }

    static __device__ __forceinline__ V<T> get(const T* p, int64 i) { return ((const V<T>*)p)[i]; }
    static __device__ __forceinline__ void put(T* p, int64 i, const V<T>& value)
    {
        ((V<T>*)p)[i] = value;
    }

    // Of an image, how many windows (with a channel) there are, and the place of one by its number.
    __device__ __forceinline__ int64 windows() const
    {
        return (int64)down.length * across.length * channels;
    }
    __device__ __forceinline__ Place window(int64 image, int64 number) const
    {
        uint32 rest = (uint32)number;
        const int channel = digit(rest, channels), x = digit(rest, across.length);
        return Place{image, (int)rest, x, channel};
    }
    // The index of the window at (y, x), in the same image and channel.
    __device__ __forceinline__ int64 window(const Place& at, int y, int x) const
    {
        return ((at.image * down.length + y) * across.length + x) * channels + at.channel;
    }

    // The same of elements.
    __device__ __forceinline__ int64 elements() const
    {
        return (int64)down.size * across.size * channels;
    }
    __device__ __forceinline__ Place element(int64 image, int64 number) const
    {
        uint32 rest = (uint32)number;
        const int channel = digit(rest, channels), x = digit(rest, across.size);
        return Place{image, (int)rest, x, channel};
    }
    __device__ __forceinline__ int64 element(const Place& at, int y, int x) const
    {
        return ((at.image * down.size + y) * across.size + x) * channels + at.channel;
    }

    // What a window sees at an offset: an element, or -inf in the margins.
    __device__ __forceinline__ V<T> seen(const T* x, const Place& at, int i, int j) const
    {
        const int row = down.seen(at.y, i), column = across.seen(at.x, j);
        if (down.has(row) && across.has(column))
            return get(x, element(at, row, column));
        V<T> margin;
        for (int n = 0; n < V<T>::size; ++n) margin.at[n] = -infinity<T>();
        return margin;
    }

    __device__ void max_pool(const T* x, T* y) const
    {
        for (int64 image = blockIdx.y; image < images; image += gridDim.y)
        for (int64 number = first(); number < windows(); number += step()) {
            const Place place = window(image, number);
            const int64 at = image * windows() + number;
            V<T> best = seen(x, place, 0, 0);
            for (int i = 0; i < down.window; ++i)
                for (int j = 0; j < across.window; ++j) {
                    const V<T> each = seen(x, place, i, j);
                    for (int n = 0; n < V<T>::size; ++n) best.at[n] = larger(best.at[n], each.at[n]);
                }
            put(y, at, best);
        }
    }

    // Of one window, the part of its gradient that each of its largest elements gets.
    __device__ __forceinline__ V<T> share(
        const V<T>& g, const V<T>& best, const T* x, const Place& place) const
    {
        int counts[V<T>::size] = {};
        for (int i = 0; i < down.window; ++i)
            for (int j = 0; j < across.window; ++j) {
                const V<T> each = seen(x, place, i, j);
                for (int n = 0; n < V<T>::size; ++n) counts[n] += hits(each.at[n], best.at[n]);
            }
        V<T> result;
        for (int n = 0; n < V<T>::size; ++n) result.at[n] = g.at[n] / T(counts[n]);
        return result;
    }

    __device__ void max_pool_shares(const T* g, const T* y, const T* x, T* shares) const
    {
        for (int64 image = blockIdx.y; image < images; image += gridDim.y)
        for (int64 number = first(); number < windows(); number += step()) {
            const int64 at = image * windows() + number;
            put(shares, at, share(get(g, at), get(y, at), x, window(image, number)));
        }
    }

    __device__ void max_pool_gather(
        const T* shares, const T* y, const T* x, T* gradient) const
    {
        for (int64 image = blockIdx.y; image < images; image += gridDim.y)
        for (int64 number = first(); number < elements(); number += step()) {
            const Place place = element(image, number);
            const int64 at = image * elements() + number;
            const V<T> value = get(x, at);
            V<T> total = V<T>();
            for (int i = 0; i < down.window; ++i) {
                const int o = down.seer(place.y, i);
                if (o < 0) continue;
                for (int j = 0; j < across.window; ++j) {
                    const int p = across.seer(place.x, j);
                    if (p < 0) continue;
                    const int64 from = window(place, o, p);
                    const V<T> best = get(y, from), each = get(shares, from);
                    for (int n = 0; n < V<T>::size; ++n)
                        total.at[n] += each.at[n] * T(hits(value.at[n], best.at[n]));
                }
            }
            put(gradient, at, total);
        }
    }

    // The elements from the start of window `o`, or of the axis, up to the next window's, or the end.
    static __device__ __forceinline__ int start(const Axis& axis, int o)
    {
        return o == 0 ? 0 : o == axis.length ? axis.size : o * axis.stride - axis.before;
    }

    __device__ void max_pool_backward_apart(
        const T* g, const T* y, const T* x, T* gradient) const
    {
        for (int64 image = blockIdx.y; image < images; image += gridDim.y)
        for (int64 number = first(); number < windows(); number += step()) {
            const Place place = window(image, number);
            const int64 at = image * windows() + number;
            const V<T> best = get(y, at), each = share(get(g, at), best, x, place);
            const int top = down.seen(place.y, 0), left = across.seen(place.x, 0);
            for (int row = start(down, place.y); row < start(down, place.y + 1); ++row)
                for (int column = start(across, place.x); column < start(across, place.x + 1);
                     ++column) {
                    const int64 to = element(place, row, column);
                    V<T> result = V<T>();
                    if (row < top + down.window && column < left + across.window) {
                        const V<T> value = get(x, to);
                        for (int n = 0; n < V<T>::size; ++n)
                            result.at[n] = each.at[n] * T(hits(value.at[n], best.at[n]));
                    }
                    put(gradient, to, result);
                }
        }
    }

    // Sums go down each column of a window first.
    __device__ void avg_pool(const T* x, T* y) const
    {
        for (int64 image = blockIdx.y; image < images; image += gridDim.y)
        for (int64 number = first(); number < windows(); number += step()) {
            const Place place = window(image, number);
            const int64 at = image * windows() + number;
            V<T> total = V<T>();
            for (int j = 0; j < across.window; ++j) {
                const int column = across.seen(place.x, j);
                if (!across.has(column)) continue;
                V<T> sum = V<T>();
                for (int i = 0; i < down.window; ++i) {
                    const int row = down.seen(place.y, i);
                    if (!down.has(row)) continue;
                    const V<T> each = get(x, element(place, row, column));
                    for (int n = 0; n < V<T>::size; ++n) sum.at[n] += each.at[n];
                }
                for (int n = 0; n < V<T>::size; ++n) total.at[n] += sum.at[n];
            }
            const T count = T(down.count(place.y) * across.count(place.x));
            for (int n = 0; n < V<T>::size; ++n) total.at[n] /= count;
            put(y, at, total);
        }
    }

    __device__ void avg_pool_backward(const T* g, T* gradient) const
    {
        for (int64 image = blockIdx.y; image < images; image += gridDim.y)
        for (int64 number = first(); number < elements(); number += step()) {
            const Place place = element(image, number);
            const int64 at = image * elements() + number;
            V<T> total = V<T>();
            for (int i = 0; i < down.window; ++i) {
                const int o = down.seer(place.y, i);
                if (o < 0) continue;
                V<T> sum = V<T>();
                for (int j = 0; j < across.window; ++j) {
                    const int p = across.seer(place.x, j);
                    if (p < 0) continue;
                    const T count = T(down.count(o) * across.count(p));
                    const V<T> each = get(g, window(place, o, p));
                    for (int n = 0; n < V<T>::size; ++n) sum.at[n] += each.at[n] / count;
                }
                for (int n = 0; n < V<T>::size; ++n) total.at[n] += sum.at[n];
            }
            put(gradient, at, total);
        }
    }
};

// May packs of all these arrays' channels be read and written?
template <typename T>
__device__ __forceinline__ bool all_pack(
    int channels, const T* a, const T* b, const T* c = nullptr, const T* d = nullptr)
{
    return packs(a, channels) && packs(b, channels) && packs(c, channels) && packs(d, channels);
}

template <typename T> __device__ void max_pool(const T* x, T* y, WINDOW_PARAMETERS)
{
    if (all_pack(channels, x, y))
        Pools<T, Pack>(WINDOWS_OF(Pack<T>::size)).max_pool(x, y);
    else
        Pools<T, One>(WINDOWS_OF(1)).max_pool(x, y);
}

template <typename T>
__device__ void max_pool_shares(
    const T* g, const T* y, const T* x, T* shares, WINDOW_PARAMETERS)
{
    if (all_pack(channels, g, y, x, shares))
        Pools<T, Pack>(WINDOWS_OF(Pack<T>::size)).max_pool_shares(g, y, x, shares);
    else
        Pools<T, One>(WINDOWS_OF(1)).max_pool_shares(g, y, x, shares);
}

template <typename T>
__device__ void max_pool_gather(
    const T* shares, const T* y, const T* x, T* gradient, WINDOW_PARAMETERS)
{
    if (all_pack(channels, shares, y, x, gradient))
        Pools<T, Pack>(WINDOWS_OF(Pack<T>::size)).max_pool_gather(shares, y, x, gradient);
    else
        Pools<T, One>(WINDOWS_OF(1)).max_pool_gather(shares, y, x, gradient);
}

template <typename T>
__device__ void max_pool_backward_apart(
    const T* g, const T* y, const T* x, T* gradient, WINDOW_PARAMETERS)
{
    if (all_pack(channels, g, y, x, gradient))
        Pools<T, Pack>(WINDOWS_OF(Pack<T>::size)).max_pool_backward_apart(g, y, x, gradient);
    else
        Pools<T, One>(WINDOWS_OF(1)).max_pool_backward_apart(g, y, x, gradient);
}

template <typename T> __device__ void avg_pool(const T* x, T* y, WINDOW_PARAMETERS)
{
    if (all_pack(channels, x, y))
        Pools<T, Pack>(WINDOWS_OF(Pack<T>::size)).avg_pool(x, y);
    else
        Pools<T, One>(WINDOWS_OF(1)).avg_pool(x, y);
}

template <typename T> __device__ void avg_pool_backward(const T* g, T* gradient, WINDOW_PARAMETERS)
{
    if (all_pack(channels, g, gradient))
        Pools<T, Pack>(WINDOWS_OF(Pack<T>::size)).avg_pool_backward(g, gradient);
    else
        Pools<T, One>(WINDOWS_OF(1)).avg_pool_backward(g, gradient);
}
