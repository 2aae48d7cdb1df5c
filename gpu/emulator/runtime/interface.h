// What kernels (compiled anew for each source) and the runtime (compiled once) know of each other.
#pragma once
#include <stdint.h>

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#pragma GCC visibility push(hidden)  // each module has a runtime of its own

namespace emulated {

// Where the running thread is. The scheduler writes it before a thread goes on.
struct Now {
    uint3 thread, block;
    dim3 block_size, grid_size;
    unsigned atomics;  // operations of the running thread since it went on
};
extern Now now;

// What threads wait for. The warp operations exchange 64 bits with the lanes of a mask.
enum class Wait : unsigned char { barrier, syncwarp, shuffle, vote, match, active };

struct BarrierResult {
    unsigned holds, arrived;  // for how many threads the predicate holds, of how many
};
BarrierResult barrier(const char* name, bool predicate, const char* file, int line);

// The lane gives `value` and gets: of shuffle, the value that lane `source` gave; of vote, the mask of the lanes
// whose value is not zero; of match, the mask of the lanes with the same value.
uint64_t exchange(Wait what, const char* name, unsigned mask, uint64_t value, int source, const char* file, int line);
// The lanes that come to this place before any lane of the warp can go on from elsewhere.
unsigned active_mask(const char* file, int line);
// A thread that does so many atomics without waiting waits for another one, which cannot go on meanwhile.
constexpr unsigned most_atomics = 1u << 24;
[[noreturn]] void spins(const void* return_address);
[[noreturn]] void fail(const char* kind, const char* text, const char* file, int line);

// One parameter of a kernel, as Python reads it. Kinds: f floating, i signed, u unsigned, b bool, p pointer, v void,
// o anything else.
struct Parameter {
    char kind, pointee;
    unsigned char constant;  // points to const
    unsigned char vector;    // how many numbers one element of the pointee has: 4 for float4
    int32_t size;            // in bytes: of the parameter, or of one number of the pointee
};
struct Kernel {
    void (*call)(void** arguments);
    const void* function;
    const Parameter* parameters;
    int32_t count;
};

struct Launch {
    uint32_t grid[3], block[3];
    uint32_t shared;         // bytes of dynamic shared memory
    int32_t order;           // 0 forward, 1 reverse, 2 shuffle
    uint64_t seed;           // of shuffle
    const int64_t* blocks;   // linear numbers of the blocks to run, or null for all of them
    int64_t block_count;
    int32_t interruptible;  // does SIGINT end the launch
};

}  // namespace emulated

#pragma GCC visibility pop

// Returns the number of faults, or -1 after SIGINT; chainrule_reports tells them, one a line, fields separated by tabs.
extern "C" int chainrule_launch(const emulated::Kernel* kernel, void** arguments, const emulated::Launch* launch);
extern "C" const char* chainrule_reports();
// Every `extern __shared__` array is this one: compiling.py gives it the name.
constexpr int dynamic_shared_room = 52 * 1024;  // 48 KB, and room after them
extern "C" __attribute__((visibility("hidden"))) unsigned char chainrule_dynamic_shared[];
