/* prt_clone: clone3(2) for a child that shares our memory and runs on a stack of its own. */
#pragma once

#include <linux/sched.h>

#include "prt_sys.h"

/* For what a child runs and never leaves: ASan's poison around its variables would stay, in memory that is the parent's. */
#define prt_child_entry __attribute__((no_sanitize("address")))

/* Start `run(argument)`, which must not return; `args` has CLONE_VM and the stack. The child's pid, or a negative errno. */
static inline long prt_clone_run(struct clone_args *args, void (*run)(void *), void *argument)
{
#if defined(__x86_64__)
	long ret;
	register void (*r8)(void *) __asm__("r8") = run;
	register void *r9 __asm__("r9") = argument;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone3), "D"(args), "S"(sizeof *args), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof *args;
	register void (*x2)(void *) __asm__("x2") = run;
	register void *x3 __asm__("x3") = argument;

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x3\n\t"
			 "blr x2\n\t"
			 "brk #0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
			 : "x30", "memory");
	return x0;
#endif
}
