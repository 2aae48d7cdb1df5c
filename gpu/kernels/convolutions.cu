// What the windows of a convolution see, laid out as the rows of a matrix, and the way back.
//
// im2col copies: of every window, each element that it sees, (image, o, p, i, j, channel). A block
// takes a row of windows (image, o), whose result lies together, or several share one, as the rows of
// a sequence are few and long; neighbouring threads write neighbours. In one row of x a window sees a run of neighbours, unless dilation parts them, so that
// they are read together as well.
//
// col2im adds up, at each element of x, what all windows that see it hold for it. A thread has one
// element and gathers, offset by offset: no two threads write to one place, so the sum needs no
// atomics, and has the same order, and the same roundings, every time.
//
// Both are written once, for single numbers and for packs of 16 bytes (V), which are taken where the
// channels are a multiple of a pack; `channels` counts V's below.

#include "windows.cuh"

template <typename T, template <typename> class V>
__device__ __forceinline__ void im2col_of(const T* numbers, T* result, const Windows& windows)
{
    const Axis &down = windows.down, &across = windows.across;
    const int channels = windows.channels;
    const V<T>* x = (const V<T>*)numbers;
    V<T>* columns = (V<T>*)result;
    const bool together = across.dilation == 1;
    const int run = together ? across.window * channels : channels;
    const int64 line = (int64)across.size * channels;                            // of x
    const uint32 length = across.length * down.window * across.window * channels; // of a row
    const int64 rows = windows.images * down.length;
    for (int64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const int64 image = row / down.length;
        const int o = (int)(row - image * down.length);
        const V<T>* source = x + image * down.size * line;
        V<T>* target = columns + row * length;
        for (uint32 at = blockIdx.y * blockDim.x + threadIdx.x; at < length;
             at += gridDim.y * blockDim.x) {
            uint32 rest = at;
            const int within = digit(rest, run);
            const int j = together ? 0 : digit(rest, across.window);
            const int i = digit(rest, down.window);
            const int y = down.seen(o, i);
            const int64 place = (int64)across.seen((int)rest, j) * channels + within;
            const bool inside = down.has(y) && place >= 0 && place < line;
            target[at] = inside ? source[y * line + place] : V<T>();
        }
    }
}

template <typename T, template <typename> class V>
__device__ __forceinline__ void col2im_of(const T* numbers, T* result, const Windows& windows)
{
    const Axis &down = windows.down, &across = windows.across;
    const int64 images = windows.images;
    const int channels = windows.channels;
    const V<T>* columns = (const V<T>*)numbers;
    V<T>* x = (V<T>*)result;
    const int64 count = (int64)down.size * across.size * channels; // of an image
    const int64 step = (int64)gridDim.x * blockDim.x;
    for (int64 image = blockIdx.y; image < images; image += gridDim.y)
    for (int64 at = (int64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
        uint32 rest = (uint32)at;
        const int channel = digit(rest, channels);
        const int column = digit(rest, across.size), row = (int)rest;
        V<T> total = V<T>();
        for (int i = 0; i < down.window; ++i) {
            const int o = down.seer(row, i);
            if (o < 0) continue;
            for (int j = 0; j < across.window; ++j) {
                const int p = across.seer(column, j);
                if (p < 0) continue;
                const int64 plane = ((int64)i * across.window + j) * images + image;
                const int64 window = (plane * down.length + o) * across.length + p;
                const V<T> each = columns[window * channels + channel];
                for (int n = 0; n < V<T>::size; ++n) total.at[n] += each.at[n];
            }
        }
        x[image * count + at] = total;
    }
}

template <typename T> __device__ void im2col(const T* x, T* columns, WINDOW_PARAMETERS)
{
    if (packs(x, channels) && packs(columns, channels))
        im2col_of<T, Pack>(x, columns, WINDOWS_OF(Pack<T>::size));
    else
        im2col_of<T, One>(x, columns, WINDOWS_OF(1));
}

template <typename T> __device__ void col2im(const T* columns, T* x, WINDOW_PARAMETERS)
{
    if (packs(columns, channels) && packs(x, channels))
        col2im_of<T, Pack>(columns, x, WINDOWS_OF(Pack<T>::size));
    else
        col2im_of<T, One>(columns, x, WINDOWS_OF(1));
}
