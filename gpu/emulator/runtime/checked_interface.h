// What checked kernels and Python tell the checker.
#pragma once
#include <stdint.h>

#include <string>

#include "interface.h"

namespace emulated {

// An array, or a variable: of shared memory (its start is counted from chainrule_shared_base()), or of the module.
struct Watched {
    uint64_t start, size;
    const char* name;
    int32_t shift, counted_from /* 0, shared memory, the image */, fresh, room_before, room_after;  // see Region
};

namespace checker {
void access(uintptr_t address, unsigned size, bool write, bool atomic, const void* from);
void atomic_access(uintptr_t address, unsigned size, const void* from);
void fence(bool all_blocks);
// Of the same fault at one place, only the first is told. The launch ends after the last.
void tell_at(const char* kind, const std::string& text, const void* from, bool last);
}  // namespace checker

}  // namespace emulated

extern "C" int chainrule_watch(const emulated::Watched* watched, int count, uint32_t dynamic_shared);
extern "C" char* chainrule_shared_base();  // defined with the kernels: where this thread has their shared variables
