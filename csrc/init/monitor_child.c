/* The container of a monitor: started, listened to, ended, and started again where its policy says so. */
#include "init.h"
#include "monitor.h"

#include "../prt_spawn.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define FIRST_DELAY_NS 100000000ull
#define LONGEST_DELAY_NS (60 * 1000000000ull)
#define STEADY_NS (10 * 1000000000ull) /* who ran as long begins the back-off anew */
#define DRAIN_NS (10 * 1000000000ull)
#define P_PIDFD_TYPE 3
#define IOCTL_GPTPEER 0x5441 /* ioctl_tty(2) */

static void close_all(struct monitor *m)
{
	if (m->input == m->terminal)
		m->input = -1;
	prt_cleanup_fd(&m->input);
	prt_cleanup_fd(&m->terminal);
	prt_cleanup_fd(&m->peer);
	if (m->streams[0] == m->terminal)
		m->streams[0] = -1;
	prt_cleanup_fd(&m->streams[0]);
	prt_cleanup_fd(&m->streams[1]);
	prt_cleanup_fd(&m->control);
	prt_cleanup_fd(&m->pidfd);
	m->input = m->terminal = m->streams[0] = m->streams[1] = m->control = m->pidfd = m->peer = -1;
}

static void set_nonblocking(int fd)
{
	(void)sys_fcntl(fd, F_SETFL, (sys_fcntl(fd, F_GETFL, 0) & O_ACCMODE) | O_NONBLOCK);
}

/* A pipe, whose end `ours` (0 to read, 1 to write) stays here; the other is the child's. */
static int open_pipe(int ours, int *here, int *there)
{
	int ends[2];
	long ret = PRT_SYS(SYS_pipe2, ends, O_CLOEXEC, 0, 0, 0, 0);

	if (ret < 0)
		return (int)ret;
	*here = ends[ours];
	*there = ends[!ours];
	set_nonblocking(*here);
	return 0;
}

static int open_null(int *there)
{
	*there = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	return *there;
}

/* The child's 0, 1, 2 and control; the terminal, where there is one, comes by the control socket. */
static int open_streams(struct monitor *m, int theirs[4])
{
	int has_tty = (m->start.flags & PRT_START_TTY) != 0, has_stdin = (m->start.flags & PRT_START_STDIN) != 0,
	    pair[2];
	int ret = has_stdin && !has_tty ? open_pipe(1, &m->input, &theirs[0]) : open_null(&theirs[0]);

	for (int i = 0; i < 2 && ret >= 0; i++)
		ret = has_tty ? open_null(&theirs[1 + i]) : open_pipe(0, &m->streams[i], &theirs[1 + i]);
	if (ret < 0)
		return ret;
	ret = (int)PRT_SYS(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair, 0, 0);
	if (ret < 0)
		return ret;
	m->control = pair[0];
	theirs[3] = pair[1];
	return 0;
}

static int spawn(struct monitor *m, const int theirs[4], struct prt_error *err)
{
	char path[32] = "/proc/self/fd/", *const argv[] = {"pyrt-init", NULL};
	int fds[5] = {theirs[0], theirs[1], theirs[2], theirs[3], m->fds[0]};
	const struct prt_monitor_start *start = &m->start;
	struct prt_spawn order = {
		.program = m->fds[1],
		.path = path,
		.argv = argv,
		.fds = fds,
		.fd_count = PRT_COUNT(fds),
		.namespaces = start->namespaces,
		.userns = start->userns ? m->fds[start->userns] : -1,
		.cgroup = start->cgroup ? m->fds[start->cgroup] : -1,
		.joins = m->fds + start->first_join,
		.join_count = start->join_count,
	};

	if (sys_fcntl(m->fds[1], 1034 /* F_GET_SEALS */, 0) < 0) { /* an ordinary file: prt_spawn mounts it read-only */
		path[14 + put_number(path + 14, (uint64_t)m->fds[1], 1)] = 0;
		order.program = -1;
	}
	return prt_spawn(&order, &m->pidfd, err);
}

