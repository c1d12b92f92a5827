// Dilation if `flip` is 0, erosion if it is 255: the minimum of values is the maximum of their complements. Pixels
// outside count as 0 after the flip, so they never win.

extern "C" __global__ void extremum(
    const unsigned char* matte, const unsigned char* footprint, unsigned char* out,
    int height, int width, int rows, int columns, int flip)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    int best = 0;
    for (int i = max(0, rows / 2 - y); i < min(rows, height - y + rows / 2); ++i) {
        const unsigned char* row = matte + (size_t)(y + i - rows / 2) * width;
        for (int j = max(0, columns / 2 - x); j < min(columns, width - x + columns / 2); ++j)
            if (footprint[i * columns + j])
                best = max(best, row[x + j - columns / 2] ^ flip);
    }
    out[(size_t)y * width + x] = best ^ flip;
}

// Van Herk 1992, Gil and Werman 1993: each window is the end of one run of `window` values and the beginning of the
// next, so three comparisons per pixel are enough for any window. One thread per run of a column.
extern "C" __global__ void extremum_columns(
    const unsigned char* matte, unsigned char* out, int height, int width, int window, int flip)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int top = (blockIdx.y * blockDim.y + threadIdx.y) * window;
    if (x >= width || top >= height)
        return;
    const int first = top - window / 2;
    int best = 0;
    for (int i = window - 1; i >= 0; --i) {
        if (first + i >= 0 && first + i < height)
            best = max(best, matte[(size_t)(first + i) * width + x] ^ flip);
        if (top + i < height)
            out[(size_t)(top + i) * width + x] = best ^ flip;
    }
    best = 0;
    for (int i = 1; i < window && top + i < height; ++i) {
        const int next = first + window + i - 1;
        if (next < height)
            best = max(best, matte[(size_t)next * width + x] ^ flip);
        unsigned char* const at = out + (size_t)(top + i) * width + x;
        *at = max(best, *at ^ flip) ^ flip;
    }
}

constexpr int TILE = 32;

// Blocks of 32 × 8. Both reads and writes follow rows. The extra column puts the columns of the tile into different
// banks.
extern "C" __global__ void transpose(const unsigned char* matte, unsigned char* out, int height, int width)
{
    __shared__ unsigned char tile[TILE][TILE + 1];
    int x = blockIdx.x * TILE + threadIdx.x;
    for (int i = threadIdx.y; i < TILE; i += blockDim.y) {
        const int y = blockIdx.y * TILE + i;
        if (x < width && y < height)
            tile[i][threadIdx.x] = matte[(size_t)y * width + x];
    }
    __syncthreads();
    x = blockIdx.y * TILE + threadIdx.x;
    for (int i = threadIdx.y; i < TILE; i += blockDim.y) {
        const int y = blockIdx.x * TILE + i;
        if (x < height && y < width)
            out[(size_t)y * height + x] = tile[threadIdx.x][i];
    }
}
