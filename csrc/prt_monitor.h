/* prt_monitor: what a monitor and the engines say to each other, and what it keeps of its container in a file.
 *
 * The socket is SOCK_SEQPACKET: a packet is a header and what follows it. pyrt/runtime/protocol.py has the same layouts,
 * and a test compares the two descriptions. Who may connect may do all of this: the directory is its owner's alone.
 */
#pragma once

#include <stdint.h>

#define PRT_MONITOR_CHUNK 32768 /* the most that one packet brings of a stream */

struct prt_packet {
	uint32_t kind;
	int32_t a;
	uint64_t b;
};

/* Orders. All but ATTACH and INPUT are answered by DONE, with an errno or 0, or by what they ask for; an ATTACH only where
 * there are too many already: EBUSY, and the end of the connection. */
enum prt_order {
	PRT_ORDER_START =
		1,        /* struct prt_monitor_start and strings, with descriptors; once, from who made the monitor */
	PRT_ORDER_ATTACH, /* a: enum prt_attach */
	PRT_ORDER_INPUT,  /* bytes for the program's standard input */
	PRT_ORDER_END_INPUT,
	PRT_ORDER_SIGNAL, /* a: number, or 0 for none; b: 1 when the policy must not restart what ends by it */
	PRT_ORDER_RESIZE, /* a: rows, b: columns */
	PRT_ORDER_POLICY, /* a: enum prt_policy, b: retries */
	PRT_ORDER_PIDFD,  /* answered by HERE */
	PRT_ORDER_PAUSED, /* a: whether it is, for the state file; the freezing is the engine's */
};

enum prt_message {
	PRT_MESSAGE_HELLO = 1, /* a: pid of the monitor */
	PRT_MESSAGE_STARTED,   /* a: pid of the container's first process; struct prt_report */
	PRT_MESSAGE_FAILED,    /* struct prt_error: it could not be started */
	PRT_MESSAGE_OUTPUT,    /* a: stream 1 or 2; bytes */
	PRT_MESSAGE_EXITED,    /* a: exit code, b: 1 when it is to be restarted */
	PRT_MESSAGE_DONE,      /* a: errno or 0 */
	PRT_MESSAGE_HERE,      /* a: pid; with its pidfd */
};

enum prt_attach {
	PRT_ATTACH_STDIN = 1,
	PRT_ATTACH_STDOUT = 2,
	PRT_ATTACH_STDERR = 4,
	PRT_ATTACH_STATUS = 8, /* STARTED and EXITED */
	PRT_ATTACH_LOSSY = 16, /* leave out what does not fit into the socket, instead of letting the program wait */
};

enum prt_policy { PRT_POLICY_NO, PRT_POLICY_ON_FAILURE, PRT_POLICY_ALWAYS, PRT_POLICY_UNLESS_STOPPED };

enum prt_start_flag {
	PRT_START_TTY = 1,
	PRT_START_STDIN = 2,      /* a pipe that attached clients write to; else the null device */
	PRT_START_STDIN_ONCE = 4, /* it ends with the first client that was attached to it */
	PRT_START_NO_LOG = 8,
};

/* Descriptor 0 is the plan, 1 pyrt-init; the others are where these say, 0 for none. Strings follow, each with its 0: the
 * cgroup's name, that of its parent, the container's id, and the attributes of its events (the inside of a JSON object). */
struct prt_monitor_start {
	uint64_t namespaces;
	uint64_t log_bytes; /* at which the log is rotated; 0: never */
	uint32_t log_files; /* how many there may be, with the current one */
	uint32_t flags;
	uint32_t policy, retries;
	uint32_t userns, cgroup, oom; /* descriptors: to join, to start in, and the file that counts the OOM killer's */
	uint32_t first_join, join_count; /* v1's tasks files */
	uint32_t first_base, base_count; /* directories that the cgroup's parents are in */
	uint32_t reserved;
};

enum prt_status {
	PRT_STATUS_STARTING = 1,
	PRT_STATUS_RUNNING,
	PRT_STATUS_RESTARTING,
	PRT_STATUS_EXITED,
	PRT_STATUS_FAILED
};

/* The file `state`, in place so that a full disk cannot stop it. A reader takes it when both sequences are equal and even. */
struct prt_monitor_state {
	uint32_t magic, sequence;
	uint32_t status;
	int32_t monitor, pid; /* pid 0: it does not run */
	int32_t exit_code;    /* 128+n after signal n */
	uint32_t is_oom_killed, is_paused, is_stopped, restarts;
	uint64_t started_ns, finished_ns; /* CLOCK_REALTIME; 0: not yet */
	uint64_t lost_log_bytes;          /* that could not be written */
	char cgroup[96];
	uint32_t reserved[14];
	uint32_t end, padding;
};

#define PRT_STATE_MAGIC 0x314d5250u /* "PRM1" */

_Static_assert(sizeof(struct prt_packet) == 16 && sizeof(struct prt_monitor_start) == 64, "protocol.py packs by these");
_Static_assert(sizeof(struct prt_monitor_state) == 224, "protocol.py reads by this layout");
