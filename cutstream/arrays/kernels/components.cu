// Components are trees: each pixel points to an earlier pixel of its component, the first pixel to itself (Komura 2015,
// Playne and Hawick 2018). A parent is only ever replaced by an earlier one, so a value that is read late is still an
// ancestor.

constexpr int NO_PARENT = -1;

__device__ int root(const volatile int* parents, int at)
{
    while (parents[at] != at)
        at = parents[at];
    return at;
}

__device__ void unite(int* parents, int a, int b)
{
    for (;;) {
        a = root(parents, a);
        b = root(parents, b);
        if (a == b)
            return;
        const int later = max(a, b), earlier = min(a, b);
        const int before = atomicMin(&parents[later], earlier);
        if (before == later)
            return;
        a = before;  // another thread has given `later` a parent meanwhile, which has to be united too
        b = earlier;
    }
}

extern "C" __global__ void init_components(const unsigned char* matte, int* parents, int height, int width, int above)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    parents[at] = matte[at] > above ? at : NO_PARENT;
}

extern "C" __global__ void join_components(int* parents, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height || parents[y * width + x] == NO_PARENT)
        return;
    const int at = y * width + x;
    if (x > 0 && parents[at - 1] != NO_PARENT)
        unite(parents, at, at - 1);
    for (int above = max(0, x - 1); y > 0 && above <= min(width - 1, x + 1); ++above)
        if (parents[at - width + above - x] != NO_PARENT)
            unite(parents, at, at - width + above - x);
}

// `sizes` begin at 0. The size of a component is counted at its root, to which every pixel points afterwards.
extern "C" __global__ void count_components(int* parents, int* sizes, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height || parents[y * width + x] == NO_PARENT)
        return;
    const int at = y * width + x, mine = root(parents, at);
    parents[at] = mine;
    atomicAdd(&sizes[mine], 1);
}

extern "C" __global__ void keep_component(
    const unsigned char* matte, const int* parents, const long long* chosen, unsigned char* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    out[at] = parents[at] == *chosen ? matte[at] : 0;
}

// Regions of background. Element 0 stands for the outside, and pixel n is element n + 1. Background pixels at the
// border point to the outside from the beginning.
extern "C" __global__ void init_holes(const unsigned char* matte, int* parents, int height, int width, int above)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    const bool at_border = x == 0 || y == 0 || x == width - 1 || y == height - 1;
    if (at == 0)
        parents[0] = 0;
    parents[at + 1] = matte[at] > above ? NO_PARENT : at_border ? 0 : at + 1;
}

extern "C" __global__ void join_holes(int* parents, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x + 1;
    if (parents[at] == NO_PARENT)
        return;
    if (x > 0 && parents[at - 1] != NO_PARENT)
        unite(parents, at, at - 1);
    if (y > 0 && parents[at - width] != NO_PARENT)
        unite(parents, at, at - width);
}

extern "C" __global__ void fill_holes(
    const unsigned char* matte, const int* parents, unsigned char* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    out[at] = parents[at + 1] != NO_PARENT && root(parents, at + 1) != 0 ? 255 : matte[at];
}
