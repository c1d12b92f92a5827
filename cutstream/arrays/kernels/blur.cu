// Windows over rows, then over columns. The border is mirrored without repeating the edge.

__device__ int mirrored(int at, int length)
{
    if (length == 1)
        return 0;
    while (at < 0 || at >= length)
        at = at < 0 ? -at : 2 * (length - 1) - at;
    return at;
}

// Sums of rows. `box_columns` divides by the area of the whole window.
extern "C" __global__ void box_rows(const float* plane, float* out, int height, int width, int window)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const float* row = plane + (size_t)y * width;
    float sum = 0.0f;
    for (int i = 0; i < window; ++i)
        sum += row[mirrored(x + i - window / 2, width)];
    out[(size_t)y * width + x] = sum;
}

extern "C" __global__ void box_columns(const float* sums, float* out, int height, int width, int window, float area)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    float sum = 0.0f;
    for (int i = 0; i < window; ++i)
        sum += sums[(size_t)mirrored(y + i - window / 2, height) * width + x];
    out[(size_t)y * width + x] = sum / area;
}

// Weights are in units of 1/256 and add up to 256, so the sum of a row fits 16 bits and only the final result is
// rounded.
extern "C" __global__ void gaussian_rows(
    const unsigned char* matte, const int* weights, unsigned short* out, int height, int width, int window)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const unsigned char* row = matte + (size_t)y * width;
    int sum = 0;
    for (int i = 0; i < window; ++i)
        sum += weights[i] * row[mirrored(x + i - window / 2, width)];
    out[(size_t)y * width + x] = sum;
}

extern "C" __global__ void gaussian_columns(
    const unsigned short* sums, const int* weights, unsigned char* out, int height, int width, int window)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    int sum = 1 << 15;
    for (int i = 0; i < window; ++i)
        sum += weights[i] * sums[(size_t)mirrored(y + i - window / 2, height) * width + x];
    out[(size_t)y * width + x] = sum >> 16;
}
