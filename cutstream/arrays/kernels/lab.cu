// OpenCV's fixed-point CIE Lab conversion (D65), with the same coefficients, shifts and rounding, so that both back
// ends give the same results. `fixed_point.py` makes the tables. One thread per pixel.

__device__ int rounded(int value, int shift)
{
    return (value + (1 << (shift - 1))) >> shift;
}

__device__ int level(int value)
{
    return min(max(value, 0), 255);
}

// f of X, Y or Z. The coefficients are those of sRGB relative to the white point, in units of 1/4096: they add up to
// 4096.
__device__ int root(const unsigned short* roots, int red, int green, int blue, int r, int g, int b)
{
    return roots[rounded(red * r + green * g + blue * b, 12)];
}

extern "C" __global__ void to_lab(
    const unsigned char* pixels, const unsigned short* linear, const unsigned short* roots, unsigned char* out,
    int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = 3 * ((size_t)y * width + x);
    const int red = linear[pixels[at]], green = linear[pixels[at + 1]], blue = linear[pixels[at + 2]];
    const int fx = root(roots, red, green, blue, 1777, 1541, 778);
    const int fy = root(roots, red, green, blue, 871, 2929, 296);
    const int fz = root(roots, red, green, blue, 73, 448, 3575);
    out[at] = level(rounded(296 * fy - 1336934, 15));  // 116 · 255 / 100 and 16 · 255 / 100
    out[at + 1] = level(rounded(500 * (fx - fy) + (128 << 15), 15));
    out[at + 2] = level(rounded(200 * (fy - fz) + (128 << 15), 15));
}

// Linear light from f(light), both in units of 1/16384. Divisions of negative values round towards zero.
__device__ int light(int f)
{
    return f <= 3390 ? f * 108 / 841 - 290 : f * f / 16384 * f / 16384;
}

__device__ int coded(const unsigned char* levels, int x, int y, int z, int from_x, int from_y, int from_z)
{
    return levels[min(max(rounded(x * from_x + y * from_y + z * from_z, 14), 0), 4095)];
}

extern "C" __global__ void from_lab(
    const unsigned char* lab, const int* lightness, const unsigned char* levels, unsigned char* out,
    int height, int width)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= width || row >= height)
        return;
    const size_t at = 3 * ((size_t)row * width + column);
    const int y = lightness[2 * lab[at]], fy = lightness[2 * lab[at] + 1];
    const int x = light(fy + ((lab[at + 1] * 268435 + 128) >> 13) - 4194);  // (a - 128) / 500
    const int z = light(fy - ((lab[at + 2] * 41943 + 16) >> 9) + 10484);  // (b - 128) / 200, plus OpenCV's 1
    out[at] = coded(levels, x, y, z, 12615, -6296, -2223);
    out[at + 1] = coded(levels, x, y, z, -3773, 7684, 185);
    out[at + 2] = coded(levels, x, y, z, 217, -836, 4715);
}
