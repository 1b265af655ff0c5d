#include "init.h"

#include <errno.h>
#include <linux/mman.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#define STEP(kind, name) [kind] = {do_##name, #name}

static const struct {
	handler *run;
	const char *name;
} steps[PRT_OP_KINDS] = {
	STEP(PRT_PROPAGATION, propagation),
	STEP(PRT_NEW_MOUNT, new_mount),
	STEP(PRT_OPEN_TREE, open_tree),
	STEP(PRT_ATTACH, attach),
	STEP(PRT_DIR, dir),
	STEP(PRT_FILE, file),
	STEP(PRT_SYMLINK, symlink),
	STEP(PRT_NODE, node),
	STEP(PRT_ROOT_ATTRIBUTES, root_attributes),
	STEP(PRT_MASK, mask),
	STEP(PRT_READONLY, readonly),
	STEP(PRT_SYSCTL, sysctl),
	STEP(PRT_MKDIRS, mkdirs),
	STEP(PRT_PIVOT, pivot),
	STEP(PRT_SETSID, setsid),
	STEP(PRT_TTY, tty),
	STEP(PRT_HOSTNAME, hostname),
	STEP(PRT_DOMAINNAME, domainname),
	STEP(PRT_LOOPBACK, loopback),
	STEP(PRT_OOM_SCORE, oom_score),
	STEP(PRT_RLIMIT, rlimit),
	STEP(PRT_UMASK, umask),
	STEP(PRT_BOUNDING, bounding),
	STEP(PRT_USER, user),
	STEP(PRT_CWD, cwd),
	STEP(PRT_NO_NEW_PRIVS, no_new_privs),
	STEP(PRT_LANDLOCK_NEW, landlock_new),
	STEP(PRT_LANDLOCK_PATH, landlock_path),
	STEP(PRT_LANDLOCK_ENFORCE, landlock_enforce),
	STEP(PRT_GO, go),
	STEP(PRT_SECCOMP, seccomp),
	STEP(PRT_CAPABILITIES, capabilities),
	STEP(PRT_STAY, stay),
	STEP(PRT_PROGRAM, program),
	STEP(PRT_EXEC, exec),
	STEP(PRT_TAKE, take),
	STEP(PRT_OVERLAY, overlay),
	STEP(PRT_JOIN, join),
};

uint64_t now_ns(void)
{
	struct timespec t;

	(void)PRT_SYS(SYS_clock_gettime, CLOCK_MONOTONIC, &t, 0, 0, 0, 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The host program may ignore signals (Python does, SIGPIPE); a new program wants to find the defaults. */
static void reset_signals(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} standard = {0};
	uint64_t none = 0;

	for (int signal = 1; signal <= 64; signal++)
		(void)PRT_SYS(SYS_rt_sigaction, signal, &standard, NULL, sizeof none, 0, 0);
	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none, 0, 0);
}

/* Where the plan is; its size, or -1. */
static long map_plan(const char **plan, struct prt_error *err)
{
	struct stat st;

	int ret = (int)PRT_SYS(SYS_fstat, PRT_FD_PLAN, &st, 0, 0, 0, 0);
	if (ret < 0)
		return check(ret, "fstat", "plan", err);
	long at = PRT_SYS(SYS_mmap, 0, st.st_size, PROT_READ, MAP_PRIVATE, PRT_FD_PLAN, 0);
	if (at < 0 && at > -4096)
		return check(at, "mmap", "plan", err);
	(void)sys_close(PRT_FD_PLAN);
	*plan = (const char *)at;
	return st.st_size;
}

static int run_op(struct init *init, const struct prt_op *op, struct prt_error *err)
{
	init->op = op;
	if (op->kind >= PRT_OP_KINDS || !steps[op->kind].run)
		return prt_fail(err, EINVAL, "plan", NULL, "an operation that pyrt-init does not know");
	return steps[op->kind].run(init, err);
}

static int run_plan(struct init *init, struct prt_error *err)
{
	const char *plan = NULL;
	long size = map_plan(&plan, err);
	int32_t step = 0;

	if (size < 0)
		return -1;
	init->mapped = plan;
	init->mapped_size = size;
	for (long at = 0; at < size;) {
		const struct prt_plan *fragment = (const void *)(plan + at);
		if (size - at < (long)sizeof *fragment || fragment->magic != PRT_PLAN_MAGIC ||
		    fragment->size > size - at || fragment->size % sizeof(uint64_t) ||
		    fragment->size < sizeof *fragment + fragment->op_count * sizeof(struct prt_op))
			return prt_fail(err, EINVAL, "plan", NULL, "not a plan of this version of pyrt-init");
		init->plan = plan + at;
		for (uint32_t i = 0; i < fragment->op_count; i++, step++) {
			if (run_op(init, (const struct prt_op *)(fragment + 1) + i, err) < 0) {
				err->step = step + 1;
				return -1;
			}
		}
		at += fragment->size;
	}
	return prt_fail(err, EINVAL, "plan", NULL, "it ends without an exec");
}

/* The plan's own place, and then the report of a failure, are all that runs before the program. */
static _Noreturn void run_container(int joins)
{
	static struct init init = {.root = -1, .kept = -1, .parent = -1, .empty = -1, .landlock = -1, .terminal = -1};
	static struct prt_error err;

	init.report.entered_ns = now_ns();
	init.root = joins ? sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0) : -1;
	for (int i = 0; i < PRT_SLOTS; i++)
		init.slots[i] = -1;
	if (sys_fcntl(PRT_FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0) {
		static const char note[] = "pyrt-init: only pyrt can start this program\n";
		(void)sys_write(2, note, sizeof note - 1);
		sys_exit(125);
	}
	reset_signals();
	(void)PRT_SYS(SYS_umask, 0, 0, 0, 0, 0, 0);
	/* The exec has kept our capabilities, but in a user namespace not an id that it maps (prt_spawn.c). Who joins a
	 * container is in none yet. */
	if (joins || check(sys_become_root(), "setresuid", "root of the user namespace", &err) == 0)
		(void)run_plan(&init, &err);
	(void)sys_write(PRT_FD_CONTROL, &err, sizeof err);
	sys_exit(125);
}

_Noreturn void prt_start(long *stack);

/* `stack` is what the kernel passes: argc, argv, … */
__attribute__((used)) _Noreturn void prt_start(long *stack)
{
	char **argv = (char **)(stack + 1);

	if (stack[0] > 1 && argv[1][0] == 'k')
		run_keeper(argv + 2);
	if (stack[0] > 1 && argv[1][0] == 'm')
		run_monitor();
	run_container(stack[0] > 1 && argv[1][0] == 'e');
}

#if defined(PRT_FREESTANDING) && defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall prt_start\n\tud2\n");
#elif defined(PRT_FREESTANDING) && defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x0, sp\n\tbl prt_start\n\tbrk #0\n");
#endif
