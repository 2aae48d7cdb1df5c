// The state of a launch, which the files of the runtime share.
#pragma once
#include <signal.h>

#include <string>
#include <vector>

#include "context.h"
#include "interface.h"

namespace emulated {

enum class State : unsigned char { ready, at_barrier, in_warp, done };

struct Thread {
    Context context;
    char* stack = nullptr;  // taken when it starts, given back when it returns
    Wait waits_for;
    const char* name;  // of the function that waits
    const char* file;
    int line;
    unsigned mask;
    int source;
    uint64_t value;  // given to the other lanes, then got from them
};

struct Warp {
    unsigned alive;        // the lanes that have not returned
    unsigned waiting = 0;  // those of them that wait in a warp operation
    unsigned asking = 0;   // those that wait to be told who is active
};

extern std::vector<Thread> threads;
extern std::vector<State> states;
extern std::vector<Warp> warps;
extern int current;       // the running thread's number in its block
extern bool failed;       // the launch ends at the next switch
extern volatile sig_atomic_t interrupted;  // by Ctrl-C
extern volatile bool in_kernel;  // a kernel's own code runs, and nothing of the runtime that must come to its end
extern std::string reports;

// Adds a line to the reports: what is wrong, where, and in which thread of the present block.
void report(const char* kind, const std::string& text, const char* file, int line, int thread);
void leave();                    // from a fiber to the scheduler, until the thread is ready again
void settle_warp(int warp);      // lets go what lanes of a warp have all that they wait for
void lane_stops(int warp);       // a lane waits now, or has returned: tells those who ask who is active
std::string position(int thread);  // "thread (3, 0, 0)"
void watch_signals(bool interruptible);  // faults that the processor finds become reports
bool unwatch_signals();  // has the launch been interrupted

}  // namespace emulated
