// Checked mode: every access of a kernel to memory comes here (callbacks.cpp), and is held against the arrays and
// against the accesses before it.
#include "checker.h"

#include <string.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

#include "checked_memory.h"
#include "scheduler.h"
#include "stacks.h"

namespace emulated {
namespace checker {

constexpr int most_reports = 20;

static uintptr_t stack_start;
static uint32_t block, epoch;
static uint32_t clocks[32 * 32][32];  // what each thread knows of the lanes of its warp, itself included
static std::set<std::tuple<std::string, uint32_t, uint32_t>> told;

// Atomics that carry news from block to block: for each address, the blocks whose writes it makes known.
static std::unordered_map<uintptr_t, std::vector<bool>> published;
static std::vector<bool> seen;  // the blocks whose writes the present block knows of
static bool fenced;             // has the present block called __threadfence

// The same from thread to thread of a block: whose accesses, up to which clock, are known.
using Clocks = std::unordered_map<unsigned, uint32_t>;
static Clocks heard[32 * 32];                          // to each thread
static uint32_t fence_clocks[32 * 32];                 // its accesses up to here came before its last fence; 0: none
static std::unordered_map<uintptr_t, Clocks> passed;   // to whoever looks at an address by an atomic

// ------------------------------------------------------------------------------------------------ reports

static std::string at(uint32_t place) { return "{" + std::to_string(place) + "}"; }

// The place in the source is found later, by Python, from the place in the program.
bool is_told(const char* kind, uint32_t place, uint32_t other) {
    return told.count(std::make_tuple(std::string(kind), place, other)) != 0;
}

void tell(const char* kind, const std::string& text, uint32_t place, uint32_t other, bool last) {
    if (told.insert(std::make_tuple(std::string(kind), place, other)).second)
        report(kind, text, at(place).c_str(), 0, current);
    if (!last && (int)told.size() < most_reports) return;
    failed = true;
    leave();
}

uint32_t place_of(const void* address) { return (uint32_t)((uintptr_t)address - 1 - image_start); }

void tell_at(const char* kind, const std::string& text, const void* address, bool last) {
    tell(kind, text, place_of(address), 0, last);
}

std::string bytes(uint64_t size) { return std::to_string(size) + (size == 1 ? " byte" : " bytes"); }

static std::string element(const Region& region, uintptr_t address) {
    return (region.in_bytes ? " at byte " : " at element ") + std::to_string(region.index(address));
}

static std::string who(const Access& access) {
    const unsigned t = access.thread;
    std::string text = position((int)t);
    if (access.block != block) text += " of another block";
    return text;
}

// ------------------------------------------------------------------------------------------------ order

static bool ordered_otherwise(const Access& access, const Region& region) {
    if (access.block != block)
        return region.shared || (access.block < seen.size() && seen[access.block]);
    if (access.thread / 32 == current / 32 && clocks[current][access.thread % 32] >= access.clock) return true;
    const auto known = heard[current].find(access.thread);
    return known != heard[current].end() && known->second >= access.clock;
}

static inline bool ordered(const Access& access, const Region& region) {
    if (access.block == block && (access.epoch < epoch || access.thread == current)) return true;  // by far the most
    return ordered_otherwise(access, region);
}

static inline bool conflicts(const Access& access, const Region& region, bool atomic) {
    return access.block && !(atomic && access.atomic) && !ordered(access, region);
}

static void tell_race(const Region& region, uintptr_t address, unsigned size, const char* verb, const Access& before,
                      bool wrote, uint32_t place) {
    if (is_told("race", place, before.place)) return;
    std::string text = std::string(verb) + bytes(size) + " of " + region.name + element(region, address);
    text += ", which " + who(before) + (wrote ? " writes" : " reads") + " at " + at(before.place);
    if (before.block != block) text += ": blocks run in no order";
    else if (before.thread / 32 == current / 32) text += ": without a barrier or __syncwarp between the two";
    else text += ": without a barrier between the two";
    tell("race", text, place, before.place);
}

// A read that comes after all that a slot holds takes its place; of two others, lanes of one warp stand for each other.
static void remember_read(Cell& cell, const Access& now, const Region& region) {
    for (Access& read : cell.reads)
        if (!read.block || ordered(read, region)) {
            read = now;
            return;
        }
    const auto group = [](const Access& a) { return std::make_pair(a.block, a.thread / 32); };
    if (group(cell.reads[0]) == group(cell.reads[1]) && group(now) != group(cell.reads[0])) cell.reads[1] = now;
}

// While the checker works, Ctrl-C only makes a note; here the launch ends then.
struct Checking {
    const void* from;
    explicit Checking(const void* from) : from(from) { in_kernel = false; }
    ~Checking() {
        if (failed) {  // asked first: Ctrl-C between two questions would end the launch without its place
            if (interrupted) report("interrupted", "Ctrl-C", at(place_of(from)).c_str(), 0, current);
            leave();
        }
        in_kernel = true;
    }
};

static void look_at(uintptr_t address, unsigned size, bool write, bool atomic, const void* from) {
    if (regions.empty()) return;                                    // no launch: the module is being loaded
    if (address - stack_start < Stacks::size || size == 0) return;
    const uint32_t place = place_of(from);
    Region* region = find(address, size);
    if (!region && of_the_image(address, write)) return;
    if (!region) return tell_outside(address, size, write, place);
    const Access now = {block, epoch, clocks[current][current % 32], place, (uint16_t)current, atomic};
    if (!region->holds_whole_cells(address, size)) region->refine(address, size);
    const size_t first = (address - region->start) >> region->shift;
    const size_t last = (address + size - 1 - region->start) >> region->shift;
    for (size_t i = first; i <= last; ++i) {
        Cell& cell = region->cells[i];
        const bool unwritten = region->shared ? cell.write.block != block : region->fresh && !cell.write.block;
        if (unwritten && !write && !is_told("uninitialised", place, 0))
            tell("uninitialised", "reads " + bytes(size) + " of " + region->name + element(*region, address) +
                 ", which no thread" + (region->shared ? " of the block" : "") + " has written", place, 0);
        if (conflicts(cell.write, *region, atomic))
            tell_race(*region, address, size, write ? "writes " : "reads ", cell.write, true, place);
        if (write) {
            for (const Access& read : cell.reads)
                if (conflicts(read, *region, atomic)) {
                    tell_race(*region, address, size, "writes ", read, false, place);
                    break;
                }
            cell.write = now;
        } else {
            remember_read(cell, now, *region);
        }
    }
}

void access(uintptr_t address, unsigned size, bool write, bool atomic, const void* from) {
    if (address - stack_start < Stacks::size) return;  // the thread's own
    const Checking checking(from);
    look_at(address, size, write, atomic, from);
}

static void hear(Clocks& to, const Clocks& from) {
    for (const auto& [thread, clock] : from) to[thread] = std::max(to[thread], clock);
}

// An atomic tells what others made known before; and what its thread did before its last fence.
static void pass_on(uintptr_t address) {
    const auto there = passed.find(address);
    if (there != passed.end()) hear(heard[current], there->second);
    if (!fence_clocks[current]) return;
    heard[current][(unsigned)current] = fence_clocks[current];
    hear(passed[address], heard[current]);
}

void atomic_access(uintptr_t address, unsigned size, const void* from) {
    const Checking checking(from);
    look_at(address, size, false, true, from);
    look_at(address, size, true, true, from);
    pass_on(address);
    const Region* region = find(address, size);
    if (!region || region->shared) return;
    std::vector<bool>& known = published[address];
    if (known.size() < seen.size()) known.resize(seen.size());
    if (seen.size() < known.size()) seen.resize(known.size());
    for (size_t i = 0; i < known.size(); ++i)
        if (known[i]) seen[i] = true;
    if (fenced) {
        if (known.size() <= block) known.resize(block + 1);
        for (size_t i = 0; i < seen.size(); ++i)
            if (seen[i]) known[i] = true;
        known[block] = true;
    }
}

void fence(bool all_blocks) {
    fenced = fenced || all_blocks;
    fence_clocks[current] = clocks[current][current % 32]++;
}

// ------------------------------------------------------------------------------------------------ the scheduler's

void begin_launch() {
    block = 0;
    told.clear();
    published.clear();
    seen.clear();
}

void begin_block(int count) {
    ++block;
    epoch = 0;
    fenced = false;
    seen.assign(seen.size(), false);
    passed.clear();
    std::fill(fence_clocks, fence_clocks + count, 0);
    for (int t = 0; t < count; ++t) {
        heard[t].clear();
        for (int lane = 0; lane < 32; ++lane) clocks[t][lane] = lane == t % 32;
    }
}

void thread_goes_on(int, const char* stack) { stack_start = (uintptr_t)stack; }

void barrier_opens(int arrived, int total) {
    ++epoch;
    if (arrived == total) return;
    int waits = 0, gone = 0;
    while (states[waits] != State::at_barrier) ++waits;
    while (states[gone] != State::done) ++gone;
    const Thread& thread = threads[waits];
    const std::string place = std::string(thread.file) + ":" + std::to_string(thread.line);
    if (!told.insert(std::make_tuple("divergent" + place, 0u, 0u)).second) return;
    report("divergent barrier", std::string(thread.name) + " is reached by " + std::to_string(arrived) + " of " +
           std::to_string(total) + " threads of the block; " + position(gone) + " has returned",
           thread.file, thread.line, waits);
}

// Of a fault of one warp operation at one place, only the first is told.
static void tell_mask(int thread, const std::string& text) {
    const Thread& at = threads[thread];
    const std::string place = std::string(at.file) + ":" + std::to_string(at.line);
    if (told.insert(std::make_tuple("mask" + place, 0u, 0u)).second)
        report("shuffle mask", std::string(at.name) + text, at.file, at.line, thread);
}

static std::string mask_text(const Thread& thread) {
    char text[24];
    snprintf(text, sizeof text, " with mask 0x%08x", thread.mask);
    return text;
}

// Only __syncwarp promises that the lanes see what each other wrote before.
static void see_each_other(int first, unsigned lanes) {
    uint32_t joined[32] = {};
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        const uint32_t* known = clocks[first + __builtin_ctz(rest)];
        for (int lane = 0; lane < 32; ++lane) joined[lane] = std::max(joined[lane], known[lane]);
    }
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        std::copy(joined, joined + 32, clocks[first + lane]);
        ++clocks[first + lane][lane];
    }
}

