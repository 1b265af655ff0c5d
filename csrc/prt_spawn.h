/* prt_spawn: start pyrt-init in new namespaces, at a cost that does not grow with the caller's memory.
 *
 * One clone3(2) with vfork semantics: the child shares our memory until it has executed the sealed program, and uses raw
 * system calls only. With a user namespace an intermediate child joins it first and makes the real one as its sibling
 * (CLONE_PARENT): ids are mapped before the exec, so capabilities survive it (user_namespaces(7)).
 */
#pragma once

#include <stddef.h>

#include "prt_error.h"

struct prt_spawn {
	int program;         /* memfd of pyrt-init, or -1: */
	const char *path;    /* the file to execute from a read-only mount of it */
	char *const *argv;   /* its arguments */
	const int *fds;      /* become 0, 1, 2, …; all others are closed */
	size_t fd_count;     /* at most PRT_SPAWN_FDS */
	uint64_t namespaces; /* CLONE_NEW*; CLONE_NEWCGROUP is entered after the cgroups were joined */
	int userns;          /* descriptor to join, or -1 */
	int cgroup;          /* directory on cgroup2 for CLONE_INTO_CGROUP, or -1 */
	const int *joins;    /* `tasks` files of v1 cgroups, open for writing */
	size_t join_count;
};

#define PRT_SPAWN_FDS 128

/* Returns the child's pid and fills *pidfd (close on exec), both the caller's, who must wait for it. */
int prt_spawn(const struct prt_spawn *spawn, int *pidfd, struct prt_error *err);
