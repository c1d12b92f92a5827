// Components as trees: each pixel points to an earlier one of its component, the earliest to itself (Komura 2015,
// Playne and Hawick 2018). Parents only ever become earlier, so a value that is read late is an ancestor still.

constexpr int NOWHERE = -1;

__device__ int root(const volatile int* parents, int at)
{
    while (parents[at] != at)
        at = parents[at];
    return at;
}

__device__ void unite(int* parents, int one, int other)
{
    for (;;) {
        one = root(parents, one);
        other = root(parents, other);
        if (one == other)
            return;
        const int later = max(one, other), earlier = min(one, other);
        const int before = atomicMin(&parents[later], earlier);
        if (before == later)
            return;
        one = before;  // another thread was faster: what it hung there has to be united too
        other = earlier;
    }
}

extern "C" __global__ void plant(const unsigned char* matte, int* parents, int height, int width, int above)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    parents[at] = matte[at] > above ? at : NOWHERE;
}

extern "C" __global__ void join(int* parents, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height || parents[y * width + x] == NOWHERE)
        return;
    const int at = y * width + x;
    if (x > 0 && parents[at - 1] != NOWHERE)
        unite(parents, at, at - 1);
    for (int above = max(0, x - 1); y > 0 && above <= min(width - 1, x + 1); ++above)
        if (parents[at - width + above - x] != NOWHERE)
            unite(parents, at, at - width + above - x);
}

// `sizes` begin at 0; a component's is counted at its root, which every pixel then points to.
extern "C" __global__ void weigh(int* parents, int* sizes, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height || parents[y * width + x] == NOWHERE)
        return;
    const int at = y * width + x, mine = root(parents, at);
    parents[at] = mine;
    atomicAdd(&sizes[mine], 1);
}

extern "C" __global__ void keep(
    const unsigned char* matte, const int* parents, const long long* chosen, unsigned char* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    out[at] = parents[at] == *chosen ? matte[at] : 0;
}

// Regions of background: what lies outside is the first of all, and each pixel's place is one later. Those at the frame
// point outside from the beginning.
extern "C" __global__ void plant_gaps(const unsigned char* matte, int* parents, int height, int width, int above)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    const bool at_frame = x == 0 || y == 0 || x == width - 1 || y == height - 1;
    if (at == 0)
        parents[0] = 0;
    parents[at + 1] = matte[at] > above ? NOWHERE : at_frame ? 0 : at + 1;
}

extern "C" __global__ void join_gaps(int* parents, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x + 1;
    if (parents[at] == NOWHERE)
        return;
    if (x > 0 && parents[at - 1] != NOWHERE)
        unite(parents, at, at - 1);
    if (y > 0 && parents[at - width] != NOWHERE)
        unite(parents, at, at - width);
}

extern "C" __global__ void fill(
    const unsigned char* matte, const int* parents, unsigned char* out, int height, int width)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    const int at = y * width + x;
    out[at] = parents[at + 1] != NOWHERE && root(parents, at + 1) != 0 ? 255 : matte[at];
}
