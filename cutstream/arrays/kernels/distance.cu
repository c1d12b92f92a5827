// Exact squared distances, first along the columns, then along the rows.

constexpr int NONE = -1;  // no 0 in this column

// Rows to the nearest 0 of the same column. One thread per column.
extern "C" __global__ void distance_columns(const unsigned char* matte, int* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width || blockIdx.y || threadIdx.y)
        return;
    int far = NONE;
    for (int y = 0; y < height; ++y) {
        const size_t at = (size_t)y * width + x;
        far = matte[at] == 0 ? 0 : far == NONE ? NONE : far + 1;
        out[at] = far;
    }
    far = NONE;
    for (int y = height - 1; y >= 0; --y) {
        const size_t at = (size_t)y * width + x;
        far = out[at] == 0 ? 0 : far == NONE ? NONE : far + 1;
        if (far != NONE && (out[at] == NONE || far < out[at]))
            out[at] = far;
    }
}

__device__ long long nearest(long long best, const int* row, int at, int width, long long step)
{
    if (at < 0 || at >= width || row[at] == NONE)
        return best;
    return min(best, step * step + (long long)row[at] * row[at]);
}

// A pixel searches its row no further than its best distance so far.
extern "C" __global__ void distance_rows(const int* columns, float* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const long long unknown = 1LL << 62;
    const int* row = columns + (size_t)y * width;
    long long best = nearest(unknown, row, x, width, 0);
    for (long long step = 1; step < width && step * step < best; ++step) {
        best = nearest(best, row, x - (int)step, width, step);
        best = nearest(best, row, x + (int)step, width, step);
    }
    out[(size_t)y * width + x] = best == unknown ? sqrtf(3.402823466e38f) : sqrtf((float)best);
}
