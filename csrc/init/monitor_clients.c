/* Who is connected to a monitor: what they order, and what they are told. */
#include "init.h"
#include "monitor.h"

#include <asm/termbits.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define IOCTL_SWINSZ 0x5414
#define QUEUE 64
#define FAREWELL_MS 10000

int clients_listen(struct monitor *m)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};

	m->listening = (int)PRT_SYS(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
	(void)sys_unlinkat(AT_FDCWD, "socket", 0);
	int ret = (int)PRT_SYS(SYS_bind, m->listening, &address, sizeof address, 0, 0, 0);
	return ret < 0 ? ret : (int)PRT_SYS(SYS_listen, m->listening, QUEUE, 0, 0, 0, 0);
}

static struct client *seat(struct monitor *m)
{
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		if (m->clients[i].fd < 0)
			return &m->clients[i];
	return NULL;
}

void clients_accept(struct monitor *m)
{
	struct client *client = seat(m);
	int fd = (int)PRT_SYS(SYS_accept4, m->listening, NULL, NULL, SOCK_CLOEXEC, 0, 0);

	if (fd >= 0 && client)
		*client = (struct client){.fd = fd};
	else
		prt_cleanup_fd(&fd);
}

int clients_are_full(const struct monitor *m)
{
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		if (m->clients[i].fd < 0)
			return 0;
	return 1;
}

/* What it sent before is still to be read, once there is room for it; nothing can be sent to it. It is dropped then. */
void client_gone(struct client *client)
{
	client->is_gone = 1;
	client->is_owed = 0;
	client->wants = PRT_ATTACH_STDIN;
}

static void client_fail(struct monitor *m, struct client *client)
{
	if (client->wants & PRT_ATTACH_STDIN)
		client_gone(client);
	else
		client_drop(m, client);
}

/* Some seats are for orders: a container that all look at must still be stopped. */
static int attach(struct monitor *m, struct client *client, unsigned wants)
{
	const unsigned streams = PRT_ATTACH_STDIN | PRT_ATTACH_STDOUT | PRT_ATTACH_STDERR;
	int attached = 0;

	for (int i = 0; i < MONITOR_CLIENTS; i++)
		attached += m->clients[i].fd >= 0 && &m->clients[i] != client && m->clients[i].wants & streams;
	if (wants & streams && attached >= MONITOR_ATTACHED)
		return EBUSY;
	client->wants = wants;
	return -1;
}

void client_drop(struct monitor *m, struct client *client)
{
	unsigned wanted = client->wants;

	prt_cleanup_fd(&client->fd);
	*client = (struct client){.fd = -1};
	if (!(wanted & PRT_ATTACH_STDIN) || !(m->start.flags & PRT_START_STDIN_ONCE))
		return;
	m->is_input_ended = 1;
	input_flush(m);
}

static int send_with(struct client *client, const struct prt_packet *packet, const void *from, size_t size, int fd,
		     int flags)
{
	struct iovec parts[2] = {{(void *)(uintptr_t)packet, sizeof *packet}, {(void *)(uintptr_t)from, size}};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};

	if (fd >= 0) {
		*(int *)(void *)CMSG_DATA(&control.header) = fd;
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
	}
	return (int)PRT_RETRY(PRT_SYS(SYS_sendmsg, client->fd, &message, flags | MSG_NOSIGNAL, 0, 0, 0));
}

/* An answer waits for a slow reader, but not forever. */
int client_send(struct client *client, uint32_t kind, int a, uint64_t b, const void *from, size_t size)
{
	struct prt_packet packet = {.kind = kind, .a = a, .b = b};
	struct pollfd one = {.fd = client->fd, .events = POLLOUT};
	int64_t limit[2] = {FAREWELL_MS / 1000, 0};
	int ret = send_with(client, &packet, from, size, -1, MSG_DONTWAIT);

	if (ret != -EAGAIN)
		return ret;
	(void)PRT_SYS(SYS_ppoll, &one, 1, limit, NULL, 0, 0);
	return send_with(client, &packet, from, size, -1, MSG_DONTWAIT);
}

