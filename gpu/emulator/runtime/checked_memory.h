// The memory that a checked launch may touch, and how the checker tells what is wrong.
#pragma once
#include <stdint.h>

#include <string>
#include <vector>

#include "checked_interface.h"
#include "shadow.h"

namespace emulated {
namespace checker {

extern std::vector<Region> regions;        // in the order of their addresses
extern uintptr_t image_start;              // of the module

// What a kernel may touch in the module's image, apart from its variables: constants, and who it is.
bool of_the_image(uintptr_t address, bool write);
Region* find(uintptr_t address, unsigned size);
// Of an access that is in no region. It ends the launch if it would do harm.
void tell_outside(uintptr_t address, unsigned size, bool write, uint32_t place);

uint32_t place_of(const void* return_address);
bool is_told(const char* kind, uint32_t place, uint32_t other);
// Of one fault, of one place or of two that race, only the first is told. The launch ends after the last.
void tell(const char* kind, const std::string& text, uint32_t place, uint32_t other, bool last = false);
std::string bytes(uint64_t size);  // "4 bytes"

}  // namespace checker
}  // namespace emulated
