/* prt_copyup: what the kernel's overlay does when a file of a lower layer is about to change, for one that is not mounted.
 *
 * As there, a hard link is broken (only this name is copied up), and the copy is on the disk before its name appears. The
 * kernel's bookkeeping (overlay.origin, overlay.impure, which keep inode numbers) is not written.
 */
#pragma once

#include "prt_upper.h"

struct prt_copyup {
	struct prt_upper upper;      /* its descriptors are the caller's */
	struct prt_merged directory; /* where the copy will appear */
	struct prt_entry from;
	struct prt_copy data; /* owns its descriptors here */
	struct timespec times[2];
	int is_renamed; /* it appears under another name than its own */
	char name[NAME_MAX + 1];
	char temporary[PRT_TEMPORARY]; /* "" where there is none */
};

#define PRT_COPYUP_NONE ((struct prt_copyup){.from = PRT_ENTRY_NONE, .data = {.from = -1, .to = -1}})

/* Begin to copy up `path`, at `target` where that is not NULL: there it replaces what is no directory, and directories
 * that are missing are made. Gives PRT_DONE (also where the upper has it already) or PRT_MORE: steps are to follow. */
int prt_copyup_begin(struct prt_copyup *self, const struct prt_upper *upper, const char *path, const char *target,
		     struct prt_error *err);

/* Copy at most `limit` bytes. PRT_DONE: the copy has appeared. */
int prt_copyup_step(struct prt_copyup *self, int64_t limit, struct prt_error *err);

/* Close it; of a copy that is not done nothing stays. */
void prt_copyup_close(struct prt_copyup *self);
