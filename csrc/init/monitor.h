/* The monitor's parts. One process, one thread, one struct; nothing is allocated. */
#pragma once

#include "../prt_error.h"
#include "../prt_monitor.h"
#include "../prt_plan.h"
#include "../prt_util.h"

#define MONITOR_CLIENTS 128
#define MONITOR_ATTACHED 112        /* of them to a stream */
#define MONITOR_FDS 253             /* SCM_MAX_FD */
#define MONITOR_ORDER (64 * 1024)   /* the largest order */
#define MONITOR_PARTIAL 16384       /* a longer line is logged in pieces, as Docker has it */
#define MONITOR_PENDING (64 * 1024) /* of standard input */

enum phase { WAITING, STARTING, RUNNING, DRAINING, PAUSING, OVER };

struct client {
	int fd;         /* -1: none */
	unsigned wants; /* enum prt_attach */
	int is_owed;    /* the current chunk */
	int is_gone;    /* it has closed its end */
};

struct log {
	int fd;
	int is_torn; /* the last write stopped within a line */
	uint64_t size, max_bytes, lost;
	unsigned max_files;
	size_t used;
	size_t partial_size[2];
	char partial[2][MONITOR_PARTIAL];
	char out[8 * MONITOR_PARTIAL];
};

struct monitor {
	enum phase phase;
	int has_started; /* once, at least */
	struct prt_monitor_start start;
	const char *cgroup, *parent, *id, *attributes;
	int fds[MONITOR_FDS];
	unsigned fd_count;
	int lock, listening, control, pidfd, terminal, peer, input, streams[2];
	int has_report;
	struct prt_report report;
	struct prt_error failure;
	struct prt_monitor_state state;
	int state_fd;
	uint64_t oom_kills;   /* seen so far */
	uint64_t begun_ns;    /* CLOCK_MONOTONIC, of this run */
	uint64_t deadline_ns; /* of the pause before a restart, or of the drain */
	uint64_t delay_ns;    /* Docker's back-off */
	struct client clients[MONITOR_CLIENTS];
	int chunk_stream;
	size_t chunk_size;
	char chunk[PRT_MONITOR_CHUNK];
	size_t pending_size; /* of standard input that the program has not taken */
	int is_input_ended;
	char pending[MONITOR_PENDING];
	char order[MONITOR_ORDER];
	char strings[MONITOR_ORDER]; /* that came with START */
	struct log log;
};

/* monitor_state.c */
uint64_t wall_ns(void);
uint64_t mono_ns(void);
int state_open(struct monitor *m);
void state_write(struct monitor *m);
uint64_t oom_kills(const struct monitor *m);
void event_write(struct monitor *m, const char *action, const char *name,
		 int64_t value); /* name: of one more attribute */

/* monitor_log.c */
size_t put_text(char *to, const char *text);
size_t put_number(char *to, uint64_t number, unsigned digits); /* at least so many digits */
size_t put_time(char *to, uint64_t ns);                        /* RFC 3339, 30 bytes */
void log_open(struct log *log);
void log_chunk(struct log *log, int stream, const char *from, size_t size);
void log_end(struct log *log); /* of a run: what has no newline yet is a line too */

/* monitor_clients.c */
int clients_listen(struct monitor *m);
void clients_accept(struct monitor *m);
int clients_are_full(const struct monitor *m);
void client_drop(struct monitor *m, struct client *client);
void client_gone(struct client *client);
void client_obey(struct monitor *m, struct client *client);
int client_send(struct client *client, uint32_t kind, int a, uint64_t b, const void *from, size_t size);
void clients_tell(struct monitor *m, uint32_t kind, int a, uint64_t b, const void *from, size_t size);
void clients_offer(struct monitor *m); /* the current chunk */
int clients_are_owed(const struct monitor *m);
void input_flush(struct monitor *m);

/* monitor_child.c */
void child_start(struct monitor *m);
void child_control(struct monitor *m); /* something came from a starting pyrt-init */
void child_read(struct monitor *m, int stream);
void child_ended(struct monitor *m); /* its pidfd is readable */
void child_drained(struct monitor *m);
_Noreturn void monitor_leave(struct monitor *m);
