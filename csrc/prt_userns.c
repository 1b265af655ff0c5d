#include "prt_userns.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prt_util.h"

#define PAGE ((size_t)16384) /* a multiple of every page size of x86_64 and of aarch64's usual ones */
#define STACK (2 * PAGE)     /* one guard, one used */

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* Shares memory, thread pointer and descriptors with the host: raw system calls only, and every signal is blocked. */
static int wait_for_the_end(void *parent)
{
	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (PRT_SYS(SYS_getppid, 0, 0, 0, 0, 0, 0) == (long)(intptr_t)parent)
		(void)PRT_SYS(SYS_ppoll, NULL, 0, NULL, NULL, 0, 0);
	return 0;
}

static int make_child(struct prt_userns *self, struct prt_error *err)
{
	/* CLONE_FILES: a copied table would hold the host program's pipes open for as long as the child lives. */
	const int flags = CLONE_NEWUSER | CLONE_VM | CLONE_FILES | CLONE_PIDFD;
	sigset_t all, before;
	char *stack;
	int failure;

	stack = mmap(NULL, STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return prt_fail(err, errno, "mmap", NULL, "stack of the child that holds a user namespace");
	self->stack = stack;
	if (mprotect(stack + PAGE, STACK - PAGE, PROT_READ | PROT_WRITE) < 0)
		return prt_fail(err, errno, "mprotect", NULL, "stack of the child that holds a user namespace");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	self->pid = clone(wait_for_the_end, stack + STACK, flags, (void *)(intptr_t)getpid(), &self->pidfd);
	failure = errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (self->pid < 0) {
		self->pid = 0;
		self->pidfd = -1;
		return prt_fail(err, failure, "clone", NULL, "CLONE_NEWUSER");
	}
	return 0;
}

static int open_child(struct prt_userns *self, struct prt_error *err)
{
	char path[32];

	(void)snprintf(path, sizeof path, "/proc/%d", (int)self->pid);
	self->proc = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (self->proc < 0)
		return prt_fail(err, -self->proc, "open", path, "is /proc mounted for this pid namespace?");
	self->ns = sys_openat(self->proc, "ns/user", O_RDONLY, 0);
	if (self->ns < 0)
		return prt_fail(err, -self->ns, "open", "ns/user", "below the /proc directory of a child");
	return 0;
}

int prt_userns_begin(struct prt_userns *self, struct prt_error *err)
{
	*self = PRT_USERNS_NONE;
	if (make_child(self, err) < 0 || open_child(self, err) < 0) {
		prt_userns_close(self);
		return -1;
	}
	return 0;
}

int prt_userns_write(const struct prt_userns *self, const char *name, const char *text, size_t size,
		     struct prt_error *err)
{
	cleanup_fd int fd = sys_openat(self->proc, name, O_WRONLY, 0);
	long written;

	if (fd < 0)
		return prt_fail(err, -fd, "open", name, "of a new user namespace");
	written = PRT_RETRY(sys_write(fd, text, size));
	if (written < 0)
		return prt_fail(err, (int)-written, "write", name, "of a new user namespace");
	if ((size_t)written != size)
		return prt_fail(err, EIO, "write", name, "the kernel took a part only");
	return 0;
}

void prt_userns_end(struct prt_userns *self)
{
	siginfo_t ended;

	if (self->pid > 0) {
		(void)PRT_SYS(SYS_pidfd_send_signal, self->pidfd, SIGKILL, NULL, 0, 0, 0);
		/* __WALL, for a child without an exit signal is not among those that a plain wait sees. */
		(void)PRT_RETRY(PRT_SYS(SYS_waitid, P_PIDFD, self->pidfd, &ended, WEXITED | __WALL, NULL, 0));
	}
	if (self->stack)
		(void)munmap(self->stack, STACK);
	if (self->proc >= 0)
		(void)sys_close(self->proc);
	if (self->pidfd >= 0)
		(void)sys_close(self->pidfd);
	self->pid = 0;
	self->stack = NULL;
	self->proc = self->pidfd = -1;
}

void prt_userns_close(struct prt_userns *self)
{
	prt_userns_end(self);
	if (self->ns >= 0)
		(void)sys_close(self->ns);
	self->ns = -1;
}
