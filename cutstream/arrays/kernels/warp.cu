// One thread per pixel of the result, which computes its position in the source. Positions are float32, as in OpenCV.

// Pixels outside are 0, and so are positions at infinity, which are not numbers.
__device__ float sample(
    const unsigned char* pixels, int rows, int columns, int channels, int channel, int y, int x)
{
    if (x < 0 || x >= columns || y < 0 || y >= rows)
        return 0.0f;
    return pixels[((size_t)y * columns + x) * channels + channel];
}

extern "C" __global__ void warp(
    const unsigned char* pixels, const double* matrix, int rows, int columns, int channels,
    unsigned char* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const double centre_x = x + 0.5, centre_y = y + 0.5;
    const double scale = matrix[6] * centre_x + matrix[7] * centre_y + matrix[8];
    const float column = (float)((matrix[0] * centre_x + matrix[1] * centre_y + matrix[2]) / scale - 0.5);
    const float row = (float)((matrix[3] * centre_x + matrix[4] * centre_y + matrix[5]) / scale - 0.5);
    const bool near = column > -1.0f && column < columns && row > -1.0f && row < rows;
    const int left = near ? (int)floorf(column) : -2, top = near ? (int)floorf(row) : -2;
    const float across = near ? column - left : 0.0f, down = near ? row - top : 0.0f;
    for (int channel = 0; channel < channels; ++channel) {
        const auto at = [=](int i, int j) { return sample(pixels, rows, columns, channels, channel, i, j); };
        const float above = at(top, left) + (at(top, left + 1) - at(top, left)) * across;
        const float below = at(top + 1, left) + (at(top + 1, left + 1) - at(top + 1, left)) * across;
        out[((size_t)y * width + x) * channels + channel] = (int)rintf(above + (below - above) * down);
    }
}
