// Fibers: each has a stack of its own, and going from one to another is a function call that returns elsewhere.
#pragma once
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) || defined(__aarch64__)

// Saves the registers that a call must preserve on the present stack, and its address in *from; then the same
// backwards, from the stack at `to`.
extern "C" void chainrule_switch(void** from, void* to) __asm__("chainrule_switch");

#if defined(__x86_64__)
// It leaves by a jump: a `ret` to where no call came from is always predicted wrong.
__asm__(R"(
.text
.globl chainrule_switch
chainrule_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
)");
constexpr size_t frame_words = 8, return_word = 6;  // 6 registers, the address to return to, and one for alignment
#else
__asm__(R"(
.text
.globl chainrule_switch
chainrule_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
constexpr size_t frame_words = 20, return_word = 11;  // x30
#endif

class Context {
    void* top = nullptr;

public:
    // The first switch to this context calls `enter`, which must never return, on the given stack.
    void prepare(char* stack, size_t size, void (*enter)()) {
        void** frame = reinterpret_cast<void**>(stack + size) - frame_words;
        for (size_t i = 0; i < frame_words; ++i) frame[i] = nullptr;
        frame[return_word] = reinterpret_cast<void*>(enter);
        top = frame;
    }
    static void go(Context& from, Context& to) { chainrule_switch(&from.top, to.top); }
};

#else  // any other processor: slower, as swapcontext asks the kernel for the signal mask
#include <ucontext.h>

class Context {
    ucontext_t saved;

public:
    void prepare(char* stack, size_t size, void (*enter)()) {
        getcontext(&saved);
        saved.uc_stack.ss_sp = stack;
        saved.uc_stack.ss_size = size;
        saved.uc_link = nullptr;
        makecontext(&saved, enter, 0);
    }
    static void go(Context& from, Context& to) { swapcontext(&from.saved, &to.saved); }
};

#endif
