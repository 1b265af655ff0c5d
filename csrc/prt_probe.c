#include "prt_probe.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prt_util.h"

#define PAGE ((size_t)16384)
#define STACK (3 * PAGE) /* one guard, two used */

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct attempt {
	const char *lower;
	int userns;
	struct prt_error *err;
	char upper[40], work[40], target[40], options[160];
};

/* Everything below runs between clone and exit, in shared memory: raw system calls, and text built by hand. */

static char *put(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	*to = 0;
	return to;
}

/* "/proc/self/fd/FD/NAME" */
static void put_path(char *to, int fd, const char *name)
{
	char digits[12];
	size_t n = sizeof digits - 1;

	digits[n] = 0;
	do
		digits[--n] = (char)('0' + fd % 10);
	while (fd /= 10);
	put(put(put(put(to, "/proc/self/fd/"), digits + n), "/"), name);
}

static int fail(const struct attempt *try, int negative, const char *op, const char *path)
{
	return prt_fail(try->err, -negative, op, path, try->userns >= 0 ? "in a user namespace" : "");
}

static int enter(const struct attempt *try)
{
	int ret;

	if (try->userns >= 0 && (ret = sys_setns(try->userns, CLONE_NEWUSER)) < 0)
		return fail(try, ret, "setns", "user namespace");
	if (try->userns >= 0 && (ret = sys_become_root()) < 0)
		return fail(try, ret, "setresuid", "user namespace");
	ret = sys_unshare(CLONE_NEWNS);
	if (ret < 0)
		return fail(try, ret, "unshare", "mount namespace");
	ret = (int)PRT_SYS(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL, 0);
	return ret < 0 ? fail(try, ret, "mount", "/") : 0;
}

/* A tmpfs on the lower directory itself: it needs no other place, and "." still means what it covers. */
static int make_scratch(const struct attempt *try)
{
	cleanup_fd int context = (int)PRT_SYS(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC, 0, 0, 0, 0);
	int mount, ret;

	if (context < 0)
		return fail(try, context, "fsopen", "tmpfs");
	ret = (int)PRT_SYS(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0, 0);
	if (ret < 0)
		return fail(try, ret, "fsconfig", "tmpfs");
	mount = (int)PRT_SYS(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0, 0, 0, 0);
	if (mount < 0)
		return fail(try, mount, "fsmount", "tmpfs");
	ret = (int)PRT_SYS(SYS_move_mount, mount, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH, 0);
	if (ret < 0)
		return fail(try, ret, "move_mount", try->lower);
	if ((ret = sys_mkdirat(mount, "u", 0700)) < 0 || (ret = sys_mkdirat(mount, "w", 0700)) < 0 ||
	    (ret = sys_mkdirat(mount, "m", 0700)) < 0)
		return fail(try, ret, "mkdir", "tmpfs");
	return mount;
}

static int mount_overlay(struct attempt *try, int scratch)
{
	const char *attribute = try->userns >= 0 ? "user.overlay.opaque" : "trusted.overlay.opaque";
	char *end;
	int ret;

	put_path(try->upper, scratch, "u");
	put_path(try->work, scratch, "w");
	put_path(try->target, scratch, "m");
	end = put(put(try->options, "lowerdir=.,upperdir="), try->upper);
	end = put(put(end, ",workdir="), try->work);
	if (try->userns >= 0)
		put(end, ",userxattr");
	ret = (int)PRT_SYS(SYS_mount, "overlay", try->target, "overlay", 0, try->options, 0);
	if (ret < 0)
		return fail(try, ret, "mount", try->lower);
	/* Without this a directory cannot be replaced, nor an image's directory hidden. tmpfs: Linux 6.6 for user.* */
	ret = (int)PRT_SYS(SYS_setxattr, try->upper, attribute, "y", 1, 0, 0);
	return ret < 0 ? fail(try, ret, "setxattr", attribute) : 0;
}

static int attempt(void *arg)
{
	struct attempt *try = arg;
	int ret, scratch;

	if (enter(try) < 0)
		return 1;
	ret = sys_chdir(try->lower ? try->lower : "/");
	if (ret < 0)
		return fail(try, ret, "chdir", try->lower), 1;
	scratch = make_scratch(try);
	if (scratch < 0)
		return 1;
	return try->lower && mount_overlay(try, scratch) < 0;
}

int prt_probe_overlay(const char *lower, int userns, struct prt_error *err)
{
	struct attempt try = {.lower = lower, .userns = userns, .err = err};
	cleanup_fd int pidfd = -1;
	sigset_t all, before;
	siginfo_t ended = {0};
	long waited;
	char *stack;
	int pid, failure, dumpable = sys_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);

	stack = mmap(NULL, STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return prt_fail(err, errno, "mmap", NULL, "stack of a child");
	if (mprotect(stack + PAGE, STACK - PAGE, PROT_READ | PROT_WRITE) < 0) {
		failure = errno;
		(void)munmap(stack, STACK);
		return prt_fail(err, failure, "mprotect", NULL, "stack of a child");
	}
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = clone(attempt, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, &try, &pidfd);
	failure = errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	waited = pid < 0 ? 0 : PRT_RETRY(PRT_SYS(SYS_waitid, P_PIDFD, pidfd, &ended, WEXITED | __WALL, NULL, 0));
	(void)munmap(stack, STACK);
	/* A change of uid takes this flag from the memory, which the child shared with us. */
	if (dumpable == 1)
		(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (pid < 0)
		return prt_fail(err, failure, "clone", NULL, "child that tries an overlay");
	if (waited < 0)
		return prt_fail(err, (int)-waited, "waitid", NULL, "child that tries an overlay");
	if (ended.si_code != CLD_EXITED)
		return prt_fail(err, EINTR, "waitid", NULL, "the child that tries an overlay was killed");
	return ended.si_status ? -1 : 0;
}
