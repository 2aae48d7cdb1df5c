// In place of the C library's: a condition that does not hold is a report, and does not end the process.
#undef assert
#define assert(condition) \
    ((condition) ? (void)0 : emulated::fail("assertion", "assertion failed: " #condition, __FILE__, __LINE__))
