// Warp operations: the lanes of a mask meet, exchange 64 bits each, and go on.
#include "checker.h"
#include "scheduler.h"

#include <string.h>

namespace emulated {

static bool same(const Thread& a, const Thread& b) {
    return a.waits_for == b.waits_for && a.mask == b.mask;
}

// All lanes of the group are there: each gets its result before any of them goes on.
static void release(int first, unsigned lanes) {
    checker::lanes_meet(first, lanes);
    uint64_t given[32];
    for (int lane = 0; lane < 32; ++lane)
        if (lanes >> lane & 1u) given[lane] = threads[first + lane].value;
    for (int lane = 0; lane < 32; ++lane) {
        if (!(lanes >> lane & 1u)) continue;
        Thread& thread = threads[first + lane];
        uint64_t result = 0;
        switch (thread.waits_for) {
            case Wait::shuffle:
                checker::shuffle_reads(first, lane, lanes);
                result = lanes >> (thread.source & 31) & 1u ? given[thread.source & 31] : ~uint64_t(0);
                break;
            case Wait::vote:
                for (int other = 0; other < 32; ++other)
                    if (lanes >> other & 1u && given[other]) result |= uint64_t(1) << other;
                break;
            case Wait::match:
                for (int other = 0; other < 32; ++other)
                    if (lanes >> other & 1u && given[other] == given[lane]) result |= uint64_t(1) << other;
                break;
            default: break;
        }
        thread.value = result;
        states[first + lane] = State::ready;
    }
    warps[first / 32].waiting &= ~lanes;
}

void settle_warp(int warp) {
    const int first = warp * 32;
    unsigned waiting = warps[warp].waiting;
    while (waiting) {
        const Thread& leader = threads[first + __builtin_ctz(waiting)];
        unsigned group = 0;
        for (unsigned rest = waiting; rest; rest &= rest - 1) {
            const int lane = __builtin_ctz(rest);
            if (same(leader, threads[first + lane])) group |= 1u << lane;
        }
        const unsigned expected = leader.mask & warps[warp].alive;
        waiting &= ~group;
        if ((group & expected) == expected) release(first, group);
    }
}

uint64_t exchange(Wait what, const char* name, unsigned mask, uint64_t value, int source, const char* file, int line) {
    in_kernel = false;
    Thread& thread = threads[current];
    const unsigned lane = 1u << (current % 32);
    if (!(mask & lane)) {
        char text[160];
        snprintf(text, sizeof text, "%s: lane %d calls with mask 0x%08x, in which it is not", name, current % 32, mask);
        fail("shuffle mask", text, file, line);
    }
    thread.waits_for = what;
    thread.name = name;
    thread.file = file;
    thread.line = line;
    thread.mask = mask;
    thread.source = source;
    thread.value = value;
    states[current] = State::in_warp;
    Warp& warp = warps[current / 32];
    warp.waiting |= lane;
    if ((mask & warp.alive & ~warp.waiting) == 0) settle_warp(current / 32);
    lane_stops(current / 32);
    leave();
    return thread.value;
}

unsigned active_mask(const char* file, int line) {
    in_kernel = false;
    Thread& thread = threads[current];
    thread.waits_for = Wait::active;
    thread.name = "__activemask";
    thread.file = file;
    thread.line = line;
    thread.mask = 1u << (current % 32);
    states[current] = State::in_warp;
    warps[current / 32].asking |= thread.mask;
    lane_stops(current / 32);
    leave();
    return (unsigned)thread.value;
}

void lane_stops(int warp) {
    unsigned asking = warps[warp].asking;
    if (!asking) return;
    const int first = warp * 32;
    for (unsigned rest = warps[warp].alive; rest; rest &= rest - 1)
        if (states[first + __builtin_ctz(rest)] == State::ready) return;
    const Thread& leader = threads[first + __builtin_ctz(asking)];
    unsigned group = 0;
    for (; asking; asking &= asking - 1) {
        const int lane = __builtin_ctz(asking);
        const Thread& other = threads[first + lane];
        if (other.line == leader.line && !strcmp(other.file, leader.file)) group |= 1u << lane;
    }
    for (unsigned rest = group; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        threads[first + lane].value = group;
        states[first + lane] = State::ready;
    }
    warps[warp].asking &= ~group;
}

}  // namespace emulated
