// Rows looked up at an index, and rows added up at one: what an embedding does, forward and back.
//
// Looking up is a copy. Adding up would want atomic additions, whose order differs from run to run.
// Here the index has been sorted (stably) instead: `order` lists the values by the row that they
// belong to, those of row r from offsets[r] to offsets[r + 1]. So each row of the result adds up
// its own values, one after the other, as a loop over the index would.
//
// A row with very many values (that of the padding) would keep one team of threads busy alone. Its
// values are cut into pieces of `chunk`; `segment_pieces` adds up each piece, `segment_sums` the
// pieces. Where a piece keeps its sum is found without counting pieces: of those that begin at a
// position from n chunk to (n + 1) chunk - 1 at most one opens a row, and at most one goes on with
// one. They have the places 2 n + 1 and 2 n.

// The threads of a block in teams, each for a row: enough for its packs, at most 32.
struct Teams {
    int lane, lanes;
    int64 team, count;

    __device__ __forceinline__ Teams(int64 width)
    {
        lanes = 1;
        while (lanes < 32 && lanes < width) lanes *= 2;
        lane = threadIdx.x % lanes;
        team = thread_in_grid() / lanes;
        count = threads_in_grid() / lanes;
    }
};

// Looking up ----------------------------------------------------------------------------------

template <typename P, typename T> __device__ __forceinline__ void
gather_packs(const T* x, const int64* index, T* y, int64 rows, int64 count, int64 length)
{
    const Teams teams(length / P::size);
    const T nan = infinity<T>() - infinity<T>();
    for (int64 i = teams.team; i < count; i += teams.count) {
        const int64 row = index[i] < 0 ? index[i] + rows : index[i];
        const bool inside = 0 <= row && row < rows;
        for (int64 j = teams.lane * P::size; j < length; j += teams.lanes * P::size) {
            P value;
            if (inside) value = *(const P*)(x + row * length + j);
            else for (int n = 0; n < P::size; n++) value.at[n] = nan;
            *(P*)(y + i * length + j) = value;
        }
    }
}

// y[i] = x[index[i]]; NaN for an index out of bounds, since nobody can raise an error from here.
template <typename T> __device__ void
gather_rows(const T* x, const int64* index, T* y, int64 rows, int64 count, int64 length)
{
    if (packs(x, length) && packs(y, length))
        gather_packs<Pack<T>>(x, index, y, rows, count, length);
    else
        gather_packs<One<T>>(x, index, y, rows, count, length);
}

// Adding up -----------------------------------------------------------------------------------

// sum += values[order[i]] for i from first to last, at column j. Most rows have a few values: two at a
// time take 46 registers, and four, as the compiler would have it, 106, so that half the warps fit.
template <typename P, typename T> __device__ __forceinline__ void add_up(
    P& sum, const T* values, const int64* order, int64 first, int64 last, int64 length, int64 j)
{
#pragma unroll 2
    for (int64 i = first; i < last; i++) {
        const P value = *(const P*)(values + order[i] * length + j);
        for (int n = 0; n < P::size; n++) sum.at[n] += value.at[n];
    }
}

template <typename P, typename T> __device__ __forceinline__ void
pieces_packs(const T* values, const int64* order, const int64* sorted, const int64* offsets,
    T* pieces, int64 rows, int64 count, int64 length, int chunk)
{
    const Teams teams(length / P::size);
    const int64 places = (count + chunk - 1) / chunk * 2;
    for (int64 place = teams.team; place < places; place += teams.count) {
        const int64 from = place / 2 * chunk, to = min(from + chunk, count);
        const bool opens = place % 2;
        // A row in pieces is longer than a chunk. So if one begins here it is that of the last
        // position; and if one goes on here, with a piece of its own, it is that of the first.
        const int64 row = sorted[opens ? to - 1 : from];
        if (row < 0 || row >= rows) continue;  // out of bounds: it is not added to any
        const int64 begin = offsets[row], end = offsets[row + 1];
        const int64 first = opens ? begin : begin + (from - begin + chunk - 1) / chunk * chunk;
        if (end - begin <= chunk || first < from || first >= end) continue;
        for (int64 j = teams.lane * P::size; j < length; j += teams.lanes * P::size) {
            P sum;
            for (int n = 0; n < P::size; n++) sum.at[n] = T(0);
            add_up(sum, values, order, first, min(first + chunk, end), length, j);
            *(P*)(pieces + place * length + j) = sum;
        }
    }
}

template <typename T> __device__ void segment_pieces(const T* values, const int64* order,
    const int64* sorted, const int64* offsets, T* pieces, int64 rows, int64 count, int64 length,
    int chunk)
{
    if (packs(values, length) && packs(pieces, length))
        pieces_packs<Pack<T>>(values, order, sorted, offsets, pieces, rows, count, length, chunk);
    else
        pieces_packs<One<T>>(values, order, sorted, offsets, pieces, rows, count, length, chunk);
}

template <typename P, typename T> __device__ __forceinline__ void
segments_packs(const T* values, const int64* order, const int64* offsets, const T* pieces,
    T* result, int64 rows, int64 length, int chunk)
{
    const Teams teams(length / P::size);
    for (int64 row = teams.team; row < rows; row += teams.count) {
        const int64 begin = offsets[row], end = offsets[row + 1];
        if (begin == end) continue;
        for (int64 j = teams.lane * P::size; j < length; j += teams.lanes * P::size) {
            P sum = *(const P*)(result + row * length + j);
            if (end - begin <= chunk) {
                add_up(sum, values, order, begin, end, length, j);
            } else {
                for (int64 first = begin; first < end; first += chunk) {
                    const int64 place = first / chunk * 2 + (first == begin);
                    const P piece = *(const P*)(pieces + place * length + j);
                    for (int n = 0; n < P::size; n++) sum.at[n] += piece.at[n];
                }
            }
            *(P*)(result + row * length + j) = sum;
        }
    }
}

// result[r] += the sum of the values of row r.
template <typename T> __device__ void segment_sums(const T* values, const int64* order,
    const int64* offsets, const T* pieces, T* result, int64 rows, int64 count, int64 length,
    int chunk)
{
    if (packs(values, length) && packs(pieces, length) && packs(result, length))
        segments_packs<Pack<T>>(values, order, offsets, pieces, result, rows, length, chunk);
    else
        segments_packs<One<T>>(values, order, offsets, pieces, result, rows, length, chunk);
}
