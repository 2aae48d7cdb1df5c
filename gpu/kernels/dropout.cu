// Dropout: y = x / (1 - rate), or 0 where a random word is below a threshold.
//
// The words come from Philox 4x32-10 (Salmon et al. 2011), four at a time by ten rounds over a
// counter and a key; each is a function of its number alone. A thread makes four words, for four
// elements, and nobody writes the mask down.

struct Words {
    uint32 at[4];
};

__device__ __forceinline__ Words philox(uint64 number, uint64 key)
{
    uint32 a = (uint32)number, b = (uint32)(number >> 32), c = 0, d = 0;
    uint32 k0 = (uint32)key, k1 = (uint32)(key >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64 left = (uint64)a * 0xD2511F53u, right = (uint64)c * 0xCD9E8D57u;
        a = (uint32)(right >> 32) ^ b ^ k0;
        c = (uint32)(left >> 32) ^ d ^ k1;
        b = (uint32)right;
        d = (uint32)left;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const Words words = {{a, b, c, d}};
    return words;
}

// `first` is the number of the first four words.
template <typename T> __device__ void dropout_forward(
    const T* x, T* y, int64 size, T scale, uint32 threshold, uint64 key, uint64 first)
{
    const bool packed = packs(x, Pack<T>::size) && packs(y, Pack<T>::size);
    for (int64 i = thread_in_grid(); i < (size + 3) / 4; i += threads_in_grid()) {
        const Words words = philox(first + i, key);
        if (packed && 4 * i + 4 <= size) {
            for (int part = 0; part < 4; part += Pack<T>::size) {
                Pack<T> value = load_pack(x + 4 * i + part);
                for (int j = 0; j < Pack<T>::size; j++)
                    value.at[j] = words.at[part + j] >= threshold ? value.at[j] * scale : T(0);
                store_pack(y + 4 * i + part, value);
            }
        } else {
            for (int j = 0; j < 4; j++)
                if (4 * i + j < size)
                    y[4 * i + j] = words.at[j] >= threshold ? x[4 * i + j] * scale : T(0);
        }
    }
}