void clients_tell(struct monitor *m, uint32_t kind, int a, uint64_t b, const void *from, size_t size)
{
	for (int i = 0; i < MONITOR_CLIENTS; i++) {
		struct client *client = &m->clients[i];
		if (client->fd >= 0 && (client->wants & PRT_ATTACH_STATUS) &&
		    client_send(client, kind, a, b, from, size) < 0)
			client_fail(m, client);
	}
}

/* The chunk goes to all who want its stream; who cannot take it now is owed it. */
void clients_offer(struct monitor *m)
{
	struct prt_packet packet = {.kind = PRT_MESSAGE_OUTPUT, .a = m->chunk_stream};

	for (int i = 0; i < MONITOR_CLIENTS; i++) {
		struct client *client = &m->clients[i];
		if (client->fd < 0 || !client->is_owed)
			continue;
		int ret = send_with(client, &packet, m->chunk, m->chunk_size, -1, MSG_DONTWAIT);
		client->is_owed = ret == -EAGAIN && !(client->wants & PRT_ATTACH_LOSSY);
		if (ret < 0 && ret != -EAGAIN)
			client_fail(m, client);
	}
}

int clients_are_owed(const struct monitor *m)
{
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		if (m->clients[i].fd >= 0 && m->clients[i].is_owed)
			return 1;
	return 0;
}

void input_flush(struct monitor *m)
{
	while (m->pending_size && m->input >= 0) {
		long n = PRT_RETRY(sys_write(m->input, m->pending, m->pending_size));
		if (n == -EAGAIN)
			return;
		if (n < 0) /* nobody reads it any more */
			m->pending_size = 0;
		else
			memmove(m->pending, m->pending + n, m->pending_size -= (size_t)n);
	}
	if (m->is_input_ended && !m->pending_size && m->input != m->terminal)
		prt_cleanup_fd(&m->input), m->input = -1;
}

static int take_input(struct monitor *m, const char *from, size_t size)
{
	if (m->input < 0 || m->is_input_ended || size > sizeof m->pending - m->pending_size)
		return 0; /* as if the program had closed it */
	memcpy(m->pending + m->pending_size, from, size);
	m->pending_size += size;
	input_flush(m);
	return 0;
}

static int signal_child(struct monitor *m, int number, int is_last)
{
	long ret = 0;

	if (is_last && !m->state.is_stopped) {
		m->state.is_stopped = 1;
		state_write(m);
	}
	if (m->phase == PAUSING && is_last)
		m->phase = OVER; /* there is nothing to kill: it is not started again */
	else if (m->phase != STARTING && m->phase != RUNNING)
		ret = -ESRCH;
	else if (number)
		ret = PRT_SYS(SYS_pidfd_send_signal, m->pidfd, number, NULL, 0, 0, 0);
	return (int)-ret;
}

static int resize(struct monitor *m, int rows, uint64_t columns)
{
	unsigned short size[4] = {(unsigned short)rows, (unsigned short)columns, 0, 0};

	return m->terminal < 0 ? ENOTTY : -sys_ioctl(m->terminal, IOCTL_SWINSZ, size);
}

static int start_is_sound(const struct prt_monitor_start *start, unsigned fds)
{
	return start->userns < fds && start->cgroup < fds && start->oom < fds && start->first_join <= fds &&
	       start->join_count <= fds - start->first_join && start->first_base <= fds &&
	       start->base_count <= fds - start->first_base;
}