static void fail(struct monitor *m, const struct prt_error *err)
{
	m->failure = *err;
	m->state.exit_code = err->code == ENOENT || err->code == ENOTDIR ? 127 : 126;
	m->state.status = PRT_STATUS_FAILED;
	m->state.pid = 0;
	m->state.finished_ns = wall_ns();
	m->phase = OVER;
}

void child_start(struct monitor *m)
{
	static const char go = PRT_GO_MONITORED;
	int theirs[4] = {-1, -1, -1, -1};
	struct prt_error err = {0};

	if (m->has_started) /* who was killed while it was paused has left a frozen cgroup */
		cgroups_thaw(m->fds + m->start.first_base, m->start.base_count, m->cgroup, m->parent);
	int ret = open_streams(m, theirs);
	int pid = ret < 0 ? prt_fail(&err, -ret, "open", "standard streams", NULL) : spawn(m, theirs, &err);

	for (int i = 0; i < 4; i++)
		prt_cleanup_fd(&theirs[i]);
	m->has_report = 0;
	m->pending_size = 0;
	m->is_input_ended = 0;
	m->begun_ns = mono_ns();
	m->phase = STARTING;
	if (pid < 0) {
		fail(m, &err);
		return;
	}
	m->state.status = PRT_STATUS_STARTING;
	m->state.pid = pid;
	state_write(m);
	(void)PRT_RETRY(PRT_SYS(SYS_sendto, m->control, &go, 1, MSG_NOSIGNAL, NULL, 0));
}

/* While it runs the other end is open here too: without one a terminal polls as hung up, again and again. */
static void take_terminal(struct monitor *m, int fd)
{
	prt_cleanup_fd(&m->peer);
	m->peer = (int)PRT_SYS(SYS_ioctl, fd, IOCTL_GPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0, 0);
	set_nonblocking(fd);
	m->terminal = m->streams[0] = fd;
	m->input = fd;
}

static void started(struct monitor *m)
{
	prt_cleanup_fd(&m->control);
	m->control = -1;
	m->phase = RUNNING;
	m->has_started = 1;
	m->state.status = PRT_STATUS_RUNNING;
	m->state.started_ns = wall_ns();
	m->state.finished_ns = 0;
	m->state.exit_code = 0;
	m->state.is_oom_killed = 0;
	state_write(m);
	event_write(m, "start", NULL, 0);
	clients_tell(m, PRT_MESSAGE_STARTED, m->state.pid, 0, &m->report, sizeof m->report);
}

void child_control(struct monitor *m)
{
	union {
		char bytes[sizeof(struct prt_error)];
		struct prt_error error;
		struct prt_report report;
	} came;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {&came, sizeof came};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	long size = PRT_RETRY(PRT_SYS(SYS_recvmsg, m->control, &message, MSG_CMSG_CLOEXEC, 0, 0, 0));

	if (size == -ECONNRESET) /* said once, before what is there to read: it ended with "go" unread */
		return;
	if (size == 1 && message.msg_controllen >= CMSG_LEN(sizeof(int))) {
		take_terminal(m, *(const int *)(const void *)CMSG_DATA(&control.header));
	} else if (size == (long)sizeof came.report) {
		m->report = came.report;
		m->has_report = 1;
	} else if (size == (long)sizeof came.error) {
		fail(m, &came.error);
	} else if (m->has_report) {
		started(m);
	} else {
		(void)prt_fail(&came.error, ECHILD, "start", NULL, "pyrt-init was killed before it could say why");
		fail(m, &came.error);
	}
}

void child_read(struct monitor *m, int stream)
{
	long size = PRT_RETRY(sys_read(m->streams[stream - 1], m->chunk, sizeof m->chunk));

	if (size == -EAGAIN)
		return;
	if (size <= 0) { /* of a terminal EIO: nobody has its other end open now, which may change while it runs */
		if (m->phase == RUNNING && m->terminal >= 0)
			return;
		if (m->streams[stream - 1] != m->terminal)
			prt_cleanup_fd(&m->streams[stream - 1]);
		m->streams[stream - 1] = -1;
		return;
	}
	m->chunk_stream = stream;
	m->chunk_size = (size_t)size;
	if (!(m->start.flags & PRT_START_NO_LOG))
		log_chunk(&m->log, stream, m->chunk, m->chunk_size);
	for (int i = 0; i < MONITOR_CLIENTS; i++)
		m->clients[i].is_owed =
			(m->clients[i].wants & (unsigned)(stream == 1 ? PRT_ATTACH_STDOUT : PRT_ATTACH_STDERR)) != 0;
	clients_offer(m);
}

