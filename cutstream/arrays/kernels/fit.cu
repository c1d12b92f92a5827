// The guided filter's fit with a colour guide. One thread per pixel; windows are small.

__device__ int mirrored(int at, int length)
{
    if (length == 1)
        return 0;
    while (at < 0 || at >= length)
        at = at < 0 ? -at : 2 * (length - 1) - at;
    return at;
}

// Sums are whole numbers, and so exact. The system is solved by elimination: in float, cofactors cancel on grey photos.
extern "C" __global__ void fit_windows(
    const unsigned char* guide, const unsigned char* matte, float4* fits,
    int height, int width, int columns, int rows, float noise)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    int sums[13] = {0};
    for (int i = 0; i < rows; ++i) {
        const size_t row = (size_t)mirrored(y + i - rows / 2, height) * width;
        for (int j = 0; j < columns; ++j) {
            const size_t at = row + mirrored(x + j - columns / 2, width);
            const int r = guide[3 * at], g = guide[3 * at + 1], b = guide[3 * at + 2], a = matte[at];
            const int terms[13] = {r, g, b, a, r * r, r * g, r * b, g * g, g * b, b * b, r * a, g * a, b * a};
            for (int k = 0; k < 13; ++k)
                sums[k] += terms[k];
        }
    }
    float m[13];
    const float share = (float)(1.0 / (columns * rows));
    for (int k = 0; k < 13; ++k)
        m[k] = sums[k] * share;
    const float red = m[0], green = m[1], blue = m[2], alpha = m[3];
    const float rr = m[4] - red * red + noise, rg = m[5] - red * green, rb = m[6] - red * blue;
    float gg = m[7] - green * green + noise, gb = m[8] - green * blue, bb = m[9] - blue * blue + noise;
    float ra = m[10] - red * alpha, ga = m[11] - green * alpha, ba = m[12] - blue * alpha;
    float ratio = rg / rr;
    gg -= ratio * rg;
    gb -= ratio * rb;
    ga -= ratio * ra;
    ratio = rb / rr;
    bb -= ratio * rb;
    ba -= ratio * ra;
    ratio = gb / gg;
    bb -= ratio * gb;
    ba -= ratio * ga;
    ba /= bb;
    ga = (ga - gb * ba) / gg;
    ra = (ra - rg * ga - rb * ba) / rr;
    fits[(size_t)y * width + x] = {ra, ga, ba, alpha - ra * red - ga * green - ba * blue};
}

extern "C" __global__ void average_fits(const float4* fits, float4* out, int height, int width, int columns, int rows)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    float4 sum = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int i = 0; i < rows; ++i) {
        const size_t row = (size_t)mirrored(y + i - rows / 2, height) * width;
        for (int j = 0; j < columns; ++j) {
            const float4 fit = fits[row + mirrored(x + j - columns / 2, width)];
            sum = {sum.x + fit.x, sum.y + fit.y, sum.z + fit.z, sum.w + fit.w};
        }
    }
    const float share = (float)(1.0 / (columns * rows));
    out[(size_t)y * width + x] = {sum.x * share, sum.y * share, sum.z * share, sum.w * share};
}
