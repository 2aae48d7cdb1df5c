// Steps of optimisers over flat runs of parameters, and the size of a gradient.
//
// A step reads and writes each array once: memory sets the pace, so numbers are moved 16 bytes at a
// time. What is asked of all elements goes in two stages: every block answers for those that its
// threads stride over, and another launch puts the answers together. The order depends on the
// length alone.

// Plain descent -------------------------------------------------------------------------------

template <typename P, typename T> __device__ __forceinline__ void sgd_packs(T* w, const T* g,
    T* velocity, int64 first, int64 last, T rate, T momentum, bool nesterov, T decay)
{
    for (int64 i = first + thread_in_grid() * P::size; i < last; i += threads_in_grid() * P::size) {
        P weight = *(const P*)(w + i), slope = *(const P*)(g + i), speed;
        if (velocity != nullptr) speed = *(const P*)(velocity + i);
        for (int j = 0; j < P::size; j++) {
            T step = slope.at[j];
            if (decay != T(0)) step += decay * weight.at[j];
            if (velocity != nullptr) {
                speed.at[j] = speed.at[j] * momentum + step;
                step = nesterov ? step + momentum * speed.at[j] : speed.at[j];
            }
            weight.at[j] -= rate * step;
        }
        *(P*)(w + i) = weight;
        if (velocity != nullptr) *(P*)(velocity + i) = speed;
    }
}

template <typename T> __device__ void sgd_step(
    T* w, const T* g, T* velocity, int64 size, T rate, T momentum, int nesterov, T decay)
{
    int64 packed = 0;  // elements that are moved by packs; the few that are left, one by one
    if (packs(w, 0) && packs(g, 0) && packs(velocity, 0)) packed = size - size % Pack<T>::size;
    sgd_packs<Pack<T>>(w, g, velocity, 0, packed, rate, momentum, nesterov, decay);
    sgd_packs<One<T>>(w, g, velocity, packed, size, rate, momentum, nesterov, decay);
}

// Adam ----------------------------------------------------------------------------------------

// What a step of Adam multiplies by: `keep` and `renew` old and new in the running means, `correct`
// both means for their start at 0.
template <typename T> struct Rates {
    T rate, keep_m, keep_v, renew_m, renew_v, correct_m, correct_v, epsilon, decay;
    bool as_printed;
};

template <typename P, typename T> __device__ __forceinline__ void
adam_packs(T* w, const T* g, T* m, T* v, int64 first, int64 last, const Rates<T>& by)
{
    for (int64 i = first + thread_in_grid() * P::size; i < last; i += threads_in_grid() * P::size) {
        P weight = *(const P*)(w + i), mean = *(const P*)(m + i), square = *(const P*)(v + i);
        const P given = *(const P*)(g + i);
        for (int j = 0; j < P::size; j++) {
            T slope = given.at[j];
            if (by.decay != T(0)) slope += by.decay * weight.at[j];
            mean.at[j] = mean.at[j] * by.keep_m + by.renew_m * slope;
            square.at[j] = square.at[j] * by.keep_v + by.renew_v * (slope * slope);
            const T step = by.rate * (mean.at[j] * by.correct_m);
            if (by.as_printed)
                weight.at[j] -= step * by.correct_v;
            else
                weight.at[j] -= step / (sqrt(square.at[j] * by.correct_v) + by.epsilon);
        }
        *(P*)(w + i) = weight;
        *(P*)(m + i) = mean;
        *(P*)(v + i) = square;
    }
}

template <typename T> __device__ void adam_step(T* w, const T* g, T* m, T* v, int64 size, T rate,
    T keep_m, T keep_v, T renew_m, T renew_v, T correct_m, T correct_v, T epsilon, T decay,
    int as_printed)
{
    const Rates<T> by = {rate, keep_m, keep_v, renew_m, renew_v, correct_m, correct_v, epsilon,
        decay, as_printed != 0};
    int64 packed = 0;
    if (packs(w, 0) && packs(g, 0) && packs(m, 0) && packs(v, 0))
        packed = size - size % Pack<T>::size;
    adam_packs<Pack<T>>(w, g, m, v, 0, packed, by);
    adam_packs<One<T>>(w, g, m, v, packed, size, by);
}

// Sums over all elements ----------------------------------------------------------------------

// Calls f(x[i]) for the elements of a thread: the threads of all parts stride over x side by side.
template <typename T, typename F> __device__ __forceinline__ void
for_each(const T* x, int64 size, int part, int parts, F f)
{
    const int64 packed = packs(x, 0) ? size - size % Pack<T>::size : 0;
    const int64 first = (int64)part * blockDim.x + threadIdx.x, stride = (int64)parts * blockDim.x;
    for (int64 i = first * Pack<T>::size; i < packed; i += stride * Pack<T>::size) {
        const Pack<T> value = load_pack(x + i);
        for (int j = 0; j < Pack<T>::size; j++) f(value.at[j]);
    }
    for (int64 i = packed + first; i < size; i += stride) f(x[i]);
}

template <typename T> __device__ void square_sums(const T* x, T* sums, int64 size, int parts)
{
    __shared__ T spare[32];
    for (int part = blockIdx.x; part < parts; part += gridDim.x) {
        T sum = T(0);
        for_each(x, size, part, parts, [&](T value) { sum += value * value; });
        sum = block_reduce<Sum>(sum, spare);
        if (threadIdx.x == 0) sums[part] = sum;
    }
}

// Is an element of the part infinite or NaN? Such a one, taken from itself, does not give 0.
template <typename T> __device__ void odd_parts(const T* x, int* odd, int64 size, int parts)
{
    for (int part = blockIdx.x; part < parts; part += gridDim.x) {
        int found = 0;
        for_each(x, size, part, parts, [&](T value) { found |= value - value != T(0); });
        found = __syncthreads_or(found);
        if (threadIdx.x == 0) odd[part] = found != 0;
    }
}

// By one block: is no part odd?
template <typename T> __device__ void none_odd(const int* odd, unsigned char* result, int count)
{
    int found = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) found |= odd[i];
    found = __syncthreads_or(found);
    if (threadIdx.x == 0) result[0] = found == 0;
}

// g * limit / norm where the norm, which the host has not seen, is above the limit; NaN is.
template <typename T> __device__ void clip_to_norm(T* g, const T* norm, int64 size, T limit)
{
    const T factor = limit / larger(norm[0], limit);
    if (factor == T(1)) return;
    const int64 packed = packs(g, 0) ? size - size % Pack<T>::size : 0;
    const int64 stride = threads_in_grid() * Pack<T>::size;
    for (int64 i = thread_in_grid() * Pack<T>::size; i < packed; i += stride) {
        Pack<T> value = load_pack(g + i);
        for (int j = 0; j < Pack<T>::size; j++) value.at[j] *= factor;
        store_pack(g + i, value);
    }
    for (int64 i = packed + thread_in_grid(); i < size; i += threads_in_grid()) g[i] *= factor;
}