void child_ended(struct monitor *m)
{
	siginfo_t info = {0};
	long ret = PRT_RETRY(PRT_SYS(SYS_waitid, P_PIDFD_TYPE, m->pidfd, &info, WEXITED | WNOHANG, NULL, 0));

	if (ret < 0 || !info.si_pid)
		return;
	prt_cleanup_fd(&m->pidfd);
	m->pidfd = -1;
	while (m->phase == STARTING) /* what it had to say, to the end */
		child_control(m);
	if (m->phase == OVER)
		return;
	m->state.exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	prt_cleanup_fd(&m->peer); /* what is left to read has an end */
	m->peer = -1;
	m->phase = DRAINING;
	m->deadline_ns = mono_ns() + DRAIN_NS;
}

static int is_to_restart(const struct monitor *m)
{
	if (m->state.is_stopped || m->start.policy == PRT_POLICY_NO)
		return 0;
	if (m->start.policy != PRT_POLICY_ON_FAILURE)
		return 1;
	return m->state.exit_code != 0 && (!m->start.retries || m->state.restarts < m->start.retries);
}

/* All that it wrote is in the log: what is left is to say so, and maybe to start again. */
void child_drained(struct monitor *m)
{
	uint64_t kills = oom_kills(m), now = mono_ns();
	int restarts = is_to_restart(m);

	log_end(&m->log);
	close_all(m);
	m->state.pid = 0;
	m->state.is_paused = 0;
	m->state.is_oom_killed = kills > m->oom_kills && m->state.exit_code == 128 + SIGKILL;
	m->oom_kills = kills;
	m->state.finished_ns = wall_ns();
	if (m->state.is_oom_killed)
		event_write(m, "oom", NULL, 0);
	event_write(m, "die", "exitCode", m->state.exit_code);
	if (!restarts) {
		m->state.status = PRT_STATUS_EXITED;
		m->phase = OVER;
		return;
	}
	if (!m->delay_ns || now - m->begun_ns >= STEADY_NS)
		m->delay_ns = FIRST_DELAY_NS;
	else if ((m->delay_ns *= 2) > LONGEST_DELAY_NS)
		m->delay_ns = LONGEST_DELAY_NS;
	m->state.status = PRT_STATUS_RESTARTING;
	m->state.restarts++;
	m->deadline_ns = now + m->delay_ns;
	m->phase = PAUSING;
	state_write(m);
	clients_tell(m, PRT_MESSAGE_EXITED, m->state.exit_code, 1, NULL, 0);
}

/* First everything that somebody may want to use again, then the word that it is free, then goodbye. */
_Noreturn void monitor_leave(struct monitor *m)
{
	int pidfd = m->pidfd;

	if (pidfd >= 0) {
		siginfo_t info;
		(void)PRT_SYS(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0, 0, 0);
		(void)PRT_RETRY(PRT_SYS(SYS_waitid, P_PIDFD_TYPE, pidfd, &info, WEXITED, NULL, 0));
	}
	if (m->state.status == PRT_STATUS_RESTARTING)
		m->state.status = PRT_STATUS_EXITED;
	if (m->fd_count) {
		state_write(m);
		cgroups_remove(m->fds + m->start.first_base, m->start.base_count, m->cgroup, m->parent);
	}
	(void)sys_unlinkat(AT_FDCWD, "socket", 0);
	prt_cleanup_fd(&m->listening);
	prt_cleanup_fd(&m->lock);
	if (m->state.status == PRT_STATUS_FAILED)
		clients_tell(m, PRT_MESSAGE_FAILED, m->state.exit_code, 0, &m->failure, sizeof m->failure);
	else
		clients_tell(m, PRT_MESSAGE_EXITED, m->state.exit_code, 0, NULL, 0);
	sys_exit(0);
}
