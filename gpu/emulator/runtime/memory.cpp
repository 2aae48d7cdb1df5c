// Checked mode: which memory a launch may touch. Python names the arrays and the shared variables.
#include "checked_memory.h"

#include <link.h>

#include <algorithm>
#include <unordered_map>

#include "checker.h"
#include "scheduler.h"

namespace emulated {
namespace checker {

std::vector<Region> regions;
uintptr_t image_start;
static uintptr_t image_end, writable_start, writable_end;
static size_t latest;  // the region that was touched last
static std::unordered_map<std::string, int> variable_shifts;  // how small cells each variable needs

bool of_the_image(uintptr_t address, bool write) {
    if (address < image_start || address >= image_end) return false;
    if (address - (uintptr_t)&now < sizeof now) return true;
    return !write && (address < writable_start || address >= writable_end);
}

Region* find(uintptr_t address, unsigned size) {
    if (regions.empty()) return nullptr;
    Region* region = &regions[latest];
    if (address < region->start || address + size > region->end) {
        auto after = std::upper_bound(regions.begin(), regions.end(), address,
                                      [](uintptr_t a, const Region& r) { return a < r.start; });
        if (after == regions.begin()) return nullptr;
        region = &*(after - 1);
        if (address + size > region->end) return nullptr;
        latest = (size_t)(region - regions.data());
    }
    return region;
}

void tell_outside(uintptr_t address, unsigned size, bool write, uint32_t place) {
    std::string text = std::string(write ? "writes " : "reads ") + bytes(size);
    if (address < 65536) return tell("out of bounds", text + " through a null pointer", place, 0, true);
    const Region* nearest = nullptr;
    uintptr_t least = ~uintptr_t(0);
    for (const Region& region : regions) {
        const uintptr_t distance = address < region.start ? region.start - address
                                   : address + size > region.end ? address + size - region.end : 0;
        if (distance < least) least = distance, nearest = &region;
    }
    const bool far = !nearest || least > 65536;
    uintptr_t room = 0;  // where an access does no harm, and the launch may go on
    if (far) {
        text += " far outside of every array";
    } else if (address < nearest->start) {
        text += ", " + bytes(nearest->start - address) + " before the start of " + nearest->name;
        room = nearest->room_before;
    } else if (address >= nearest->end) {
        const uintptr_t past = address - nearest->end;
        text += past ? ", " + bytes(past) + " past the end of " + nearest->name
                     : " at the end of " + std::string(nearest->name);
        room = nearest->room_after;
    } else {
        text += ", of which some are past the end of " + std::string(nearest->name);
        room = nearest->room_after;
    }
    if (least > room && (address < image_start || address >= image_end)) text += " (of malloc and new nothing is known)";
    tell("out of bounds", text, place, 0, least > room);
}

void all_blocks_have_run(const void* kernel) {
    for (const Region& region : regions) {
        if (!region.fresh) continue;
        uint64_t gaps = 0, first = 0;
        for (uint64_t i = 0; i < (region.end - region.start) >> region.element; ++i)
            if (!region.cells[i << region.element >> region.shift].write.block && gaps++ == 0) first = i;
        if (gaps == 0) continue;
        now.block = {0, 0, 0};  // it is no block's fault more than another's
        const std::string text = std::to_string(gaps) + (gaps == 1 ? " element of " : " elements of ") + region.name;
        const uint32_t place = place_of(kernel) + 1;
        report("uninitialised", text + ", as element " + std::to_string(first) + ", are never written",
               ("{" + std::to_string(place) + "}").c_str(), 0, 0);
    }
}

void end_launch() {
    latest = 0;
    for (Region& region : regions) {
        if (region.in_bytes) variable_shifts[region.name] = region.shift;
        region.unmap();
    }
    regions.clear();
}

}  // namespace checker
}  // namespace emulated

// ------------------------------------------------------------------------------------------------ Python's

static int look_at_image(dl_phdr_info* info, size_t, void* inside) {
    uintptr_t low = ~uintptr_t(0), high = 0, constant = 0, first = ~uintptr_t(0), last = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        const uintptr_t start = (uintptr_t)(info->dlpi_addr + header.p_vaddr), end = start + (uintptr_t)header.p_memsz;
        if (header.p_type == PT_GNU_RELRO) constant = end;
        if (header.p_type != PT_LOAD) continue;
        low = std::min(low, start);
        high = std::max(high, end);
        if (!(header.p_flags & PF_W)) continue;
        first = std::min(first, start);
        last = std::max(last, end);
    }
    if ((uintptr_t)inside < low || (uintptr_t)inside >= high) return 0;
    using namespace emulated::checker;
    image_start = low;
    image_end = high;
    writable_start = std::max(first, constant);  // what the linker fills in at the start is constant afterwards
    writable_end = last;
    return 1;
}

extern "C" __attribute__((visibility("default"))) int chainrule_watch(const emulated::Watched* watched, int count,
                                                                      uint32_t dynamic_shared) {
    using namespace emulated::checker;
    dl_iterate_phdr(look_at_image, (void*)&chainrule_watch);
    end_launch();
    for (int i = 0; i < count; ++i) {
        const emulated::Watched& w = watched[i];
        const uintptr_t bases[] = {0, (uintptr_t)chainrule_shared_base(), image_start};
        const uintptr_t start = (uintptr_t)w.start + bases[w.counted_from];
        regions.push_back({start, start + (uintptr_t)w.size, w.name, w.shift, w.counted_from == 1, w.counted_from != 0,
                           w.fresh != 0,
                           (uintptr_t)w.room_before, (uintptr_t)w.room_after});
    }
    const uintptr_t dynamic = (uintptr_t)chainrule_dynamic_shared;
    regions.push_back({dynamic, dynamic + dynamic_shared, "dynamic shared memory", 0, true, true, false, 0,
                       (uintptr_t)dynamic_shared_room - 48 * 1024});
    bool fits = true;
    for (emulated::Region& region : regions) {
        int shift = region.element;
        if (region.in_bytes) {  // of what type it is shows when it is touched; the last launch knows already
            const auto known = variable_shifts.find(region.name);
            shift = known != variable_shifts.end() ? known->second : 3;
        }
        while ((region.start | region.end) & ((uintptr_t(1) << shift) - 1)) --shift;
        fits = region.map(shift) && fits;
    }
    std::sort(regions.begin(), regions.end(), [](const auto& a, const auto& b) { return a.start < b.start; });
    return fits;
}
