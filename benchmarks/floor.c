/* The floor: the least time in which this kernel can start and end a fully isolated container.
 *
 * One run makes a cgroup on every hierarchy that can hold a limit, starts a process in new mount, pid, uts, ipc, cgroup
 * and net namespaces with one clone of vfork semantics, mounts an overlay root, proc, /dev with its nodes, devpts, shm,
 * mqueue and sysfs, masks and write-protects the paths that Docker does, pivots, executes /bin/nop, waits, and removes
 * all of it. What a container runtime adds (limits, capabilities, a seccomp filter, streams) is its own cost.
 *
 *   floor ROOTFS SCRATCH RUNS [nonet] [bare] [-j WORKERS]
 *
 * ROOTFS holds a static /bin/nop. SCRATCH is a writable directory; its last component also names the cgroups.
 * nonet: no net namespace. bare: no isolation, vfork and execve alone. -j: that many runs at once.
 * Prints {"wall_us": N, "us": [N, ...]}. SIGTERM and SIGINT end it after the runs in flight. Any failure: exit 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HIERARCHIES = 16, MAX_WORKERS = 256, STACK_BYTES = 64 * 1024, PATH_BYTES = 512 };

struct floor {
	const char *rootfs, *scratch, *name;
	int runs, workers, bare, flags;
	int hierarchy[MAX_HIERARCHIES], hierarchies;
	double *us;
};

struct run {
	const struct floor *floor;
	char upper[PATH_BYTES], work[PATH_BYTES], merged[PATH_BYTES], overlay[4 * PATH_BYTES];
	char cgroup[PATH_BYTES], procs[PATH_BYTES], program[PATH_BYTES];
	char stack[STACK_BYTES] __attribute__((aligned(16)));
};

static atomic_int next_run, failed;
static volatile sig_atomic_t stopped;

#define MUST(call)                                                                                                     \
	do {                                                                                                           \
		if ((call) < 0) {                                                                                      \
			dprintf(2, "floor: line %d: %s: %s\n", __LINE__, #call, strerror(errno));                      \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

/* Every v2 mount, and every v1 mount with a controller that limits: neither a named hierarchy nor accounting alone. */
static void open_hierarchies(struct floor *floor)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	for (struct mntent *m; mounts && (m = getmntent(mounts)) && floor->hierarchies < MAX_HIERARCHIES;) {
		int v2 = !strcmp(m->mnt_type, "cgroup2"), v1 = !strcmp(m->mnt_type, "cgroup");
		if (!v2 && (!v1 || strstr(m->mnt_opts, "name=") || !strcmp(strrchr(m->mnt_dir, '/'), "/cpuacct")))
			continue;
		int fd = open(m->mnt_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		MUST(fd);
		floor->hierarchy[floor->hierarchies++] = fd;
	}
	if (mounts)
		endmntent(mounts);
}

/* A v1 cpuset without CPUs takes no member, so a refused write is no failure. */
static void join_cgroups(const struct run *run)
{
	for (int i = 0; i < run->floor->hierarchies; i++) {
		int fd = openat(run->floor->hierarchy[i], run->procs, O_WRONLY | O_CLOEXEC);
		MUST(fd);
		(void)!write(fd, "0", 1);
		close(fd);
	}
}

static void fill_dev(void)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = {
		{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
		{"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
	};
	static const char *links[][2] = {
		{"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
		{"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
	};
	const unsigned long locked = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/shm", 01777));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"));
	MUST(mount("shm", "dev/shm", "tmpfs", locked, "mode=1777,size=65536k"));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", locked, NULL));
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		MUST(symlink(links[i][0], links[i][1]));
}

/* Kernels differ in what /proc has, so that a missing path is no failure here. */
static void protect_proc(void)
{
	static const char *masked[] = {"proc/kcore", "proc/keys", "proc/timer_list"};
	static const char *readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};

	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
		mount("/dev/null", masked[i], NULL, MS_BIND, NULL);
	for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++) {
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			MUST(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_REC, NULL));
	}
}

static int child(void *argument)
{
	const struct run *run = argument;
	char *argv[] = {"/bin/nop", NULL}, *envp[] = {NULL};
	const unsigned long locked = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (!run->floor->bare) {
		join_cgroups(run);
		MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		MUST(mount("overlay", run->merged, "overlay", 0, run->overlay));
		MUST(chdir(run->merged));
		MUST(mount("proc", "proc", "proc", locked, NULL));
		fill_dev();
		MUST(mount("sysfs", "sys", "sysfs", locked | MS_RDONLY, NULL));
		protect_proc();
		MUST(syscall(SYS_pivot_root, ".", "."));
		MUST(umount2(".", MNT_DETACH));
		MUST(chdir("/"));
	}
	execve(run->program, argv, envp);
	dprintf(2, "floor: execve %s: %s\n", run->program, strerror(errno));
	_exit(1);
}

