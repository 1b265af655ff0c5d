/* What outlives a monitor: its state file, and the events that it appends to the root's journal. */
#include "init.h"
#include "monitor.h"

#include <sys/socket.h>
#include <time.h>

static uint64_t clock_ns(int clock)
{
	struct timespec t = {0};

	(void)PRT_SYS(SYS_clock_gettime, clock, &t, 0, 0, 0, 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int state_open(struct monitor *m)
{
	char last = 0;

	m->state_fd = sys_openat(AT_FDCWD, "state", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	m->state.magic = PRT_STATE_MAGIC;
	if (m->state_fd < 0)
		return m->state_fd;
	if (sys_pread(m->state_fd, &last, 1, sizeof m->state - 1) == 1)
		return 0;
	/* room for it, which is not to lack later; to readers it says nothing yet */
	return (int)sys_pwrite(m->state_fd, &(struct prt_monitor_state){0}, sizeof m->state, 0);
}

void state_write(struct monitor *m)
{
	struct prt_monitor_state *state = &m->state;

	state->lost_log_bytes = m->log.lost;
	state->sequence++;
	state->end = state->sequence + 1;
	(void)sys_pwrite(m->state_fd, state, sizeof *state, 0); /* an odd sequence first: a reader comes again */
	state->sequence++;
	(void)sys_pwrite(m->state_fd, state, sizeof *state, 0);
}

/* Of memory.events (v2) or memory.oom_control (v1): the number in the line "oom_kill <n>". */
uint64_t oom_kills(const struct monitor *m)
{
	static const char key[] = "oom_kill ";
	char text[512];
	uint64_t found = 0;
	long size = m->start.oom ? sys_pread(m->fds[m->start.oom], text, sizeof text - 1, 0) : 0;

	for (long at = 0; at + (long)sizeof key < size; at++) {
		if (memcmp(text + at, key, sizeof key - 1) || (at && text[at - 1] != '\n'))
			continue;
		for (at += (long)sizeof key - 1; at < size && text[at] >= '0' && text[at] <= '9'; at++)
			found = found * 10 + (uint64_t)(text[at] - '0');
		break;
	}
	return found;
}

/* One write with O_APPEND, so that no event of another process comes between; a full disk costs the event. */
void event_write(struct monitor *m, const char *action, const char *name, int64_t value)
{
	char *line = m->order; /* large enough for the attributes, which came in it; no order is being read now */
	size_t at = 0;
	uint64_t now = wall_ns();
	cleanup_fd int fd = sys_openat(AT_FDCWD, "../../events", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	at += put_text(line + at, "{\"Type\":\"container\",\"Action\":\"");
	at += put_text(line + at, action);
	at += put_text(line + at, "\",\"Actor\":{\"ID\":\"");
	at += put_text(line + at, m->id);
	at += put_text(line + at, "\",\"Attributes\":{");
	if (name) {
		at += put_text(line + at, "\"");
		at += put_text(line + at, name);
		at += put_text(line + at, "\":\"");
		at += put_number(line + at, (uint64_t)value, 1);
		at += put_text(line + at, m->attributes[0] ? "\"," : "\"");
	}
	at += put_text(line + at, m->attributes);
	at += put_text(line + at, "}},\"scope\":\"local\",\"time\":");
	at += put_number(line + at, now / 1000000000u, 1);
	at += put_text(line + at, ",\"timeNano\":");
	at += put_number(line + at, now, 1);
	at += put_text(line + at, "}\n");
	(void)sys_write(fd, line, at);
}
