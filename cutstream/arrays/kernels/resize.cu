// OpenCV's arithmetic, with the same weights, order of sums and rounding, so that both back ends give the same pixels.
// One thread per sample of the result. A row has columns × channels samples.

__device__ int clamped(int value, int maximum)
{
    return value < 0 ? 0 : value > maximum ? maximum : value;
}

// The weights of the two source pixels around a pixel of the result, in units of 1/2048.
struct Neighbours {
    int floor, before, after;
};

__device__ Neighbours neighbours(int at, int source, int target)
{
    const float exact = (float)((at + 0.5) * ((double)source / target) - 0.5);
    const float whole = floorf(exact);
    const float fraction = exact - whole;
    return {(int)whole, (int)rintf((1.0f - fraction) * 2048.0f), (int)rintf(fraction * 2048.0f)};
}

extern "C" __global__ void resize_linear(
    const unsigned char* pixels, int rows, int columns, int channels, unsigned char* out, int height, int width)
{
    const int sample = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (sample >= width * channels || y >= height)
        return;
    const Neighbours x = neighbours(sample / channels, columns, width), row = neighbours(y, rows, height);
    const size_t left = (size_t)clamped(x.floor, columns - 1) * channels + sample % channels;
    const size_t right = (size_t)clamped(x.floor + 1, columns - 1) * channels + sample % channels;
    const unsigned char* above = pixels + (size_t)clamped(row.floor, rows - 1) * columns * channels;
    const unsigned char* below = pixels + (size_t)clamped(row.floor + 1, rows - 1) * columns * channels;
    const int upper = (row.before * ((above[left] * x.before + above[right] * x.after) >> 4)) >> 16;
    const int lower = (row.after * ((below[left] * x.before + below[right] * x.after) >> 4)) >> 16;
    out[(size_t)y * width * channels + sample] = clamped((upper + lower + 2) >> 2, 255);
}

// The source pixels under a pixel of the result, along one axis: whole ones from `begin` to `end`, and parts of their
// neighbours.
struct Span {
    int begin, end;
    float before, whole, after;
};

__device__ Span span(int at, int source, int target)
{
    const double scale = (double)source / target;
    const double from = at * scale, to = from + scale;
    const double size = scale < source - from ? scale : source - from;
    const int end = min((int)floor(to), source - 1);
    const int begin = min((int)ceil(from), end);
    const double head = begin - from, tail = to - end;
    const double limit = size < 1.0 ? size : 1.0;
    return {begin, end,
            head > 1e-3 ? (float)(head / size) : 0.0f,
            (float)(1.0 / size),
            tail > 1e-3 ? (float)((tail < limit ? tail : limit) / size) : 0.0f};
}

template <typename Load>
__device__ float row_of(const Span& columns, int y, Load load)
{
    float sum = 0.0f;
    if (columns.before > 0.0f)
        sum += load(y, columns.begin - 1) * columns.before;
    for (int x = columns.begin; x < columns.end; ++x)
        sum += load(y, x) * columns.whole;
    if (columns.after > 0.0f)
        sum += load(y, columns.end) * columns.after;
    return sum;
}

// The mean of the source pixels under a pixel of the result, rounded to nearest.
template <typename Load>
__device__ int area(int y, int x, int rows, int columns, int height, int width, Load load)
{
    if (rows % height == 0 && columns % width == 0) {
        const int tall = rows / height, wide = columns / width;
        unsigned long long sum = 0;
        for (int i = y * tall; i < (y + 1) * tall; ++i)
            for (int j = x * wide; j < (x + 1) * wide; ++j)
                sum += load(i, j);
        return tall == 2 && wide == 2 ? (int)((sum + 2) >> 2) : (int)rintf((float)sum * (1.0f / (tall * wide)));
    }
    const Span down = span(y, rows, height), across = span(x, columns, width);
    float sum = 0.0f;
    if (down.before > 0.0f)
        sum += row_of(across, down.begin - 1, load) * down.before;
    for (int i = down.begin; i < down.end; ++i)
        sum += row_of(across, i, load) * down.whole;
    if (down.after > 0.0f)
        sum += row_of(across, down.end, load) * down.after;
    return (int)rintf(sum);
}

extern "C" __global__ void resize_area(
    const unsigned char* pixels, int rows, int columns, int channels, unsigned char* out, int height, int width)
{
    const int sample = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (sample >= width * channels || y >= height)
        return;
    const unsigned char* plane = pixels + sample % channels;
    const auto load = [=](int i, int j) { return plane[((size_t)i * columns + j) * channels]; };
    const int mean = area(y, sample / channels, rows, columns, height, width, load);
    out[(size_t)y * width * channels + sample] = clamped(mean, 255);
}

// One thread per pixel. Its alpha weights its three colours.
extern "C" __global__ void shrink(
    const unsigned char* pixels, const unsigned char* alpha, int rows, int columns,
    unsigned char* out, unsigned char* out_alpha, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const size_t at = (size_t)y * width + x;
    const auto opaque = [=](int i, int j) { return 255 * alpha[(size_t)i * columns + j]; };
    const int weight = area(y, x, rows, columns, height, width, opaque);
    const int small_alpha = (weight + 127) / 255;
    out_alpha[at] = small_alpha;
    for (int channel = 0; channel < 3; ++channel) {
        const auto premultiplied = [=](int i, int j) {
            const size_t from = (size_t)i * columns + j;
            return pixels[3 * from + channel] * alpha[from];
        };
        const int colour = area(y, x, rows, columns, height, width, premultiplied);
        out[3 * at + channel] = small_alpha ? clamped((int)rintf(255.0f * colour / weight), 255) : 0;
    }
}