static void name_paths(struct run *run, int number)
{
	const struct floor *floor = run->floor;

	snprintf(run->program, PATH_BYTES, "%s/bin/nop", floor->bare ? floor->rootfs : "");
	snprintf(run->upper, PATH_BYTES, "%s/floor%d.upper", floor->scratch, number);
	snprintf(run->work, PATH_BYTES, "%s/floor%d.work", floor->scratch, number);
	snprintf(run->merged, PATH_BYTES, "%s/floor%d.merged", floor->scratch, number);
	snprintf(run->cgroup, PATH_BYTES, "%s-floor%d", floor->name, number);
	snprintf(run->procs, PATH_BYTES, "%s-floor%d/cgroup.procs", floor->name, number);
	snprintf(run->overlay, sizeof run->overlay, "lowerdir=%s,upperdir=%s,workdir=%s", floor->rootfs, run->upper,
		 run->work);
}

static void prepare(const struct run *run)
{
	for (int i = 0; i < run->floor->hierarchies; i++)
		MUST(mkdirat(run->floor->hierarchy[i], run->cgroup, 0755));
	MUST(mkdir(run->upper, 0755));
	MUST(mkdir(run->work, 0755));
	MUST(mkdir(run->merged, 0755));
}

static void clear(const struct run *run)
{
	int work = open(run->work, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < run->floor->hierarchies; i++)
		unlinkat(run->floor->hierarchy[i], run->cgroup, AT_REMOVEDIR);
	unlinkat(work, "work", AT_REMOVEDIR); /* the overlay's own */
	close(work);
	rmdir(run->upper);
	rmdir(run->work);
	rmdir(run->merged);
}

static void run_once(struct run *run, int number)
{
	int status = -1;
	double start = now_us();

	name_paths(run, number);
	if (!run->floor->bare)
		prepare(run);
	pid_t pid = clone(child, run->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | run->floor->flags | SIGCHLD, run);
	if (pid < 0)
		fprintf(stderr, "floor: clone: %s\n", strerror(errno));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!run->floor->bare)
		clear(run);
	run->floor->us[number] = now_us() - start;
	if (status != 0)
		failed = 1;
}

static void *worker(void *argument)
{
	const struct floor *floor = argument;
	struct run *run = calloc(1, sizeof *run);

	MUST(run ? 0 : -1);
	run->floor = floor;
	for (int number; !failed && !stopped && (number = atomic_fetch_add(&next_run, 1)) < floor->runs;)
		run_once(run, number);
	free(run);
	return NULL;
}

static void work_through(struct floor *floor)
{
	pthread_t thread[MAX_WORKERS];
	double start = now_us();

	for (int i = 0; i < floor->workers; i++)
		MUST(-(errno = pthread_create(&thread[i], NULL, worker, floor)));
	for (int i = 0; i < floor->workers; i++)
		pthread_join(thread[i], NULL);
	if (failed || stopped)
		return;
	printf("{\"wall_us\": %.1f, \"us\": [", now_us() - start);
	for (int i = 0; i < floor->runs; i++)
		printf("%s%.1f", i ? ", " : "", floor->us[i]);
	printf("]}\n");
}

static int parse(struct floor *floor, int argc, char **argv)
{
	if (argc < 4)
		return -1;
	*floor = (struct floor){.rootfs = argv[1], .scratch = argv[2], .runs = atoi(argv[3]), .workers = 1};
	floor->flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;
	floor->name = strrchr(floor->scratch, '/') ? strrchr(floor->scratch, '/') + 1 : floor->scratch;
	for (int i = 4; i < argc; i++) {
		if (!strcmp(argv[i], "nonet"))
			floor->flags &= ~CLONE_NEWNET;
		else if (!strcmp(argv[i], "bare"))
			floor->bare = 1;
		else if (!strcmp(argv[i], "-j") && i + 1 < argc)
			floor->workers = atoi(argv[++i]);
		else
			return -1;
	}
	if (floor->bare)
		floor->flags = 0;
	return floor->runs < 1 || floor->workers < 1 || floor->workers > MAX_WORKERS ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct floor floor;
	struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};

	if (parse(&floor, argc, argv) < 0) {
		fprintf(stderr, "usage: floor ROOTFS SCRATCH RUNS [nonet] [bare] [-j WORKERS]\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	floor.us = calloc((size_t)floor.runs, sizeof *floor.us);
	MUST(floor.us ? 0 : -1);
	if (!floor.bare)
		open_hierarchies(&floor);
	work_through(&floor);
	free(floor.us);
	return failed || stopped;
}
