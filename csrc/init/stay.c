/* PID 1 of a container that was asked for with `init`: passes signals on and reaps what nobody waits for. */
#include "init.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define KERNEL_SIGSET 8
#define IOCTL_SPGRP 0x5410

static void signal_mask(int how, uint64_t mask)
{
	(void)PRT_SYS(SYS_rt_sigprocmask, how, &mask, NULL, KERNEL_SIGSET, 0, 0);
}

/* The child gets a process group of its own, so that a terminal's signals reach it once and not through us again. */
static void become_foreground(int terminal)
{
	int group;

	(void)PRT_SYS(SYS_setpgid, 0, 0, 0, 0, 0, 0);
	group = (int)PRT_SYS(SYS_getpid, 0, 0, 0, 0, 0, 0);
	if (terminal)
		(void)sys_ioctl(0, IOCTL_SPGRP, &group);
	signal_mask(SIG_SETMASK, 0);
}

static void reap(long child, int options)
{
	for (;;) {
		int status;
		long pid = PRT_SYS(SYS_wait4, -1, &status, options, NULL, 0, 0);
		if (pid == child)
			sys_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
		if (pid <= 0)
			return;
	}
}

static _Noreturn void stay(long child)
{
	uint64_t all = ~0ull;

	(void)sys_close_range(0, ~0u, 0);
	for (;;) {
		long signal = PRT_SYS(SYS_rt_sigtimedwait, &all, NULL, NULL, KERNEL_SIGSET, 0, 0);
		if (signal == SIGCHLD)
			reap(child, WNOHANG);
		else if (signal > 0)
			(void)PRT_SYS(SYS_kill, child, signal, 0, 0, 0, 0);
		else if (signal != -EINTR) /* a filter forbids it: without signals, then */
			reap(child, 0);
	}
}

int do_stay(struct init *init, struct prt_error *err)
{
	signal_mask(SIG_SETMASK, ~0ull); /* also SIGTTOU, which the change of the foreground group would raise */
	/* clone(2), not clone3(2): a seccomp filter, which is in force by now, cannot look into clone3's arguments */
	long child = PRT_SYS(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (child > 0) {
		(void)PRT_SYS(SYS_munmap, init->mapped, init->mapped_size, 0, 0, 0, 0); /* paths of the host */
		stay(child);
	}
	if (child == 0)
		become_foreground((int)init->op->a);
	return check(child, "clone", NULL, err);
}
