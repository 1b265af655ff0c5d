/* prt_treediff: how two trees differ, as Docker says it: A added, C changed, D deleted.
 *
 * Names are compared, then type, mode, owner, device, size, time, link target and, of programs, the
 * capabilities; of directories neither size nor time; data are never read. Times of whole seconds equal any time within that second, as archives cut them. A
 * directory in which something has changed has changed itself. What is in an added directory is added; what is in a deleted
 * one is not mentioned.
 *
 * A tree is a stack of layers (prt_merged). Of one that is an upper on top of the other only the upper is read: what it
 * does not have is equal, unless a directory of it is opaque. Two names of one inode are equal, with all below.
 *
 * The changes come in pieces: a buffer of records, each a letter, the path and a zero byte. A directory stands before what
 * is in it, names are sorted by bytes.
 */
#pragma once

#include <stddef.h>

#include "prt_merged.h"

struct prt_treediff_level;

struct prt_treediff {
	struct prt_layers before, after; /* their descriptors are the caller's */
	int is_upper;                    /* `after` is one layer, that lies on top of `before` */
	struct prt_treediff_level *root, *here;
	int open;   /* descriptors held */
	char *text; /* the records so far: the caller takes them by setting size to 0 */
	size_t size, room;
	size_t path_size;
	char path[PATH_MAX];
};

/* Begin at the roots, which themselves are not compared. Close it in any case. */
int prt_treediff_begin(struct prt_treediff *self, struct prt_error *err);

/* Compare at most `limit` entries. Gives 1 where there is more to do, 0 when all is done. */
int prt_treediff_step(struct prt_treediff *self, int limit, struct prt_error *err);

void prt_treediff_close(struct prt_treediff *self);
