/* pyrt-init: the program between clone and exec. It executes a plan (prt_plan.h) and decides nothing.
 *
 * Freestanding: no libc, no relocations, for what runs here is the latency of every start. The handlers below take one
 * operation each, and answer 0, or -1 with *err filled.
 */
#pragma once

#include "../prt_error.h"
#include "../prt_plan.h"
#include "../prt_util.h"

struct init {
	const char *mapped; /* the whole plan */
	long mapped_size;
	const char *plan;        /* the fragment that is executed */
	const struct prt_op *op; /* the current one */
	int root;                /* the new root, until PIVOT; afterwards / */
	int kept;                /* where entries go */
	int parent;              /* the directory of the last entry, by its path below `kept` */
	const char *parent_path;
	size_t parent_size;
	int empty;    /* an empty read-only directory, for MASK */
	int landlock; /* the rule set that grows */
	int terminal; /* the slave end */
	int slots[PRT_SLOTS];
	char **candidates, **argv, **envp; /* what EXEC executes */
	struct prt_report report;
};

typedef int handler(struct init *init, struct prt_error *err);

/* mount.c */
handler do_propagation, do_new_mount, do_overlay, do_open_tree, do_take, do_attach, do_root_attributes, do_mask,
	do_readonly, do_pivot;
/* entry.c */
handler do_dir, do_file, do_symlink, do_node, do_sysctl, do_mkdirs, do_oom_score;
/* confine.c */
handler do_rlimit, do_umask, do_bounding, do_user, do_no_new_privs, do_seccomp, do_capabilities;
/* landlock.c */
handler do_landlock_new, do_landlock_path, do_landlock_enforce;
/* scene.c */
handler do_setsid, do_tty, do_hostname, do_domainname, do_loopback, do_go;
/* exec.c */
handler do_cwd, do_program, do_exec;
/* join.c */
handler do_join;
/* stay.c */
handler do_stay;

/* The other roles of this program. */
_Noreturn void run_keeper(char **argv); /* the prefixes of the names of cgroups and of their parents */
_Noreturn void run_monitor(void);

/* cgroups.c: of those below the directories `bases` in which they are, in one whose name begins with `parent`. */
void cgroups_thaw(const int *bases, unsigned count, const char *prefix, const char *parent);
void cgroups_remove(const int *bases, unsigned count, const char *prefix, const char *parent);

/* What `offset` refers to; NULL for 0. */
static inline const char *text(const struct init *init, uint32_t offset)
{
	return offset ? init->plan + offset : NULL;
}

static inline const char *op_path(const struct init *init)
{
	return text(init, init->op->path);
}

/* 0, or a failure with what the kernel said. */
static inline int check(long ret, const char *op, const char *path, struct prt_error *err)
{
	return ret < 0 ? prt_fail(err, (int)-ret, op, path, NULL) : 0;
}

static inline size_t length(const char *string)
{
	size_t n = 0;

	while (string[n])
		n++;
	return n;
}

uint64_t now_ns(void);

/* message.c: send bytes with a descriptor by the control socket; what the kernel says. */
long send_fd(int fd, const void *bytes, size_t size);

/* memory.c */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);
