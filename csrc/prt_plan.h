/* prt_plan: what pyrt-init is told to do, as one flat buffer.
 *
 * A plan is a row of fragments. Each is a header, then operations in the order of their execution, then the bytes they
 * refer to, by offsets from the fragment's start (0: none): so fragments can be kept and put together, and mapped anywhere. pyrt/runtime/plan.py writes it and a test compares the
 * two descriptions; pyrt-init trusts it, for it comes sealed from the host program.
 */
#pragma once

#include <stdint.h>

#define PRT_PLAN_MAGIC 0x31545250u /* "PRT1" */

/* Descriptors that pyrt-init starts with, besides 0, 1 and 2. */
#define PRT_FD_CONTROL 3 /* SOCK_SEQPACKET: errors and reports out, "go" in; end of file when the program runs */
#define PRT_FD_PLAN 4
#define PRT_FD_MOUNTS 5 /* and following: detached mounts, for TAKE */
#define PRT_FD_TARGET 5 /* or, for JOIN, the pidfd of the container's first process, and following: its cgroups */

#define PRT_SLOTS 256 /* for mounts that are not attached yet */

struct prt_plan {
	uint32_t magic;
	uint32_t size;
	uint32_t op_count;
	uint32_t reserved;
};

struct prt_op {
	uint32_t kind;
	uint32_t flags;
	uint32_t path;   /* below the new root, unless flags say otherwise */
	uint32_t source; /* on the host */
	uint32_t type;   /* of a file system */
	uint32_t data;   /* depends on the kind */
	uint64_t a, b, c;
};

_Static_assert(sizeof(struct prt_plan) == 16 && sizeof(struct prt_op) == 48, "plan.py packs by this layout");

enum prt_op_flag {
	PRT_MAKE_DIR = 1,   /* make the target a directory where it is missing */
	PRT_MAKE_FILE = 2,  /* make the target an empty file where it is missing */
	PRT_PLAIN = 4,      /* no symbolic link may be on the way to the target */
	PRT_ON_HOST = 8,    /* `path` is one of the host's, not below the new root */
	PRT_AS_ROOT = 16,   /* what is attached becomes the new root */
	PRT_KEEP = 32,      /* the entries that follow go below what is attached */
	PRT_RECURSIVE = 64, /* with all submounts */
	PRT_RECURSIVE_PROPAGATION = 128,
	PRT_AS_CONSOLE = 256, /* show the terminal as /dev/console too */
	PRT_DETACH = 512,     /* nobody of the host program's waits for it */
};

enum prt_op_kind {
	PRT_PROPAGATION = 1, /* a: MS_* of mount(2), on / of the new mount namespace */
	PRT_NEW_MOUNT,       /* slot a: a mount of `type` from `source`; data: options; b: attributes */
	PRT_OPEN_TREE,       /* slot a: a clone of the mount at `source`, or of `path` below it */
	PRT_ATTACH,          /* slot a on `path`; b: attributes to set; c: propagation to set */
	PRT_DIR,     /* entry `path` below the kept mount; a: mode; b: uid << 32 | gid; data: xattr set to "y" */
	PRT_FILE,    /* likewise; data: content, c: its size */
	PRT_SYMLINK, /* likewise; data: target */
	PRT_NODE,    /* likewise; c: device number */
	PRT_ROOT_ATTRIBUTES, /* b: attributes to set on the root mount, or with KEEP on the kept one */
	PRT_MASK,     /* hide `path` behind an empty directory or the null device; nothing there: nothing to do */
	PRT_READONLY, /* likewise write-protect it, with all below */
	PRT_SYSCTL,   /* write `data`, of size c, to `path` in procfs */
	PRT_MKDIRS,   /* make the directory `path` where it is missing; a: mode */
	PRT_PIVOT,
	PRT_SETSID,
	PRT_TTY, /* a: rows, b: columns, c: uid; becomes 0, 1 and 2; the master end goes out by the control socket */
	PRT_HOSTNAME,
	PRT_DOMAINNAME,
	PRT_LOOPBACK,
	PRT_OOM_SCORE, /* data: text, of size c */
	PRT_RLIMIT,    /* a: resource, b: soft, c: hard */
	PRT_UMASK,
	PRT_BOUNDING, /* a: capabilities to keep */
	PRT_USER,     /* a: uid, b: gid, c: number of groups, data: them (uint32_t) */
	PRT_CWD,
	PRT_NO_NEW_PRIVS,
	PRT_LANDLOCK_NEW,  /* a: handled accesses */
	PRT_LANDLOCK_PATH, /* a: allowed accesses beneath the directory `path`; b: to the file `path` */
	PRT_LANDLOCK_ENFORCE,
	PRT_PROGRAM,      /* data: uint32_t[]: candidates, 0, argv, 0, envp, 0; what EXEC executes */
	PRT_GO,           /* wait until the host program has entrusted us to its keeper */
	PRT_SECCOMP,      /* data: struct sock_filter[], c: their number; a: flags */
	PRT_CAPABILITIES, /* a: effective and permitted, b: inheritable, c: ambient */
	PRT_STAY,         /* a: controlling terminal; the child goes on, we stay as PID 1, pass signals on and reap */
	PRT_EXEC,
	PRT_TAKE, /* slot a: the mount that descriptor b is */
	PRT_OVERLAY, /* slot a: an overlay, made on `source` in the directory `path` of the host, to which `data`, the options
	              * of mount(2), are relative; b: attributes */
	PRT_JOIN, /* go on as a new process in the namespaces a (CLONE_NEW*) of a running container; descriptors behind its
	              * pidfd: b `tasks` files of v1 cgroups, then with c a directory of cgroup2. We wait for its end. */
	PRT_OP_KINDS
};

/* What goes out by the control socket, told apart by size; a struct prt_error is another one. */
struct prt_report {
	uint64_t entered_ns, rooted_ns, ready_ns; /* CLOCK_MONOTONIC: first instruction, after PIVOT, before EXEC */
};

#define PRT_GO_OWNED 'g'
#define PRT_GO_MONITORED 'm' /* end with the process that started you */

struct prt_joined { /* with the pidfd of the process that JOIN has made */
	uint64_t pid;
};

#define PRT_MESSAGE_TTY 'T' /* one byte, with the descriptor of the terminal's master end */
