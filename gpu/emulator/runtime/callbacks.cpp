// What the compiler calls in code compiled with -fsanitize=thread,alignment,bounds,...: ours, in place of the
// sanitizers' own libraries.
#include "checked_interface.h"

#include <string.h>

using emulated::checker::access;
using emulated::checker::atomic_access;
using emulated::checker::tell_at;

#define FROM __builtin_return_address(0)
#define CALLBACK extern "C" __attribute__((visibility("hidden")))

// ------------------------------------------------------------------------------------------------ accesses

#define ACCESSES(size)                                                                                        \
    CALLBACK void __tsan_read##size(void* p) { access((uintptr_t)p, size, false, false, FROM); }             \
    CALLBACK void __tsan_write##size(void* p) { access((uintptr_t)p, size, true, false, FROM); }             \
    CALLBACK void __tsan_unaligned_read##size(void* p) { access((uintptr_t)p, size, false, false, FROM); }   \
    CALLBACK void __tsan_unaligned_write##size(void* p) { access((uintptr_t)p, size, true, false, FROM); }   \
    CALLBACK void __tsan_volatile_read##size(void* p) { access((uintptr_t)p, size, false, false, FROM); }    \
    CALLBACK void __tsan_volatile_write##size(void* p) { access((uintptr_t)p, size, true, false, FROM); }    \
    CALLBACK void __tsan_read_write##size(void* p) {                                                         \
        access((uintptr_t)p, size, false, false, FROM);                                                      \
        access((uintptr_t)p, size, true, false, FROM);                                                       \
    }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

CALLBACK void __tsan_read_range(void* p, size_t n) { access((uintptr_t)p, (unsigned)n, false, false, FROM); }
CALLBACK void __tsan_write_range(void* p, size_t n) { access((uintptr_t)p, (unsigned)n, true, false, FROM); }
CALLBACK void __tsan_vptr_update(void** p, void*) { access((uintptr_t)p, sizeof *p, true, false, FROM); }
CALLBACK void __tsan_vptr_read(void** p) { access((uintptr_t)p, sizeof *p, false, false, FROM); }
CALLBACK void __tsan_init() {}
CALLBACK void __tsan_func_entry(void*) {}
CALLBACK void __tsan_func_exit() {}

CALLBACK void chainrule_atomic(void* p, unsigned size, void* from) { atomic_access((uintptr_t)p, size, from); }
CALLBACK void chainrule_fence(bool all_blocks) { emulated::checker::fence(all_blocks); }

// Where the kernels' code calls memcpy (as compilers do for a structure, too), compiling.py puts these.
static void* copy(void* to, const void* from, size_t n, const void* place) {
    access((uintptr_t)from, (unsigned)n, false, false, place);
    access((uintptr_t)to, (unsigned)n, true, false, place);
    return memmove(to, from, n);
}
static void* fill(void* to, int value, size_t n, const void* place) {
    access((uintptr_t)to, (unsigned)n, true, false, place);
    return memset(to, value, n);
}
CALLBACK void* chainrule_memcpy(void* to, const void* from, size_t n) { return copy(to, from, n, FROM); }
CALLBACK void* chainrule_memmove(void* to, const void* from, size_t n) { return copy(to, from, n, FROM); }
CALLBACK void* chainrule_memset(void* to, int value, size_t n) { return fill(to, value, n, FROM); }
CALLBACK void* __tsan_memcpy(void* to, const void* from, size_t n) { return copy(to, from, n, FROM); }
CALLBACK void* __tsan_memmove(void* to, const void* from, size_t n) { return copy(to, from, n, FROM); }
CALLBACK void* __tsan_memset(void* to, int value, size_t n) { return fill(to, value, n, FROM); }

// ------------------------------------------------------------------------------------------------ faults of arithmetic

// The data that the compiler lays down for each of them begins with the place in the source, known here from the
// return address, and the type; only what is told is declared.
struct Type {
    uint16_t kind, width;
    char name[];
};
struct Place {
    const char* file;
    uint32_t line, column;
};
struct Mismatch {
    Place place;
    const Type* type;
    unsigned char log_alignment, what;
};
struct Outside {
    Place place;
    const Type *array, *index;
};
struct Overflow {
    Place place;
    const Type* type;
};

CALLBACK void __ubsan_handle_type_mismatch_v1(Mismatch* data, uintptr_t address) {
    const uintptr_t alignment = (uintptr_t)1 << data->log_alignment;
    if (address < 65536) return;  // null: the access itself tells
    if (address % alignment == 0) return;
    tell_at("misaligned", "accesses " + std::string(data->type->name) + " at an address that is not a multiple of " +
            std::to_string(alignment) + ", but of " + std::to_string(address & (~address + 1)), FROM, false);
}
// The access comes next, and may fall upon another variable of the same memory.
CALLBACK void __ubsan_handle_out_of_bounds(Outside* data, uintptr_t index) {
    const int bits = 1 << (data->index->width >> 1);
    long long shown = (long long)index;
    if (data->index->width & 1 && bits < 64) shown = shown << (64 - bits) >> (64 - bits);  // signed
    tell_at("out of bounds", "index " + std::to_string(shown) + " is out of bounds of an array of type " + data->array->name, FROM, false);
}
#define OVERFLOWS(operation, what)                                                                               \
    CALLBACK void __ubsan_handle_##operation##_overflow(Overflow* data, uintptr_t, uintptr_t) {                    \
        tell_at("arithmetic", "the " what " overflows " + std::string(data->type->name), FROM, false);          \
    }
OVERFLOWS(add, "sum")
OVERFLOWS(sub, "difference")
OVERFLOWS(mul, "product")
CALLBACK void __ubsan_handle_negate_overflow(Overflow* data, uintptr_t) {
    tell_at("arithmetic", "the negative overflows " + std::string(data->type->name), FROM, false);
}
CALLBACK void __ubsan_handle_divrem_overflow(Overflow* data, uintptr_t, uintptr_t divisor) {
    const bool zero = divisor == 0;
    tell_at("arithmetic", zero ? std::string("divides an integer by zero")
                             : "the quotient overflows " + std::string(data->type->name), FROM, true);
}
CALLBACK void __ubsan_handle_shift_out_of_bounds(Outside* data, uintptr_t, uintptr_t count) {
    tell_at("arithmetic", "shifts " + std::string(data->array->name) + " by " + std::to_string((long long)count), FROM, false);
}
