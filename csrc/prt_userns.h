/* prt_userns: a user namespace with its maps, kept alive by a descriptor.
 *
 * The namespace is born with a child that shares this process's memory (nothing is copied, however large the host
 * program is) and its descriptor table, runs on a small stack of its own and only waits. The caller writes the maps, or
 * lets newuidmap(1) write them for `pid`, and ends the child; `ns` keeps the namespace. Owner of everything in the
 * struct is the caller: prt_userns_end() ends and reaps the child, prt_userns_close() also closes `ns`.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "prt_error.h"

struct prt_userns {
	pid_t pid;   /* of the waiting child; 0 when it has ended */
	int pidfd;   /* of the child */
	int proc;    /* /proc/PID */
	int ns;      /* the namespace */
	void *stack; /* of the child, with a guard page below */
};

#define PRT_USERNS_NONE ((struct prt_userns){.pidfd = -1, .proc = -1, .ns = -1})

/* Make the namespace and its waiting child. Fails with EPERM, ENOSPC, EUSERS or EINVAL where the host forbids it. */
int prt_userns_begin(struct prt_userns *self, struct prt_error *err);

/* Write a file of the child's /proc directory (uid_map, gid_map, setgroups) with one write(2). */
int prt_userns_write(const struct prt_userns *self, const char *name, const char *text, size_t size,
		     struct prt_error *err);

/* End and reap the child, if there is one. */
void prt_userns_end(struct prt_userns *self);

/* End the child and close the namespace. */
void prt_userns_close(struct prt_userns *self);
