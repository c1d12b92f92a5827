// Each block reduces in shared memory and adds its result to the total once. Blocks are one-dimensional.

constexpr int LEVELS = 256;

// `counts` begin at 0. Any number of blocks of any size.
extern "C" __global__ void histogram(const unsigned char* matte, unsigned int* counts, long long size)
{
    __shared__ unsigned int mine[LEVELS];
    for (int level = threadIdx.x; level < LEVELS; level += blockDim.x)
        mine[level] = 0;
    __syncthreads();
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < size; at += step)
        atomicAdd(&mine[matte[at]], 1u);
    __syncthreads();
    for (int level = threadIdx.x; level < LEVELS; level += blockDim.x)
        if (mine[level])
            atomicAdd(&counts[level], mine[level]);
}

// `reach` begins at 0. It becomes the distance of the farthest value > `above` from the right, the bottom, the left and
// the top edge.
extern "C" __global__ void bounding_box(const unsigned char* matte, int* reach, int height, int width, int above)
{
    __shared__ int mine[4];
    if (threadIdx.x < 4)
        mine[threadIdx.x] = 0;
    __syncthreads();
    const long long size = (long long)height * width, step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < size; at += step)
        if (matte[at] > above) {
            const int x = (int)(at % width), y = (int)(at / width);
            atomicMax(&mine[0], width - x);
            atomicMax(&mine[1], height - y);
            atomicMax(&mine[2], x + 1);
            atomicMax(&mine[3], y + 1);
        }
    __syncthreads();
    if (threadIdx.x < 4)
        atomicMax(&reach[threadIdx.x], mine[threadIdx.x]);
}
