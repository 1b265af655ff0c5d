/* The keeper: ends an engine's containers when the program that embeds the engine is gone, however it went.
 *
 * One per engine, outside of every container. It starts with
 *   0  a SOCK_SEQPACKET socket on which the engine sends struct order; ADD brings a container's pidfd along
 *   1  a pidfd of the host program: its end is the signal. The socket's end alone would not do, for children
 *      that the host program has forked may hold its other side open.
 *   2… the base directories of hierarchies. In those of their directories whose names begin with argv[3], or in "armed"
 *      there, lie the containers' cgroups, whose names begin with argv[2]. They are looked up at the end only, for
 *      engines make and remove them as it comes.
 * On the end of either it kills all that it still holds (a killed PID 1 takes its namespace with it), waits for them, and
 * removes their cgroups.
 */
#include "init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SLOTS 65536
#define FIRST_BASE 2
#define TRIES 250
#define DEPTH 64 /* each level takes 4 KiB of the stack */

struct order {
	uint32_t kind; /* 1: add, 0: drop */
	uint32_t slot;
};

static int held[SLOTS]; /* pidfd + 1, for zero means none */
static uint32_t top;

static long receive(struct order *order, int *fd)
{
	struct iovec data = {.iov_base = order, .iov_len = sizeof *order};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))};
	long n = PRT_RETRY(PRT_SYS(SYS_recvmsg, 0, &message, MSG_CMSG_CLOEXEC, 0, 0, 0));

	*fd = -1;
	if (n > 0 && message.msg_controllen >= CMSG_LEN(sizeof(int)))
		*fd = *(const int *)(const void *)CMSG_DATA(&control.header);
	return n;
}

/* Answers 0 when the engine has gone. The engine asks for no more than we can hold (pyrt/runtime/keeper.py). */
static int obey(void)
{
	struct order order;
	cleanup_fd int fd = -1;
	long size = receive(&order, &fd);

	if (size <= 0)
		return 0;
	if (size != (long)sizeof order || order.slot >= SLOTS || (order.kind && fd < 0))
		return 1;
	if (held[order.slot])
		(void)sys_close(held[order.slot] - 1);
	held[order.slot] = order.kind ? steal_fd(&fd) + 1 : 0;
	if (order.slot >= top)
		top = order.slot + 1;
	return 1;
}

static void kill_all(void)
{
	for (uint32_t i = 0; i < top; i++)
		if (held[i])
			(void)PRT_SYS(SYS_pidfd_send_signal, held[i] - 1, SIGKILL, NULL, 0, 0, 0);
}

static void wait_for_all(void)
{
	for (uint32_t i = 0; i < top; i++) {
		struct pollfd one = {.fd = held[i] - 1, .events = POLLIN};
		struct {
			int64_t seconds, nanoseconds;
		} limit = {.seconds = 10};
		if (held[i])
			(void)PRT_SYS(SYS_ppoll, &one, 1, &limit, NULL, 0, 0);
	}
}

static int is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int begins_with(const char *name, const char *prefix)
{
	while (*prefix && *name == *prefix) {
		name++;
		prefix++;
	}
	return !*prefix;
}

struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

struct errand {
	const char *prefix; /* of the containers' cgroups */
	int depth;
	void (*act)(int dir, const char *name);
};

typedef void visitor(int dir, const char *name, const struct errand *errand);

static void each_directory(int dir, const char *prefix, visitor *visit, const struct errand *errand)
{
	char buffer[4096] __attribute__((aligned(8)));
	long n;

	(void)PRT_SYS(SYS_lseek, dir, 0, 0 /* SEEK_SET */, 0, 0, 0);
	while ((n = PRT_SYS(SYS_getdents64, dir, buffer, sizeof buffer, 0, 0, 0)) > 0) {
		for (long at = 0; at < n; at += ((const struct entry *)(const void *)(buffer + at))->size) {
			const struct entry *entry = (const void *)(buffer + at);
			if (entry->type == 4 /* DT_DIR */ && !is_dots(entry->name) && begins_with(entry->name, prefix))
				visit(dir, entry->name, errand);
		}
	}
}

static int open_directory(int dir, const char *name)
{
	return sys_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* All in it first, for a container may have made some. */
static void visit_cgroup(int dir, const char *name, const struct errand *errand)
{
	struct errand deeper = *errand;
	cleanup_fd int cgroup = open_directory(dir, name);

	if (cgroup >= 0 && deeper.depth-- > 0)
		each_directory(cgroup, "", visit_cgroup, &deeper);
	errand->act(dir, name);
}

static void visit_parent(int dir, const char *name, const struct errand *errand)
{
	cleanup_fd int parent = open_directory(dir, name);

	if (parent < 0)
		return;
	each_directory(parent, errand->prefix, visit_cgroup, errand);
	each_directory(parent, "armed", visit_parent, errand);
}

/* A process that v1's freezer holds does not die of a signal. Other hierarchies have no such file. */
static void thaw(int dir, const char *name)
{
	cleanup_fd int cgroup = sys_openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	cleanup_fd int state = cgroup < 0 ? -1 : sys_openat(cgroup, "freezer.state", O_WRONLY, 0);

	if (state >= 0)
		(void)sys_write(state, "THAWED", 6);
}

/* Dying tasks leave their cgroup a little after their parent could see them dead. */
static void remove(int dir, const char *name)
{
	for (int tries = 0; tries < TRIES; tries++) {
		int64_t pause[2] = {0, 2000000};
		if (sys_unlinkat(dir, name, 0x200 /* AT_REMOVEDIR */) != -EBUSY)
			break;
		(void)PRT_SYS(SYS_nanosleep, pause, NULL, 0, 0, 0, 0);
	}
}

/* argv[0] and argv[1] are the prefixes of the cgroups and of their parents. */
static void visit_all(char **argv, void (*act)(int dir, const char *name))
{
	for (int dir = FIRST_BASE; argv[0] && argv[1] && sys_fcntl(dir, F_GETFD, 0) >= 0; dir++) {
		struct errand errand = {.prefix = argv[0], .depth = DEPTH, .act = act};
		each_directory(dir, argv[1], visit_parent, &errand);
	}
}

/* As many containers as the hard limit allows to hold. */
static void raise_limit(void)
{
	uint64_t limit[2];

	if (PRT_SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, limit, 0, 0) < 0)
		return;
	limit[0] = limit[1];
	(void)PRT_SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, limit, NULL, 0, 0);
}

_Noreturn void run_keeper(char **argv)
{
	struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLIN}};
	uint64_t all = ~0ull;

	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all, 0, 0);
	(void)PRT_SYS(SYS_setsid, 0, 0, 0, 0, 0, 0);
	raise_limit();
	for (;;) {
		if (PRT_SYS(SYS_ppoll, ends, 2, NULL, NULL, 0, 0) < 0)
			continue;
		if (ends[1].revents || (ends[0].revents && !obey()))
			break;
	}
	kill_all();
	visit_all(argv, thaw);
	wait_for_all();
	visit_all(argv, remove);
	sys_exit(0);
}
