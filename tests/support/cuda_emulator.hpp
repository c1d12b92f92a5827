// Enough of CUDA to run the kernels as C++ on the host: one block after another, its threads as fibres that change
// places at __syncthreads only, forwards or backwards. Whatever depends on threads running at the same time is not shown
// by it; a missing __syncthreads mostly is, since threads run to it one after another, and so is what depends on order.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static __attribute__((section("cuda_shared")))

struct dim3 {
    unsigned x, y, z;
};
struct float4 {
    float x, y, z, w;
};

static dim3 threadIdx, blockIdx, blockDim, gridDim;

using std::max;
using std::min;

template <typename T>
T atomicAdd(T* at, T value) { return std::exchange(*at, *at + value); }
template <typename T>
T atomicMin(T* at, T value) { return std::exchange(*at, std::min(*at, value)); }
template <typename T>
T atomicMax(T* at, T value) { return std::exchange(*at, std::max(*at, value)); }

// The linker's names for the ends of that section; both 0 where a file has no shared memory.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_cuda_shared[];
extern "C" __attribute__((weak, visibility("hidden"))) char __stop_cuda_shared[];

namespace emulator {

constexpr int NOISE = 0xA5;

struct Fibre {
    ucontext_t context{};
    std::unique_ptr<char[]> stack = std::make_unique<char[]>(64 * 1024);
    dim3 thread{};
    bool waiting = false;
};

static ucontext_t scheduler;
static std::vector<std::unique_ptr<Fibre>> fibres;
static Fibre* current;
static std::function<void()> body;
static unsigned started, total;
static bool backwards;

static unsigned turn(unsigned number, unsigned count) { return backwards ? count - 1 - number : number; }
static dim3 placed(unsigned at, dim3 size) { return {at % size.x, at / size.x % size.y, at / (size.x * size.y)}; }

// A fibre runs threads to their end, one after another; only one that meets a barrier keeps it.
static void carry()
{
    while (started < total) {
        threadIdx = current->thread = placed(turn(started++, total), blockDim);
        body();
    }
}

static void resume(Fibre& fibre)
{
    current = &fibre;
    threadIdx = fibre.thread;
    fibre.waiting = false;
    swapcontext(&scheduler, &fibre.context);
}

static void start(Fibre& fibre)
{
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = 64 * 1024;
    fibre.context.uc_link = &scheduler;
    makecontext(&fibre.context, carry, 0);
    resume(fibre);
}

// False where only some of the block's threads come to a barrier.
static bool block()
{
    if (__start_cuda_shared)
        std::memset(__start_cuda_shared, NOISE, __stop_cuda_shared - __start_cuda_shared);
    started = 0;
    unsigned used = 0;
    while (started < total) {
        if (used == fibres.size())
            fibres.push_back(std::make_unique<Fibre>());
        start(*fibres[used++]);
    }
    for (;;) {
        unsigned waiting = 0;
        for (unsigned i = 0; i < used; ++i)
            waiting += fibres[i]->waiting;
        if (waiting == 0)
            return true;
        if (waiting != total)
            return false;
        for (unsigned i = 0; i < used; ++i)
            resume(*fibres[i]);
    }
}

template <typename... A, std::size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>)
{
    kernel(*static_cast<A*>(arguments[I])...);
}

// `shape`: grid x, y, z, block x, y, z, and whether backwards.
template <typename... A>
int launch(void (*kernel)(A...), const unsigned* shape, void** arguments)
{
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], shape[4], shape[5]};
    backwards = shape[6];
    total = blockDim.x * blockDim.y * blockDim.z;
    body = [=] { call(kernel, arguments, std::index_sequence_for<A...>{}); };
    const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
    for (unsigned number = 0; number < blocks; ++number) {
        blockIdx = placed(turn(number, blocks), gridDim);
        if (!block())
            return 1;
    }
    return 0;
}

// NumPy's names; `*` before an array that the kernel writes, `&` before one that it only reads.
template <typename T>
std::string name()
{
    if constexpr (std::is_pointer_v<T>) {
        using Pointee = std::remove_pointer_t<T>;
        return (std::is_const_v<Pointee> ? "&" : "*") + name<std::remove_const_t<Pointee>>();
    } else if constexpr (std::is_same_v<T, float4>) {
        return "f4";
    } else {
        const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
        return kind + std::to_string(sizeof(T));
    }
}

template <typename... A>
const char* signature(void (*)(A...))
{
    static std::string text;
    text.clear();
    ((text += name<A>() + " "), ...);
    return text.c_str();
}

}  // namespace emulator

inline void __syncthreads()
{
    emulator::Fibre& mine = *emulator::current;
    mine.waiting = true;
    swapcontext(&mine.context, &emulator::scheduler);
}
