// Estimate the foreground and background colours (f32, 0..255) that are mixed in each pixel. One thread per pixel.

// The position of a pixel between those of a grid that covers the same image at another size.
struct Position {
    size_t upper_left, upper_right, lower_left, lower_right;
    float across, down;
};

__device__ Position position(int x, int y, int rows, int columns, int height, int width)
{
    const float column = (x + 0.5f) * columns / width - 0.5f, row = (y + 0.5f) * rows / height - 0.5f;
    const int left = (int)floorf(column), top = (int)floorf(row);
    const size_t above = (size_t)min(max(top, 0), rows - 1) * columns;
    const size_t below = (size_t)min(max(top + 1, 0), rows - 1) * columns;
    const int before = min(max(left, 0), columns - 1), after = min(max(left + 1, 0), columns - 1);
    return {3 * (above + before), 3 * (above + after), 3 * (below + before), 3 * (below + after), column - left, row - top};
}

__device__ float lerp(float a, float b, float share)
{
    return a + (b - a) * share;
}

__device__ float interpolated(const float* grid, const Position& at, int channel)
{
    const float* plane = grid + channel;
    return lerp(
        lerp(plane[at.upper_left], plane[at.lower_left], at.down),
        lerp(plane[at.upper_right], plane[at.lower_right], at.down), at.across);
}

__device__ float level(float value)
{
    return fminf(fmaxf(value, 0.0f), 255.0f);
}

extern "C" __global__ void enlarge(const float* colours, int rows, int columns, float* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const Position at = position(x, y, rows, columns, height, width);
    for (int channel = 0; channel < 3; ++channel)
        out[3 * ((size_t)y * width + x) + channel] = interpolated(colours, at, channel);
}

__device__ float mean(const float* colours, int x, int y, int channel, int height, int width)
{
    float sum = 0.0f;
    for (int i = y - 1; i <= y + 1; ++i) {
        const float* row = colours + 3 * (size_t)min(max(i, 0), height - 1) * width + channel;
        for (int j = x - 1; j <= x + 1; ++j)
            sum += row[3 * min(max(j, 0), width - 1)];
    }
    return sum * (1.0f / 9.0f);
}

extern "C" __global__ void foreground_sweep(
    const unsigned char* pixels, const unsigned char* alpha, const float* foreground, const float* background,
    float* out_foreground, float* out_background, int height, int width, float regularisation)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    const float share = alpha[at] * (1.0f / 255.0f), rest = 1.0f - share;
    const float scale = share * share + rest * rest + regularisation;
    for (int channel = 0; channel < 3; ++channel) {
        const float front = mean(foreground, x, y, channel, height, width);
        const float behind = mean(background, x, y, channel, height, width);
        const float error = pixels[3 * at + channel] - behind - share * (front - behind);
        out_foreground[3 * at + channel] = level(front + share / scale * error);
        out_background[3 * at + channel] = level(behind + rest / scale * error);
    }
}

extern "C" __global__ void foreground_solve(
    const unsigned char* pixels, const unsigned char* alpha, const float* foreground, const float* background,
    int rows, int columns, unsigned char* out, int height, int width, float regularisation)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    const bool undecided = alpha[at] > 0 && alpha[at] < 255;
    const float share = alpha[at] * (1.0f / 255.0f), rest = 1.0f - share;
    const float gain = share / (share * share + rest * rest + regularisation);
    const Position where = position(x, y, rows, columns, height, width);
    for (size_t channel = 0; channel < 3; ++channel) {
        const unsigned char pixel = pixels[3 * at + channel];
        const float front = interpolated(foreground, where, channel);
        const float behind = interpolated(background, where, channel);
        const float error = pixel - behind - share * (front - behind);
        out[3 * at + channel] = undecided ? (int)level(rintf(front + gain * error)) : pixel;
    }
}
