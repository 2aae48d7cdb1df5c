// What the scheduler tells the checker of checked mode; nothing at all in an unchecked build.
#pragma once
#include <stdint.h>

namespace emulated {
namespace checker {

#ifdef CHAINRULE_CHECKED
void begin_launch();
void all_blocks_have_run(const void* kernel);  // tells what is to be written, and is not
void end_launch();
void begin_block(int threads);
void thread_goes_on(int thread, const char* stack);
void barrier_opens(int arrived, int threads);
void lanes_meet(int first, unsigned lanes);               // these lanes of the warp that begins with `first`
void shuffle_reads(int first, int lane, unsigned lanes);  // a shuffle of this lane, among these
#else
inline void begin_launch() {}
inline void all_blocks_have_run(const void*) {}
inline void end_launch() {}
inline void begin_block(int) {}
inline void thread_goes_on(int, const char*) {}
inline void barrier_opens(int, int) {}
inline void lanes_meet(int, unsigned) {}
inline void shuffle_reads(int, int, unsigned) {}
#endif

}  // namespace checker
}  // namespace emulated
