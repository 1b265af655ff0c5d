#include "prt_spawn.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "prt_clone.h"
#include "prt_mount.h"
#include "prt_util.h"

#define STACK 16384
#define KERNEL_SIGSET 8

struct child {
	const struct prt_spawn *spawn;
	struct prt_error *err; /* the parent's: its memory is ours until the exec */
	int program;           /* ours to close by the exec, when it is not the caller's */
	int pidfd;
	int pid;
};

static int fail(struct child *child, long ret, const char *op, const char *msg)
{
	return prt_fail(child->err, (int)-ret, op, NULL, msg);
}

/* Put the descriptors where pyrt-init expects them, and the program behind them, to be closed by the exec. */
static int arrange(struct child *child)
{
	const struct prt_spawn *spawn = child->spawn;
	int count = (int)spawn->fd_count, high[PRT_SPAWN_FDS + 1];

	for (int i = 0; i <= count; i++) {
		high[i] = sys_fcntl(i < count ? spawn->fds[i] : child->program, F_DUPFD_CLOEXEC, count + 1);
		if (high[i] < 0)
			return fail(child, high[i], "dup", NULL);
	}
	for (int i = 0; i <= count; i++) {
		int ret = sys_dup3(high[i], i, i < count ? 0 : O_CLOEXEC);
		if (ret < 0)
			return fail(child, ret, "dup3", NULL);
	}
	int ret = sys_close_range((unsigned)count + 1, ~0u, 0);
	return ret < 0 ? fail(child, ret, "close_range", NULL) : 0;
}

static int enter_cgroups(struct child *child)
{
	const struct prt_spawn *spawn = child->spawn;

	/* A single thread that writes itself to `tasks` skips the lock, and so the RCU grace period, of `cgroup.procs`. */
	for (size_t i = 0; i < spawn->join_count; i++) {
		long ret = sys_write(spawn->joins[i], "0", 1);
		if (ret < 0)
			return fail(child, ret, "join cgroup", NULL);
	}
	if (spawn->namespaces & CLONE_NEWCGROUP) {
		int ret = sys_unshare(CLONE_NEWCGROUP);
		if (ret < 0)
			return fail(child, ret, "unshare", "cgroup namespace");
	}
	return 0;
}

/* Whom the namespace does not map would lose them by the exec. To become its root before that is no way out: a change of
 * uid makes the memory, which is the caller's, undumpable. pyrt-init does it in its own. */
static int keep_capabilities(struct child *child)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {{0}, {0}};
	long ret = PRT_SYS(SYS_capget, &header, sets, 0, 0, 0, 0);

	for (int word = 0; word < 2; word++)
		sets[word].inheritable = sets[word].permitted;
	if (ret >= 0)
		ret = PRT_SYS(SYS_capset, &header, sets, 0, 0, 0, 0);
	for (unsigned long cap = 0; cap < 64 && ret >= 0; cap++)
		if (sets[cap / 32].permitted >> cap % 32 & 1)
			ret = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return ret < 0 ? fail(child, ret, "keep capabilities", "in the user namespace") : 0;
}

/* Where memory files may not be executed: a read-only mount of a file, which root in the container could else write to by
 * /proc/self/exe (CVE-2019-5736). The keeper, in no container and without privileges, executes the file itself. */
static int open_program(struct child *child)
{
	const struct prt_spawn *spawn = child->spawn;

	if (spawn->program >= 0 || !(spawn->namespaces & CLONE_NEWNS)) {
		child->program = spawn->program >= 0 ? spawn->program : sys_openat(AT_FDCWD, spawn->path, O_PATH, 0);
		return child->program < 0 ? fail(child, child->program, "open", "pyrt-init") : 0;
	}
	child->program = prt_mount_clone(AT_FDCWD, spawn->path, 0, child->err);
	if (child->program < 0)
		return -1;
	return prt_mount_set(child->program, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, child->err);
}

prt_child_entry static void run_init(void *argument)
{
	struct child *child = argument;
	char *const envp[] = {NULL};

	if (enter_cgroups(child) == 0 && open_program(child) == 0 && arrange(child) == 0 &&
	    (child->spawn->userns < 0 || keep_capabilities(child) == 0)) {
		long ret = sys_execveat((int)child->spawn->fd_count, "", child->spawn->argv, envp, AT_EMPTY_PATH);
		(void)fail(child, ret, "execveat", "pyrt-init");
	}
	sys_exit(1);
}

static long start(struct child *child, uint64_t extra)
{
	const struct prt_spawn *spawn = child->spawn;
	char own_stack[STACK] __attribute__((aligned(16)));
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | extra |
			 (spawn->namespaces & ~(uint64_t)CLONE_NEWCGROUP),
		.pidfd = (uint64_t)(uintptr_t)&child->pidfd,
		.exit_signal = extra & CLONE_PARENT ? 0 : SIGCHLD,
		.stack = (uint64_t)(uintptr_t)own_stack,
		.stack_size = STACK,
	};

	if (spawn->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)spawn->cgroup;
	}
	long pid = prt_clone_run(&args, run_init, child);
	if (pid < 0)
		(void)fail(child, pid, "clone3", "a new process in namespaces of its own");
	return pid;
}

/* The intermediate child: shares memory and descriptors with the caller, so what it gets the caller has. */
prt_child_entry static void run_intermediate(void *argument)
{
	struct child *child = argument;
	long ret = sys_setns(child->spawn->userns, CLONE_NEWUSER);

	if (ret < 0)
		(void)fail(child, ret, "setns", "user namespace");
	else
		child->pid = (int)start(child, CLONE_PARENT);
	sys_exit(0);
}

static long start_in_userns(struct child *child)
{
	char stack[3 * STACK] __attribute__((aligned(16))); /* holds that of the real child */
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_CLEAR_SIGHAND,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = sizeof stack,
	};
	int status;
	long pid = prt_clone_run(&args, run_intermediate, child);

	if (pid < 0)
		return fail(child, pid, "clone3", "an intermediate process");
	(void)PRT_RETRY(PRT_SYS(SYS_wait4, pid, &status, __WALL, NULL, 0, 0));
	if (!child->pid && !child->err->code)
		return prt_fail(child->err, EINTR, "clone3", NULL, "the intermediate process was killed");
	return child->pid;
}

static void reap(struct child *child, long pid)
{
	int status;

	if (pid > 0)
		(void)PRT_RETRY(PRT_SYS(SYS_wait4, pid, &status, __WALL, NULL, 0, 0));
	prt_cleanup_fd(&child->pidfd);
}

int prt_spawn(const struct prt_spawn *spawn, int *pidfd, struct prt_error *err)
{
	struct child child = {.spawn = spawn, .err = err, .pidfd = -1};
	uint64_t all = ~0ull, old;

	err->code = 0;
	if (spawn->fd_count > PRT_SPAWN_FDS)
		return prt_fail(err, E2BIG, "spawn", NULL, "too many descriptors");
	/* No handler of the host program may run in a child that shares its memory. */
	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, KERNEL_SIGSET, 0, 0);
	long pid = spawn->userns < 0 ? start(&child, 0) : start_in_userns(&child);
	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_SIGSET, 0, 0);
	if (err->code) {
		reap(&child, pid);
		return -1;
	}
	*pidfd = child.pidfd;
	return (int)pid;
}
