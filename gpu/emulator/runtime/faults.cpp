// What the processor itself finds: an access to memory that is not there, a division by zero. During a launch it
// becomes a report, and the launch ends, where otherwise the whole process would.
#include <dlfcn.h>
#include <signal.h>
#include <string.h>

#include <string>

#include "scheduler.h"
#include "stacks.h"

namespace emulated {

static const int watched_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr int signals = sizeof watched_signals / sizeof *watched_signals;
static struct sigaction before[signals], interrupt_before;
static bool interruptible;
volatile sig_atomic_t interrupted;
static stack_t stack_before;
static char signal_stack[64 * 1024];  // the fiber's own may be what has run out
static thread_local bool launching;

static uintptr_t program_counter(void* context) {
#if defined(__linux__) && defined(__x86_64__)
    return (uintptr_t) static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__linux__) && defined(__aarch64__)
    return (uintptr_t) static_cast<ucontext_t*>(context)->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

static bool in_image(uintptr_t counter) {
    Dl_info there, own;
    return counter && dladdr((void*)counter, &there) && dladdr((void*)&in_image, &own) &&
           there.dli_fbase == own.dli_fbase;
}

// Python finds the line for a place in the program: bytes from the start of its image.
static std::string place_of(uintptr_t counter) {
    Dl_info own;
    if (!in_image(counter) || !dladdr((void*)&in_image, &own)) return "unknown line";
    return "{" + std::to_string(counter - (uintptr_t)own.dli_fbase) + "}";
}

static void on_signal(int signal, siginfo_t* info, void* context) {
    if (!launching) {  // another thread's: it happens again, to whoever was there before
        for (int i = 0; i < signals; ++i)
            if (watched_signals[i] == signal) sigaction(signal, &before[i], nullptr);
        return;
    }
    std::string text = "divides an integer by zero";
    if (signal == SIGABRT) {
        text = "calls abort()";
    } else if (signal == SIGILL) {
        text = "comes to where the compiler is sure that no thread can come; run it in checked mode";
    } else if (signal != SIGFPE) {
        const uintptr_t address = (uintptr_t)info->si_addr, stack = (uintptr_t)threads[current].stack;
        char where[32];
        snprintf(where, sizeof where, "0x%llx", (unsigned long long)address);
        const bool known = info->si_code != 128;  // SI_KERNEL: of an address that no memory can have
        if (!known) snprintf(where, sizeof where, "no possible address");
        text = known && address < 65536 ? std::string("accesses memory through a null pointer")
               : address + 2 * Stacks::colours - stack < 4 * Stacks::colours  // the page below it
                   ? "has no room on its stack of " + std::to_string(Stacks::size / 1024) + " KB"
                   : std::string("accesses memory that is not there, at ") + where + "; run it in checked mode";
    }
    fail("crash", text.c_str(), place_of(program_counter(context)).c_str(), 0);  // leaves this handler for good
}

void spins(const void* return_address) {
    const std::string place = place_of((uintptr_t)return_address - 1);
    fail("deadlock", "many million atomic operations without waiting: the thread spins, and no other can go on",
         place.c_str(), 0);
}

// Ctrl-C. Python's own handler notes it, to raise KeyboardInterrupt when the launch has ended; the launch ends here and
// now if a kernel's own code runs, else (the runtime, or the C library, holds a lock or a half-made list) at the next
// switch or access.
static void on_interrupt(int signal, siginfo_t* info, void* context) {
    if (interrupt_before.sa_flags & SA_SIGINFO) interrupt_before.sa_sigaction(signal, info, context);
    else interrupt_before.sa_handler(signal);
    if (!launching) return;  // another thread's
    const bool again = interrupted;
    interrupted = 1;
    failed = true;
    const uintptr_t counter = program_counter(context);
#ifdef CHAINRULE_CHECKED
    const bool now = again;  // the next access tells its place, where this may be just before the checker's
#else
    const bool now = true;
    (void)again;
#endif
    if (!now || !in_kernel || !in_image(counter)) return;
    fail("interrupted", "Ctrl-C", place_of(counter).c_str(), 0);
}

void watch_signals(bool may_interrupt) {
    stack_t own = {};
    own.ss_sp = signal_stack;
    own.ss_size = sizeof signal_stack;
    sigaltstack(&own, &stack_before);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < signals; ++i) sigaction(watched_signals[i], &action, &before[i]);
    interrupted = 0;
    interruptible = may_interrupt;
    launching = true;
    if (!interruptible) return;
    action.sa_sigaction = on_interrupt;
    sigaction(SIGINT, &action, &interrupt_before);
}

bool unwatch_signals() {
    if (interruptible) sigaction(SIGINT, &interrupt_before, nullptr);
    launching = false;
    for (int i = 0; i < signals; ++i) sigaction(watched_signals[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
    return interrupted;
}

}  // namespace emulated
