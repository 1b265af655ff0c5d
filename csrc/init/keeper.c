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
#define BASES 32

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

/* As many containers as the hard limit allows to hold. */
static void raise_limit(void)
{
	uint64_t limit[2];

	if (PRT_SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, limit, 0, 0) < 0)
		return;
	limit[0] = limit[1];
	(void)PRT_SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, limit, NULL, 0, 0);
}

/* The descriptors of the bases. */
static unsigned count_bases(int *bases, unsigned limit)
{
	unsigned count = 0;

	while (count < limit && sys_fcntl(FIRST_BASE + (int)count, F_GETFD, 0) >= 0) {
		bases[count] = FIRST_BASE + (int)count;
		count++;
	}
	return count;
}

/* argv[0] and argv[1] are the prefixes of the cgroups and of their parents. */
_Noreturn void run_keeper(char **argv)
{
	int bases[BASES];
	struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLIN}};
	uint64_t all = ~0ull;

	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all, 0, 0);
	(void)PRT_SYS(SYS_setsid, 0, 0, 0, 0, 0, 0);
	raise_limit();
	unsigned base_count = count_bases(bases, BASES);
	for (;;) {
		if (PRT_SYS(SYS_ppoll, ends, 2, NULL, NULL, 0, 0) < 0)
			continue;
		if (ends[1].revents || (ends[0].revents && !obey()))
			break;
	}
	kill_all();
	if (argv[0] && argv[1])
		cgroups_thaw(bases, base_count, argv[0], argv[1]);
	wait_for_all();
	if (argv[0] && argv[1])
		cgroups_remove(bases, base_count, argv[0], argv[1]);
	sys_exit(0);
}
