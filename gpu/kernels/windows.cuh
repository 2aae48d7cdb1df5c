// Windows on images: where each lies, and which elements it sees.

// The last digit of `rest`, a number written in the base `size`, which loses it. So the index of an
// element is taken apart, the innermost axis first. A division of 64 bits would take four times as long.
__device__ __forceinline__ int digit(uint32& rest, int size)
{
    const uint32 whole = rest / (uint32)size;
    const int last = (int)(rest - whole * (uint32)size);
    rest = whole;
    return last;
}

// One axis of an array with windows on it: window `o` sees the elements o stride + i dilation - before,
// for `i` from 0 to `window`; there are `length` of them.
struct Axis {
    int size, window, stride, dilation, before, length;

    // What window `o` sees at offset `i`: an element, or a place in the margins.
    __device__ __forceinline__ int seen(int o, int i) const
    {
        return o * stride + i * dilation - before;
    }

    __device__ __forceinline__ bool has(int element) const { return element >= 0 && element < size; }

    // Which window sees an element at offset `i`; -1 if none does.
    __device__ __forceinline__ int seer(int element, int i) const
    {
        const int start = element + before - i * dilation;
        const int o = stride == 1 ? start : start / stride;
        return start >= 0 && o < length && o * stride == start ? o : -1;
    }

    // How many elements window `o` sees, without the margins, where the dilation is 1.
    __device__ __forceinline__ int count(int o) const
    {
        const int start = o * stride - before, end = start + window;
        return (end < size ? end : size) - (start > 0 ? start : 0);
    }
};

// Windows on the two axes of images, (images, height, width, channels); and the parameters that every
// kernel with windows has, as gpu/windows.py lists them. An image, a block's blockIdx.y, has less than
// 2^31 numbers; where it starts may be further.
struct Windows {
    int64 images;
    Axis down, across;
    int channels;
};

#define WINDOW_PARAMETERS                                                                          \
    int64 images, int height, int width, int channels, int out_height, int out_width,              \
        int window_height, int window_width, int stride_down, int stride_across,                   \
        int dilation_down, int dilation_across, int top, int left

#define WINDOWS_OF(size)                                                                           \
    Windows                                                                                        \
    {                                                                                              \
        images, {height, window_height, stride_down, dilation_down, top, out_height},              \
            {width, window_width, stride_across, dilation_across, left, out_width}, channels / size \
    }
