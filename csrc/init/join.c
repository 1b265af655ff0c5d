/* JOIN: from the host program's side into a running container (setns(2), pid_namespaces(7)).
 *
 * We stay outside of the container's pid namespace, as nobody in there can see us, and wait for the process that we make in
 * there. It must not be the host program's own child: the container's first process cannot end before all in its namespace
 * are waited for, which a host program may do late or never.
 *
 * The container is hostile, and sees the new process from its first instruction on. So before it exists it is made undumpable,
 * in the host's user namespace: nobody in there may trace it or look at its descriptors, until it has executed the container's
 * own program. What is open leads nowhere: the control socket, and until it has entered them the container's cgroups and its pidfd.
 */
#include "init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../prt_clone.h"

#define KERNEL_SIGSET 8
#define TRACER_TRIES 100
#define TRACER_US 10000

static void signal_mask(uint64_t mask)
{
	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_SIGSET, 0, 0);
}

/* Leave the wait to a process that is nobody's child; `err` is told by whoever is left. */
static int detach(struct prt_error *err)
{
	long waiter = PRT_SYS(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (waiter > 0)
		sys_exit(0);
	return check(waiter, "clone", "a process that waits", err);
}

/* The child's status, once its pidfd (which is 0) says that it has ended. One that is traced from within the container is its
 * tracer's to wait for first (ptrace(2)), who may never do it: it counts as killed then. */
static int status_of(long child)
{
	struct pollfd end = {.fd = 0, .events = POLLIN};
	int status;

	while (PRT_SYS(SYS_ppoll, &end, 1, NULL, NULL, 0, 0) < 0)
		;
	for (int tries = 0; tries < TRACER_TRIES; tries++) {
		if (PRT_SYS(SYS_wait4, child, &status, WNOHANG, NULL, 0, 0) == child)
			return status;
		sys_sleep_us(TRACER_US);
	}
	return SIGKILL;
}

/* End as the child does. Being undumpable we leave no core. */
static _Noreturn void wait_for(const struct init *init, long child, int pidfd)
{
	(void)sys_dup3(pidfd, 0, O_CLOEXEC);
	(void)sys_close_range(1, ~0u, 0);
	(void)PRT_SYS(SYS_munmap, init->mapped, init->mapped_size, 0, 0, 0, 0); /* arguments, perhaps secret ones */
	(void)PRT_SYS(SYS_setsid, 0, 0, 0, 0, 0, 0);                            /* no signal of the host's terminal */
	int status = status_of(child);
	if (!WIFSIGNALED(status))
		sys_exit(WEXITSTATUS(status));
	signal_mask(~(1ull << (WTERMSIG(status) - 1)));
	(void)PRT_SYS(SYS_kill, PRT_SYS(SYS_getpid, 0, 0, 0, 0, 0, 0), WTERMSIG(status), 0, 0, 0, 0);
	sys_exit(128 + WTERMSIG(status));
}

/* Into the cgroups first, from where the cgroup namespace is entered: what v2 calls a delegation boundary is then behind us. */
static int enter_cgroups(const struct prt_op *op, struct prt_error *err)
{
	for (int i = 0; i < (int)op->b; i++)
		if (check(sys_write(PRT_FD_TARGET + 1 + i, "0", 1), "write", "tasks of the exec's cgroup", err) < 0)
			return -1;
	if (op->a & CLONE_NEWCGROUP &&
	    check(sys_setns(PRT_FD_TARGET, CLONE_NEWCGROUP), "setns", "the container's cgroup namespace", err) < 0)
		return -1;
	return check(sys_close_range(PRT_FD_TARGET, ~0u, 0), "close_range", NULL, err);
}

/* A container that has not pivoted would have us on the host's root. */
static int enter_root(struct init *init, const struct stat *host, struct prt_error *err)
{
	struct stat st;

	if (check(sys_fstatat(AT_FDCWD, "/", &st, 0), "stat", "/", err) < 0)
		return -1;
	if (st.st_dev == host->st_dev && st.st_ino == host->st_ino)
		return prt_fail(err, EXDEV, "setns", "/", "the root is the host's, not a container's");
	init->root = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	init->report.rooted_ns = now_ns();
	return check(init->root, "open", "/", err);
}

/* The child, in the container. Until here it has the host program's ids, to which the cgroups belong. */
static int arrive(struct init *init, const struct stat *host, struct prt_error *err)
{
	signal_mask(0);
	if (enter_cgroups(init->op, err) < 0)
		return -1;
	if (check(sys_become_root(), "setresuid", "root of the container", err) < 0)
		return -1;
	return enter_root(init, host, err);
}

int do_join(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	struct stat host;
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | (op->c ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = op->c ? PRT_FD_TARGET + 1 + op->b : 0,
	};

	if (op->flags & PRT_DETACH && detach(err) < 0)
		return -1;
	if (check(sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE", err) < 0)
		return -1;
	if (check(sys_fstatat(AT_FDCWD, "/", &host, 0), "stat", "/", err) < 0)
		return -1;
	if (check(sys_setns(PRT_FD_TARGET, (int)op->a & ~CLONE_NEWCGROUP), "setns", "the container", err) < 0)
		return -1;
	prt_cleanup_fd(&init->root);
	signal_mask(~0ull);
	long child = PRT_SYS(SYS_clone3, &args, sizeof args, 0, 0, 0, 0);
	if (child < 0)
		return check(child, "clone3", "a process in the container", err);
	if (child == 0)
		return arrive(init, &host, err);
	struct prt_joined joined = {.pid = (uint64_t)child};
	(void)send_fd(pidfd, &joined, sizeof joined); /* a host program that is gone lets nobody GO */
	wait_for(init, child, pidfd);
}
