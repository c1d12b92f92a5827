// Per-pixel operations on the whole photo. One thread per pixel.

__device__ float4 lerp(float4 a, float4 b, float share)
{
    return {a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share, a.z + (b.z - a.z) * share, a.w + (b.w - a.w) * share};
}

extern "C" __global__ void local_linear(
    const float4* coefficients, int rows, int columns, const unsigned char* pixels, unsigned char* out,
    int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const float column = (x + 0.5f) * columns / width - 0.5f, row = (y + 0.5f) * rows / height - 0.5f;
    const int left = (int)floorf(column), top = (int)floorf(row);
    const float4* above = coefficients + (size_t)min(max(top, 0), rows - 1) * columns;
    const float4* below = coefficients + (size_t)min(max(top + 1, 0), rows - 1) * columns;
    const int before = min(max(left, 0), columns - 1), after = min(max(left + 1, 0), columns - 1);
    const float4 c = lerp(
        lerp(above[before], above[after], column - left), lerp(below[before], below[after], column - left), row - top);
    const unsigned char* pixel = pixels + 3 * ((size_t)y * width + x);
    const float alpha = pixel[0] * c.x + pixel[1] * c.y + pixel[2] * c.z + c.w;
    out[(size_t)y * width + x] = (int)fminf(fmaxf(rintf(alpha), 0.0f), 255.0f);
}

extern "C" __global__ void rgba(
    const unsigned char* pixels, const unsigned char* alpha, unsigned char* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    for (int channel = 0; channel < 3; ++channel)
        out[4 * at + channel] = alpha[at] ? pixels[3 * at + channel] : 0;
    out[4 * at + 3] = alpha[at];
}

extern "C" __global__ void blend(
    const unsigned char* pixels, const unsigned char* alpha, unsigned char* out,
    int height, int width, int red, int green, int blue)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    const int colour[3] = {red, green, blue}, weight = alpha[at];
    for (int channel = 0; channel < 3; ++channel)
        out[3 * at + channel] = (pixels[3 * at + channel] * weight + colour[channel] * (255 - weight) + 127) / 255;
}

extern "C" __global__ void composite_over(
    const unsigned char* pixels, const unsigned char* alpha, const unsigned char* background, unsigned char* out,
    int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    const int weight = alpha[at];
    for (size_t sample = 3 * at; sample < 3 * at + 3; ++sample)
        out[sample] = (pixels[sample] * weight + background[sample] * (255 - weight) + 127) / 255;
}

// One thread per sample. `table` has a row of `channels` entries for each of the 256 values.
extern "C" __global__ void lookup(
    const unsigned char* pixels, const unsigned char* table, unsigned char* out, int height, int samples, int channels)
{
    const int sample = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (sample >= samples || y >= height)
        return;
    const size_t at = (size_t)y * samples + sample;
    out[at] = table[pixels[at] * channels + sample % channels];
}
