// Changing from one stack to another: what a function call keeps is pushed, the stack pointer exchanged.
#ifndef GRADDB_FIBER_H
#define GRADDB_FIBER_H

#include <stddef.h>
#include <stdint.h>

// Goes on at `to`; `*from` is where this goes on.
extern "C" void gd_fiber_switch(void **from, void *to);

#if defined(__x86_64__)
asm(R"(
    .text
    .globl gd_fiber_switch
    .hidden gd_fiber_switch
    .type gd_fiber_switch, @function
gd_fiber_switch:
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
    ret
    .size gd_fiber_switch, .-gd_fiber_switch
    .section .note.GNU-stack,"",@progbits
    .text
)");
// A stack that goes on at the start of `entry`.
inline void *fiber_start(uint8_t *stack_end, void (*entry)()) {
    void **top = (void **)stack_end;
    *--top = 0;  // where `entry` would return to; it keeps the stack aligned as after a call
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = 0;
    return top;
}
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl gd_fiber_switch
    .hidden gd_fiber_switch
    .type gd_fiber_switch, %function
gd_fiber_switch:
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
    .size gd_fiber_switch, .-gd_fiber_switch
    .section .note.GNU-stack,"",%progbits
    .text
)");
inline void *fiber_start(uint8_t *stack_end, void (*entry)()) {
    void **top = (void **)(stack_end - 160);
    for (int i = 0; i < 20; i++) top[i] = 0;
    top[11] = (void *)entry;  // x30
    return top;
}
#else
#error "fibers are there for x86-64 and AArch64"
#endif
#endif
