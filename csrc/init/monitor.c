/* The monitor: keeps a detached container when the program that started it is gone.
 *
 * One per container, outside of it, in a session of its own. It starts with
 *   0  a SOCK_SEQPACKET socket of the engine, its first client: START comes by it, with the descriptors of a start
 *   1  the container's lock, which it holds by this descriptor, and lets go when the container has ended for good
 *   2  the container's directory, in which it keeps `state`, `log` and `socket` (prt_monitor.h)
 * What the container writes is logged, and sent to who is attached; who does not take it makes the container wait.
 */
#include "monitor.h"
#include "init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

enum { POLL_LISTENING, POLL_CONTROL, POLL_CHILD, POLL_STDOUT, POLL_STDERR, POLL_INPUT, POLL_CLIENTS };

static void poll_for(struct pollfd *poll, int fd, short events)
{
	*poll = (struct pollfd){.fd = events ? fd : -1, .events = events};
}

/* Its orders may be input, for which there is no room now. */
static int must_wait(const struct monitor *m, const struct client *client)
{
	return m->pending_size && client->wants & PRT_ATTACH_STDIN;
}

static void fill(const struct monitor *m, struct pollfd *polls)
{
	int is_free = !clients_are_owed(m), is_stuck = m->pending_size != 0;

	poll_for(&polls[POLL_LISTENING], m->listening, clients_are_full(m) ? 0 : POLLIN);
	poll_for(&polls[POLL_CONTROL], m->control, POLLIN);
	poll_for(&polls[POLL_CHILD], m->pidfd, POLLIN);
	poll_for(&polls[POLL_STDOUT], m->streams[0], is_free ? POLLIN : 0);
	poll_for(&polls[POLL_STDERR], m->streams[1], is_free ? POLLIN : 0);
	poll_for(&polls[POLL_INPUT], m->input, is_stuck ? POLLOUT : 0);
	for (int i = 0; i < MONITOR_CLIENTS; i++) {
		const struct client *client = &m->clients[i];
		short in = !must_wait(m, client) ? POLLIN : client->is_gone ? 0 : POLLRDHUP;
		poll_for(&polls[POLL_CLIENTS + i], client->fd, (short)(in | (client->is_owed ? POLLOUT : 0)));
	}
}

static void serve_client(struct monitor *m, struct client *client, short events)
{
	if (events & POLLOUT)
		clients_offer(m);
	if (client->fd < 0 || !(events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)))
		return;
	if (!must_wait(m, client)) /* who has left is dropped when all that it sent is read */
		client_obey(m, client);
	else if (events & (POLLRDHUP | POLLHUP | POLLERR))
		client_gone(client);
}

/* One thing at a time changes what is open, so what comes after is looked at again by the next poll. */
static void serve(struct monitor *m, const struct pollfd *polls)
{
	if (polls[POLL_CONTROL].revents) {
		child_control(m);
		return;
	}
	if (polls[POLL_CHILD].revents && m->phase != DRAINING) {
		child_ended(m);
		return;
	}
	if (polls[POLL_INPUT].revents)
		input_flush(m);
	for (int stream = 1; stream <= 2; stream++)
		if (polls[POLL_STDOUT + stream - 1].revents && !clients_are_owed(m))
			child_read(m, stream);
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		if (polls[POLL_CLIENTS + i].revents)
			serve_client(m, &m->clients[i], polls[POLL_CLIENTS + i].revents);
	if (polls[POLL_LISTENING].revents)
		clients_accept(m);
}

/* Nothing can write any more: PID 1 is dead, and with it all of its namespace. */
static void drain(struct monitor *m)
{
	uint64_t now = mono_ns();

	if (clients_are_owed(m) && now < m->deadline_ns)
		return;
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		if (m->clients[i].is_owed)
			client_drop(m, &m->clients[i]);
	for (int stream = 1; stream <= 2; stream++) {
		while (m->streams[stream - 1] >= 0) {
			m->chunk_size = 0;
			child_read(m, stream);
			if (!m->chunk_size)
				break;
			if (clients_are_owed(m))
				return;
		}
	}
	child_drained(m);
}

/* In ms, -1: for ever. */
static int64_t patience_ns(const struct monitor *m)
{
	uint64_t now = mono_ns();

	if (m->phase != DRAINING && m->phase != PAUSING)
		return -1;
	return m->deadline_ns > now ? (int64_t)(m->deadline_ns - now) : 0;
}

static _Noreturn void loop(struct monitor *m)
{
	struct pollfd polls[POLL_CLIENTS + MONITOR_CLIENTS];

	for (;;) {
		if (m->phase == DRAINING)
			drain(m);
		if (m->phase == PAUSING && !patience_ns(m))
			child_start(m);
		if (m->phase == OVER || (m->phase == WAITING && m->clients[0].fd < 0))
			monitor_leave(m);
		fill(m, polls);
		int64_t ns = patience_ns(m), limit[2] = {ns / 1000000000, ns % 1000000000};
		if (PRT_SYS(SYS_ppoll, polls, PRT_COUNT(polls), ns < 0 ? NULL : limit, NULL, 0, 0) > 0)
			serve(m, polls);
	}
}

static _Noreturn void fail(struct monitor *m, long ret, const char *op, const char *path)
{
	struct prt_error err;

	(void)prt_fail(&err, (int)-ret, op, path, "of the monitor");
	(void)client_send(&m->clients[0], PRT_MESSAGE_FAILED, 126, 0, &err, sizeof err);
	sys_exit(1);
}

/* The engine reaps the first process at once; what goes on is nobody's child but init's. */
static void detach(void)
{
	long pid = PRT_SYS(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid)
		sys_exit(pid < 0);
	(void)PRT_SYS(SYS_setsid, 0, 0, 0, 0, 0, 0);
}

_Noreturn void run_monitor(void)
{
	static struct monitor m;
	uint64_t all = ~0ull;

	(void)PRT_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all, 0, 0);
	detach();
	m.lock = 1;
	m.listening = m.control = m.pidfd = m.terminal = m.peer = m.input = m.streams[0] = m.streams[1] = -1;
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		m.clients[i].fd = -1;
	m.clients[0] = (struct client){.fd = 0, .wants = PRT_ATTACH_STATUS};
	for (int fd = 0; fd < 3; fd++)
		(void)sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
	int ret = sys_fchdir(2);
	if (ret < 0)
		fail(&m, ret, "fchdir", "its directory");
	ret = state_open(&m);
	if (ret < 0)
		fail(&m, ret, "open", "state");
	ret = clients_listen(&m);
	if (ret < 0)
		fail(&m, ret, "listen", "socket");
	log_open(&m.log);
	m.state.monitor = (int32_t)PRT_SYS(SYS_getpid, 0, 0, 0, 0, 0, 0);
	if (client_send(&m.clients[0], PRT_MESSAGE_HELLO, m.state.monitor, 0, NULL, 0) < 0)
		sys_exit(1);
	loop(&m);
}
