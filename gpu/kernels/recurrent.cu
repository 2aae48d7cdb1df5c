// One step of a recurrent network, but for the product with the recurrent kernel: the gates from
// what they are functions of, and the new state; and the way back.
//
// Every unit of every sample is for itself, and belongs to one thread. Of an array with a block of
// columns for each gate, (batch, gates * units), a thread reads one number in each block.
//
// Where a sample is padded (its `mask` is 0), its state is carried on. Then no gradient comes to
// the gates, and that of the state is carried back.

// LSTM ----------------------------------------------------------------------------------------

// i, f, o = logistic, and candidate = tanh, of z, which is the sum of two arrays or one alone;
// c' = f c + i candidate; h' = o tanh(c'). `h` is read only if there is padding.
template <typename T> __device__ void lstm_cell_forward(const T* z, const T* product, const T* h,
    const T* c, const unsigned char* mask, T* new_h, T* new_c, T* gates, int64 batch, int units)
{
    for (int64 at = thread_in_grid(); at < batch * units; at += threads_in_grid()) {
        const int64 sample = at / units, first = sample * 4 * units + at % units;
        T gate[4];
        for (int j = 0; j < 4; j++) {
            T sum = z[first + (int64)j * units];
            if (product != nullptr) sum += product[first + (int64)j * units];
            gate[j] = j == 2 ? tanh(sum) : logistic(sum);
            gates[first + (int64)j * units] = gate[j];
        }
        if (mask == nullptr || mask[sample]) {
            const T cell = gate[1] * c[at] + gate[0] * gate[2];
            new_c[at] = cell;
            new_h[at] = gate[3] * tanh(cell);
        } else {
            new_c[at] = c[at];
            new_h[at] = h[at];
        }
    }
}

// From the gradients of h' (a sum of up to three arrays) and c': those of z and of c; and, if there
// is padding, what is carried back to h. `before` and `after` are c and c'.
template <typename T> __device__ void lstm_cell_backward(const T* g, const T* product, T* carried,
    const T* g_cell, const T* gates, const T* before, const T* after, const unsigned char* mask,
    T* slopes, T* back, int64 batch, int units)
{
    for (int64 at = thread_in_grid(); at < batch * units; at += threads_in_grid()) {
        const int64 sample = at / units, first = sample * 4 * units + at % units;
        T of_h = g[at], of_c = g_cell[at];
        if (product != nullptr) of_h += product[at];
        if (carried != nullptr) of_h += carried[at];
        T gate[4];
        for (int j = 0; j < 4; j++) gate[j] = gates[first + (int64)j * units];
        const T squashed = tanh(after[at]);
        const bool passes = mask == nullptr || mask[sample];
        if (passes) of_c += of_h * gate[3] * (T(1) - squashed * squashed);
        T slope[4];
        slope[0] = of_c * gate[2] * (gate[0] * (T(1) - gate[0]));
        slope[1] = of_c * before[at] * (gate[1] * (T(1) - gate[1]));
        slope[2] = of_c * gate[0] * (T(1) - gate[2] * gate[2]);
        slope[3] = of_h * squashed * (gate[3] * (T(1) - gate[3]));
        for (int j = 0; j < 4; j++) slopes[first + (int64)j * units] = passes ? slope[j] : T(0);
        back[at] = passes ? of_c * gate[1] : of_c;
        if (carried != nullptr) carried[at] = passes ? T(0) : of_h;
    }
}

// GRU -----------------------------------------------------------------------------------------

// z, r = logistic(u + v), candidate = tanh(u + r v), h' = z h + (1 - z) candidate; u is `inputs`,
// and v is `inner`, plus a bias if there is one. `inside` is v's block for the candidate.
template <typename T> __device__ void gru_cell_forward(const T* inputs, const T* inner,
    const T* bias, const T* h, const unsigned char* mask, T* new_h, T* gates, T* inside,
    int64 batch, int units)
{
    for (int64 at = thread_in_grid(); at < batch * units; at += threads_in_grid()) {
        const int64 sample = at / units, unit = at % units, first = sample * 3 * units + unit;
        T gate[3], v = T(0);
        for (int j = 0; j < 3; j++) {
            const int64 place = first + (int64)j * units;
            v = inner[place];
            if (bias != nullptr) v += bias[unit + (int64)j * units];
            gate[j] = j < 2 ? logistic(inputs[place] + v) : tanh(inputs[place] + gate[1] * v);
            gates[place] = gate[j];
        }
        if (inside != nullptr) inside[at] = v;
        const bool passes = mask == nullptr || mask[sample];
        new_h[at] = passes ? gate[0] * h[at] + (T(1) - gate[0]) * gate[2] : h[at];
    }
}

// From the gradient of h' (a sum of up to three arrays): those of u and v, and what comes to h
// beside what comes through v.
template <typename T> __device__ void gru_cell_backward(const T* g, const T* product,
    const T* carried, const T* gates, const T* inside, const T* h, const unsigned char* mask,
    T* of_inputs, T* of_inner, T* back, int64 batch, int units)
{
    for (int64 at = thread_in_grid(); at < batch * units; at += threads_in_grid()) {
        const int64 sample = at / units, first = sample * 3 * units + at % units;
        T of_h = g[at];
        if (product != nullptr) of_h += product[at];
        if (carried != nullptr) of_h += carried[at];
        T gate[3], slope[3];
        for (int j = 0; j < 3; j++) gate[j] = gates[first + (int64)j * units];
        slope[0] = of_h * (h[at] - gate[2]) * (gate[0] * (T(1) - gate[0]));
        slope[2] = of_h * (T(1) - gate[0]) * (T(1) - gate[2] * gate[2]);
        slope[1] = slope[2] * inside[at] * (gate[1] * (T(1) - gate[1]));
        const bool passes = mask == nullptr || mask[sample];
        for (int j = 0; j < 3; j++) {
            const int64 place = first + (int64)j * units;
            of_inputs[place] = passes ? slope[j] : T(0);
            of_inner[place] = passes ? (j == 2 ? slope[2] * gate[1] : slope[j]) : T(0);
        }
        back[at] = passes ? of_h * gate[0] : of_h;
    }
}