/* Take over what START brought, which stays for every start that follows. */
static int take_start(struct monitor *m, size_t size, unsigned fd_count)
{
	const char **strings[] = {&m->cgroup, &m->parent, &m->id, &m->attributes};
	size_t at = 0, text_size = size - sizeof m->start;

	if (m->phase != WAITING || size < sizeof m->start || text_size > sizeof m->strings - 1024 || fd_count < 2)
		return EINVAL;
	memcpy(&m->start, m->order, sizeof m->start);
	if (!start_is_sound(&m->start, fd_count))
		return EINVAL;
	memcpy(m->strings, m->order + sizeof m->start, text_size);
	for (size_t i = 0; i < PRT_COUNT(strings); i++, at++) {
		*strings[i] = m->strings + at;
		while (at < text_size && m->strings[at])
			at++;
		if (at >= text_size)
			return EINVAL;
	}
	m->fd_count = fd_count;
	m->log.max_bytes = m->start.log_bytes;
	m->log.max_files = m->start.log_files;
	(void)put_text(m->state.cgroup, length(m->cgroup) < sizeof m->state.cgroup ? m->cgroup : "");
	return 0;
}

static int answer_pidfd(struct monitor *m, struct client *client)
{
	struct prt_packet packet = {.kind = PRT_MESSAGE_HERE, .a = m->state.pid};

	if (m->phase != RUNNING)
		return ESRCH;
	return send_with(client, &packet, NULL, 0, m->pidfd, MSG_DONTWAIT) < 0 ? EPIPE : -1;
}

/* Answers an errno, 0, or -1 where the order has no answer but its own. */
static int carry_out(struct monitor *m, struct client *client, const struct prt_packet *order, size_t size,
		     unsigned fds)
{
	switch (order->kind) {
	case PRT_ORDER_START:
		return client == m->clients ? take_start(m, size, fds) : EPERM;
	case PRT_ORDER_ATTACH:
		return attach(m, client, (unsigned)order->a);
	case PRT_ORDER_INPUT:
		(void)take_input(m, m->order, size);
		return -1;
	case PRT_ORDER_END_INPUT:
		m->is_input_ended = 1;
		input_flush(m);
		return 0;
	case PRT_ORDER_SIGNAL:
		return signal_child(m, order->a, order->b != 0);
	case PRT_ORDER_RESIZE:
		return resize(m, order->a, order->b);
	case PRT_ORDER_POLICY:
		m->start.policy = (uint32_t)order->a;
		m->start.retries = (uint32_t)order->b;
		return 0;
	case PRT_ORDER_PIDFD:
		return answer_pidfd(m, client);
	case PRT_ORDER_PAUSED:
		if (m->phase != RUNNING)
			return ESRCH;
		m->state.is_paused = order->a != 0;
		state_write(m);
		event_write(m, order->a ? "pause" : "unpause", NULL, 0);
		return 0;
	default:
		return EINVAL;
	}
}

void client_obey(struct monitor *m, struct client *client)
{
	struct prt_packet order;
	struct iovec parts[2] = {{&order, sizeof order}, {m->order, sizeof m->order}};
	static union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * MONITOR_FDS)];
	} control;
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
	long size = PRT_SYS(SYS_recvmsg, client->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0, 0, 0);
	unsigned fds = 0;

	if (size == -EAGAIN || size == -EINTR || size == -ECONNRESET) /* it left with something unread: said once */
		return;
	if (message.msg_controllen >= CMSG_LEN(sizeof(int)))
		fds = (unsigned)((control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int));
	int is_bad = size < (long)sizeof order || message.msg_flags & MSG_TRUNC;
	const int *came = (const void *)CMSG_DATA(&control.header);
	if (!is_bad && order.kind == PRT_ORDER_START && m->phase == WAITING && client == m->clients)
		memcpy(m->fds, came, fds * sizeof(int));
	else
		for (unsigned i = 0; i < fds; i++)
			(void)sys_close(came[i]);
	if (is_bad) {
		client_drop(m, client);
		return;
	}
	int code = carry_out(m, client, &order, (size_t)size - sizeof order, fds);
	if (code >= 0 && !client->is_gone && client_send(client, PRT_MESSAGE_DONE, code, 0, NULL, 0) < 0)
		client_fail(m, client);
	else if (order.kind == PRT_ORDER_ATTACH && code >= 0)
		client_drop(m, client);
	if (order.kind == PRT_ORDER_START && !code)
		child_start(m);
}
