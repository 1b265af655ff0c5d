/* prt_merged: the tree that an overlay shows, read from its layers without a mount.
 *
 * Layers are directory descriptors, the topmost first; they stay the caller's. A whiteout (a 0/0 character device) or
 * anything else than a directory ends what is below, and so does a directory with the attribute overlay.opaque. As in
 * the kernel, the top directories themselves are always merged. Redirected directories and metadata-only files
 * are refused with EOPNOTSUPP where they are met, for pyrt's overlays make none.
 *
 * Names are looked up one by one, symbolic links are read and not followed by the kernel: nothing leads out of the layers.
 */
#pragma once

#include <linux/limits.h>
#include <sys/stat.h>

#include "prt_error.h"

struct prt_layers {
	const int *fds; /* -1 where there is none, as an upper that is not wanted */
	int count;
	int userxattr; /* the attributes are user.overlay.*, not trusted.overlay.* */
};

/* A directory of the merged tree; its owner closes it. */
struct prt_merged {
	int *fds; /* one for each layer, -1 where that adds nothing */
	int count;
};

/* What a name in it stands for. */
struct prt_entry {
	int layer; /* the topmost that has it; -1: none */
	int fd;    /* O_PATH; the caller's */
	struct stat st;
};

#define PRT_ENTRY_NONE ((struct prt_entry){.layer = -1, .fd = -1})

enum {
	PRT_NOFOLLOW = 1, /* the last component may be a symbolic link, and stays one */
	PRT_MISSING = 2,  /* the last components may be missing */
};

void prt_merged_close(struct prt_merged *self);

#define cleanup_merged __attribute__((cleanup(prt_merged_close)))

/* Open the root of the merged tree. */
int prt_merged_root(const struct prt_layers *layers, struct prt_merged *root, struct prt_error *err);

/* Look a name up, in the layers `from` and below. Not there: 0, and entry->layer is -1. */
int prt_merged_find(const struct prt_merged *directory, int from, const char *name, struct prt_entry *entry,
		    struct prt_error *err);

/* The same for its status alone: the descriptor of the layer's directory that has it, or PRT_ABSENT, or -1. */
#define PRT_ABSENT (-2)
int prt_merged_stat(const struct prt_merged *directory, const char *name, struct stat *st, struct prt_error *err);

/* Open a directory in a directory. ENOENT, ENOTDIR. */
int prt_merged_enter(const struct prt_layers *layers, const struct prt_merged *directory, const char *name,
		     struct prt_merged *inner, struct prt_error *err);

/* Resolve a path as a process chrooted to the merged tree would; `resolved` ("a/b", "" for the root) has no links in it. */
int prt_merged_resolve(const struct prt_layers *layers, const char *path, unsigned flags, char resolved[PATH_MAX],
		       struct prt_error *err);

/* A 0/0 character device. */
static inline int prt_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Whether a directory hides what is below it, by its descriptor (not O_PATH); -1 and errno. */
int prt_is_opaque(int fd, int userxattr);
