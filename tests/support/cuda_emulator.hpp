// Enough of CUDA to run the kernels as C++ on the host: one block after another, its threads as fibres that change
// places at __syncthreads only. Whatever depends on threads running at the same time is not shown by it; a missing
// __syncthreads mostly is, since threads run to it one after another.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

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

namespace emulator {

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

// A fibre runs threads to their end, one after another; only one that meets a barrier keeps it.
static void carry()
{
    while (started < total) {
        const unsigned at = started++;
        threadIdx = current->thread = {at % blockDim.x, at / blockDim.x % blockDim.y, at / (blockDim.x * blockDim.y)};
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

// `shape`: grid x, y, z, block x, y, z.
template <typename... A>
int launch(void (*kernel)(A...), const unsigned* shape, void** arguments)
{
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], shape[4], shape[5]};
    total = blockDim.x * blockDim.y * blockDim.z;
    body = [=] { call(kernel, arguments, std::index_sequence_for<A...>{}); };
    for (unsigned z = 0; z < gridDim.z; ++z)
        for (unsigned y = 0; y < gridDim.y; ++y)
            for (unsigned x = 0; x < gridDim.x; ++x) {
                blockIdx = {x, y, z};
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
