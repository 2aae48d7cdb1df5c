// Barriers, warp operations and atomics.
//
// __syncthreads waits for the threads of the block that have not returned, as on devices since Volta (in checked mode
// one that has returned is an error). A warp operation waits for the lanes of its mask that have not returned; what a
// shuffle reads from a lane that takes no part is undefined in CUDA, and here has all bits set (a NaN, or -1).
#pragma once

#define CHAINRULE_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define CHAINRULE_HERE file, line

inline void __syncthreads(CHAINRULE_PLACE) { emulated::barrier("__syncthreads", false, CHAINRULE_HERE); }
inline int __syncthreads_count(int predicate, CHAINRULE_PLACE) {
    return (int)emulated::barrier("__syncthreads_count", predicate != 0, CHAINRULE_HERE).holds;
}
inline int __syncthreads_and(int predicate, CHAINRULE_PLACE) {
    const auto result = emulated::barrier("__syncthreads_and", predicate != 0, CHAINRULE_HERE);
    return result.holds == result.arrived;
}
inline int __syncthreads_or(int predicate, CHAINRULE_PLACE) {
    return emulated::barrier("__syncthreads_or", predicate != 0, CHAINRULE_HERE).holds != 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CHAINRULE_PLACE) {
    emulated::exchange(emulated::Wait::syncwarp, "__syncwarp", mask, 0, 0, CHAINRULE_HERE);
}
#ifdef CHAINRULE_CHECKED
extern "C" __attribute__((visibility("hidden"))) void chainrule_fence(bool all_blocks);
extern "C" __attribute__((visibility("hidden"))) void chainrule_atomic(void* address, unsigned size, void* from);
#else
inline void chainrule_fence(bool) { __asm__ volatile("" ::: "memory"); }
#endif
inline void __threadfence() { chainrule_fence(true); }
inline void __threadfence_system() { chainrule_fence(true); }
inline void __threadfence_block() { chainrule_fence(false); }
inline void __nanosleep(unsigned) {}

namespace emulated {

inline int lane() {
    return (int)((now.thread.x + now.block_size.x * (now.thread.y + now.block_size.y * now.thread.z)) % 32);
}

template <typename T>
inline T shuffle(const char* name, unsigned mask, T value, int source, const char* file, int line) {
    static_assert(std::is_arithmetic<T>::value && sizeof(T) <= 8, "shuffles exchange numbers of at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = exchange(Wait::shuffle, name, mask, bits, source, file, line);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace emulated

// The warp falls into sections of `width` lanes; a source beyond the section is the lane itself.
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, CHAINRULE_PLACE) {
    const int lane = emulated::lane(), first = lane & ~(width - 1);
    return emulated::shuffle("__shfl_sync", mask, value, first + (source & (width - 1)), CHAINRULE_HERE);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CHAINRULE_PLACE) {
    const int lane = emulated::lane(), first = lane & ~(width - 1), source = lane - (int)delta;
    return emulated::shuffle("__shfl_up_sync", mask, value, source < first ? lane : source, CHAINRULE_HERE);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CHAINRULE_PLACE) {
    const int lane = emulated::lane(), last = lane | (width - 1), source = lane + (int)delta;
    return emulated::shuffle("__shfl_down_sync", mask, value, source > last ? lane : source, CHAINRULE_HERE);
}
// As on the device, a source in a later section is out of reach, one in an earlier section is not.
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, CHAINRULE_PLACE) {
    const int lane = emulated::lane(), last = lane | (width - 1), source = lane ^ lanes;
    return emulated::shuffle("__shfl_xor_sync", mask, value, source > last ? lane : source, CHAINRULE_HERE);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CHAINRULE_PLACE) {
    return (unsigned)emulated::exchange(emulated::Wait::vote, "__ballot_sync", mask, predicate != 0, 0, CHAINRULE_HERE);
}
inline int __any_sync(unsigned mask, int predicate, CHAINRULE_PLACE) {
    return emulated::exchange(emulated::Wait::vote, "__any_sync", mask, predicate != 0, 0, CHAINRULE_HERE) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CHAINRULE_PLACE) {
    return emulated::exchange(emulated::Wait::vote, "__all_sync", mask, predicate == 0, 0, CHAINRULE_HERE) == 0;
}
inline unsigned __activemask(CHAINRULE_PLACE) { return emulated::active_mask(CHAINRULE_HERE); }
template <typename T>
inline unsigned __match_any_sync(unsigned mask, T value, CHAINRULE_PLACE) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return (unsigned)emulated::exchange(emulated::Wait::match, "__match_any_sync", mask, bits, 0, CHAINRULE_HERE);
}

// Threads change places only where they wait, so plain code is atomic.
namespace emulated {
#ifdef CHAINRULE_CHECKED
template <typename T, typename F>
__attribute__((noinline, no_sanitize("thread"))) T atomically(T* address, F change) {
    chainrule_atomic(address, sizeof(T), __builtin_return_address(0));
#else
template <typename T, typename F>
__attribute__((noinline)) T atomically(T* address, F change) {
#endif
    if (++now.atomics > most_atomics) spins(__builtin_return_address(0));
    const T old = *address;
    *address = change(old);
    return old;
}
}  // namespace emulated

#define CHAINRULE_ATOMIC(name, expression)                                                    \
    template <typename T>                                                                     \
    __forceinline__ T name(T* address, std::common_type_t<T> value) {                         \
        return emulated::atomically(address, [=](T old) -> T { return expression; });         \
    }
CHAINRULE_ATOMIC(atomicAdd, old + value)
CHAINRULE_ATOMIC(atomicSub, old - value)
CHAINRULE_ATOMIC(atomicExch, ((void)old, value))
CHAINRULE_ATOMIC(atomicMax, old > value ? old : value)
CHAINRULE_ATOMIC(atomicMin, old < value ? old : value)
CHAINRULE_ATOMIC(atomicAnd, old & value)
CHAINRULE_ATOMIC(atomicOr, old | value)
CHAINRULE_ATOMIC(atomicXor, old ^ value)
CHAINRULE_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
CHAINRULE_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef CHAINRULE_ATOMIC

template <typename T>
__forceinline__ T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> value) {
    return emulated::atomically(address, [=](T old) -> T { return old == expected ? value : old; });
}
