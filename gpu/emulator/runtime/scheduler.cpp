// Runs a kernel: block after block, and within a block every thread as a fiber, in the order of the schedule.
//
// A thread runs until it waits (for a barrier, or for lanes of its warp) or returns. The scheduler goes through the
// threads that are ready, again and again. If none is ready and not all have returned, they wait for each other: that
// is reported with the places where they wait, and never a hang.
#include "scheduler.h"

#include <string.h>

#include <map>
#include <tuple>

#include "checker.h"
#include "stacks.h"

alignas(128) unsigned char chainrule_dynamic_shared[dynamic_shared_room];

namespace emulated {

Now now;
std::vector<Thread> threads;
std::vector<State> states;
std::vector<Warp> warps;
int current;
bool failed;
volatile bool in_kernel;
std::string reports;

static Stacks stacks;
static Context scheduler;
static const Kernel* kernel;
static void** arguments;
static std::vector<uint3> indices;  // threadIdx of each thread
static std::vector<int> order;
static int total, alive, arrived;
static unsigned holds;  // of the barrier that is filling up: for how many the predicate holds
static BarrierResult barrier_result;
static int first_arrived;  // and which thread has come first
static bool opened;  // a barrier has opened since the scheduler began its round
static uint64_t random_state;

static uint64_t draw() {  // splitmix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static uint64_t draw_below(uint64_t bound) { return (uint64_t)(((unsigned __int128)draw() * bound) >> 64); }

// ------------------------------------------------------------------------------------------------ reports

std::string position(int thread) {
    char text[64];
    const uint3 i = indices[thread];
    snprintf(text, sizeof text, "thread (%u, %u, %u)", i.x, i.y, i.z);
    return text;
}

void report(const char* kind, const std::string& text, const char* file, int line, int thread) {
    const uint3 t = indices[thread], b = now.block;
    char place[160];
    snprintf(place, sizeof place, "\t%d\t%u,%u,%u\t%u,%u,%u\t", line, b.x, b.y, b.z, t.x, t.y, t.z);
    reports += std::string(kind) + "\t" + file + place + text + "\n";
}

void fail(const char* kind, const char* text, const char* file, int line) {
    in_kernel = false;
    report(kind, text, file, line, current);
    failed = true;
    for (;;) leave();
}

// Tells where the threads wait that have not returned, each place once.
static void report_waiting(const char* kind, const char* why) {
    std::map<std::tuple<std::string, int, std::string>, std::vector<int>> places;
    for (int t = 0; t < total; ++t)
        if (states[t] != State::done)
            places[{threads[t].file, threads[t].line, threads[t].name}].push_back(t);
    for (const auto& [place, waiting] : places) {
        const Thread& first = threads[waiting[0]];
        std::string text = std::to_string(waiting.size()) + " of " + std::to_string(total) +
                           " threads wait in " + first.name;
        if (states[waiting[0]] == State::in_warp) {
            char mask[32];
            snprintf(mask, sizeof mask, "0x%08x", first.mask);
            unsigned lanes = 0;
            const int warp = waiting[0] / 32;
            for (int t : waiting)
                if (t / 32 == warp && threads[t].mask == first.mask) lanes |= 1u << (t % 32);
            const unsigned missing = first.mask & warps[warp].alive & ~lanes;
            text += std::string(" with mask ") + mask;
            if (missing) text += " for lane " + std::to_string(__builtin_ctz(missing)) + " of their warp, which does not come";
        }
        report(kind, text + why, first.file, first.line, waiting[0]);
    }
    failed = true;
}

// ------------------------------------------------------------------------------------------------ threads

void leave() { Context::go(threads[current].context, scheduler); }

static void open_barrier() {
    checker::barrier_opens(arrived, total);
    barrier_result = {holds, (unsigned)arrived};
    for (int t = 0; t < total; ++t)
        if (states[t] == State::at_barrier) states[t] = State::ready;
    arrived = 0;
    holds = 0;
    opened = true;
}

BarrierResult barrier(const char* name, bool predicate, const char* file, int line) {
    in_kernel = false;
    Thread& thread = threads[current];
    thread.waits_for = Wait::barrier;
    thread.name = name;
    thread.file = file;
    thread.line = line;
    states[current] = State::at_barrier;
    holds += predicate;
    if (arrived == 0) first_arrived = current;
    const Thread& first = threads[first_arrived];
    if (line != first.line || strcmp(file, first.file) || strcmp(name, first.name))
        report_waiting("divergent barrier", ": the threads of a block wait at different barriers");
    if (++arrived == alive) open_barrier();
    lane_stops(current / 32);
    leave();
    return barrier_result;
}

static void enter() {
    kernel->call(arguments);
    in_kernel = false;
    const int warp = current / 32;
    states[current] = State::done;
    warps[warp].alive &= ~(1u << (current % 32));
    if (warps[warp].alive) settle_warp(warp);
    if (--alive == arrived && alive) open_barrier();
    lane_stops(warp);
    for (;;) leave();
}

static bool go_on(int t) {
    Thread& thread = threads[t];
    if (!thread.stack) {
        thread.stack = stacks.take();
        if (!thread.stack) {
            report("crash", "there is no memory for the stack of a thread", "", 0, t);
            failed = true;
            return false;
        }
        thread.context.prepare(thread.stack, Stacks::size, enter);
    }
    current = t;
    now.thread = indices[t];
    now.atomics = 0;
    checker::thread_goes_on(t, thread.stack);
    in_kernel = true;
    Context::go(scheduler, thread.context);
    in_kernel = false;
    if (states[t] == State::done) {
        stacks.give_back(thread.stack);
        thread.stack = nullptr;
    }
    return !failed;
}

// ------------------------------------------------------------------------------------------------ blocks

static void shuffle_order() {
    for (int i = total - 1; i > 0; --i) std::swap(order[i], order[draw_below((uint64_t)i + 1)]);
}

static void run_block(const Launch& launch, uint64_t number) {
    const uint64_t in_layer = (uint64_t)launch.grid[0] * launch.grid[1];
    now.block = {(unsigned)(number % launch.grid[0]), (unsigned)(number % in_layer / launch.grid[0]),
                 (unsigned)(number / in_layer)};
    memset(chainrule_dynamic_shared, 0xff, launch.shared);  // NaN until it is written
    alive = total;
    arrived = 0;
    holds = 0;
    checker::begin_block(total);
    for (int t = 0; t < total; ++t) states[t] = State::ready;
    for (int w = 0; w * 32 < total; ++w)
        warps[w] = {total - w * 32 >= 32 ? 0xffffffffu : (1u << (total - w * 32)) - 1u, 0u, 0u};
    while (alive) {
        if (launch.order == 2) shuffle_order();
        bool any = false;
        opened = false;
        for (int i = 0; i < total && !opened; ++i) {
            if (states[order[i]] != State::ready) continue;
            any = true;
            if (!go_on(order[i])) return;
        }
        if (!any) return report_waiting("deadlock", ": the threads wait for each other");
    }
}

static void run(const Launch& launch) {
    total = (int)(launch.block[0] * launch.block[1] * launch.block[2]);
    now.block_size = dim3(launch.block[0], launch.block[1], launch.block[2]);
    now.grid_size = dim3(launch.grid[0], launch.grid[1], launch.grid[2]);
    if ((int)threads.size() < total) threads.resize((size_t)total);
    states.assign((size_t)total, State::ready);
    warps.assign((size_t)(total + 31) / 32, Warp());
    indices.resize((size_t)total);
    order.resize((size_t)total);
    for (int t = 0; t < total; ++t) {
        const unsigned x = launch.block[0], y = launch.block[1], u = (unsigned)t;
        indices[t] = {u % x, u / x % y, u / x / y};
        order[t] = launch.order == 1 ? total - 1 - t : t;
    }
    random_state = launch.seed;
    const uint64_t blocks = launch.blocks ? (uint64_t)launch.block_count
                                          : (uint64_t)launch.grid[0] * launch.grid[1] * launch.grid[2];
    // Blocks are shuffled without a list of them: i -> (a i + b) mod n goes through all if a and n share no factor.
    uint64_t step = 1, start = 0;
    if (launch.order == 2 && blocks > 1) {
        do {
            step = 1 + draw_below(blocks < (1u << 30) ? blocks : (1u << 30));
        } while ([](uint64_t a, uint64_t b) { while (b) { const uint64_t r = a % b; a = b; b = r; } return a; }(step, blocks) != 1);
        start = draw_below(blocks);
    }
    for (uint64_t i = 0; i < blocks && !failed; ++i) {
        uint64_t j = i;
        if (launch.order == 1) j = blocks - 1 - i;
        if (launch.order == 2) j = (uint64_t)(((unsigned __int128)i * step + start) % blocks);
        run_block(launch, launch.blocks ? (uint64_t)launch.blocks[j] : j);
    }
}

}  // namespace emulated

extern "C" __attribute__((visibility("default"))) int chainrule_launch(const emulated::Kernel* kernel, void** arguments,
                                                                       const emulated::Launch* launch) {
    using namespace emulated;
    emulated::kernel = kernel;
    emulated::arguments = arguments;
    failed = false;
    reports.clear();
    checker::begin_launch();
    watch_signals(launch->interruptible);
    run(*launch);
    const bool interrupted = unwatch_signals();
    if (!failed && !launch->blocks) checker::all_blocks_have_run(kernel->function);
    checker::end_launch();
    for (Thread& thread : threads) {  // those that a failure has stopped on their way
        if (thread.stack) stacks.give_back(thread.stack);
        thread.stack = nullptr;
    }
    if (interrupted) return -1;
    int count = 0;
    for (char c : reports) count += c == '\n';
    return count;
}

extern "C" __attribute__((visibility("default"))) const char* chainrule_reports() { return emulated::reports.c_str(); }
