/* prt_upper: writing into the upper directory of an overlay that is not mounted, in the form that the kernel gives it.
 *
 * Paths are those of the merged tree; symbolic links in them are followed inside it, but the last. Everything appears by
 * one rename or link: until then it has a temporary name (".prt-" and 16 digits) in `work`, which whoever makes uppers
 * empties after a crash. Directories on the way are copied up before, each a copy of the topmost layer's, and a
 * directory that something is copied up into keeps its times. Nobody else may write to the upper meanwhile; who
 * does gets an error or a mixture, but never leads a write out of it.
 */
#pragma once

#include <stddef.h>

#include "prt_copy.h"
#include "prt_merged.h"

#define PRT_TEMPORARY 24

struct prt_upper {
	struct prt_layers layers; /* fds[0] is the upper */
	int work;                 /* a directory on the upper's file system; -1: where the name will be */
	unsigned flags;           /* PRT_OWN_IDS, PRT_USERXATTR */
	int is_durable;           /* data are on the disk before their name appears, as the kernel does it */
};

/* What a removal leaves to do: trees with temporary names. */
struct prt_removal {
	int at, is_unprivileged;
	size_t count, room;
	char (*names)[PRT_TEMPORARY];
};

enum prt_reach {
	PRT_LOOK,    /* change nothing */
	PRT_COPY_UP, /* directories are to be in the upper */
	PRT_MAKE,    /* and made, with mode 0755, where they are missing */
};

/* Open the directory above the last component of a resolved path; *name is that component. Not for the root. */
int prt_upper_reach(const struct prt_upper *self, const char *resolved, enum prt_reach reach,
		    struct prt_merged *directory, const char **name, struct prt_error *err);

/* Look a resolved path up and change nothing. Not there: 0, and entry->layer is -1; the root has layer 0 and no fd. */
int prt_upper_look(const struct prt_upper *self, const char *resolved, struct prt_entry *entry, struct prt_error *err);

/* Copy up the directory `name`, which the descriptor `from` is open on. */
int prt_upper_copy_directory(const struct prt_upper *self, const struct prt_merged *directory, const char *name,
			     int from, struct prt_error *err);

/* Where temporary names are made that will appear in `directory`. */
int prt_upper_work(const struct prt_upper *self, const struct prt_merged *directory);
int prt_upper_temporary(char name[PRT_TEMPORARY], struct prt_error *err);

/* Let a temporary name appear as `name`. What is there is refused (EEXIST), or takes the temporary name (gives 1). */
int prt_upper_appear(const struct prt_upper *self, const struct prt_merged *directory, const char *temporary,
		     const char *name, int replace, struct prt_error *err);

/* Make a directory; where it takes the place of something of a lower layer that was removed, it hides that. */
int prt_upper_mkdir(const struct prt_upper *self, const char *path, unsigned mode, struct prt_error *err);

/* Remove a path, a directory with all that is in it. PRT_MORE: steps are to follow. Close it in any case. */
int prt_upper_remove(const struct prt_upper *self, const char *path, struct prt_removal *removal,
		     struct prt_error *err);
int prt_removal_step(struct prt_removal *self, int limit, struct prt_error *err);
void prt_removal_close(struct prt_removal *self);