void lanes_meet(int first, unsigned lanes) {
    const Thread& leader = threads[first + __builtin_ctz(lanes)];
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        const Thread& thread = threads[first + __builtin_ctz(rest)];
        if (thread.line == leader.line && thread.name == leader.name && !strcmp(thread.file, leader.file)) continue;
        tell_mask(first + __builtin_ctz(rest), mask_text(thread) + " meets " + leader.name + " of " +
                  position(first + __builtin_ctz(lanes)) + " at " + leader.file + ":" + std::to_string(leader.line));
    }
    for (unsigned rest = leader.mask & ~lanes; rest; rest &= rest - 1) {
        const int other = first + __builtin_ctz(rest);
        if (other < (int)states.size() && states[other] == State::done)
            tell_mask(first + __builtin_ctz(lanes), mask_text(leader) + ", which names " + position(other) +
                      ", but that has returned");
    }
    if (leader.waits_for == Wait::syncwarp) see_each_other(first, lanes);
}

void shuffle_reads(int first, int lane, unsigned lanes) {
    const Thread& thread = threads[first + lane];
    const int source = thread.source & 31;
    if (lanes >> source & 1u) return;
    tell_mask(first + lane, mask_text(thread) + ": lane " + std::to_string(lane) + " reads from lane " +
              std::to_string(source) + ", which takes no part");
}

}  // namespace checker
}  // namespace emulated
