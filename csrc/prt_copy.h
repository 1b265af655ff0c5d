/* prt_copy: one object of a file system copied to another place: its data, its attributes.
 *
 * Objects are given by descriptors (O_PATH will do, except where data move) and are never looked up again by a name, so
 * that what is copied is what was looked at. /proc must be there.
 */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include "prt_error.h"

enum prt_progress { PRT_DONE = 0, PRT_MORE = 1 };

/* The data of a regular file on their way. The descriptors are the caller's; set these, and `size`; the rest is 0. */
struct prt_copy {
	int from, to;
	int64_t size;
	int64_t at, end; /* of the stretch of data under way */
	int is_tried;    /* to share the blocks */
	int is_slow;     /* copy_file_range(2) does not work between these two */
};

/* Copy at most `limit` bytes: shared blocks at once, else data without the holes. Gives PRT_MORE or PRT_DONE. */
int prt_copy_step(struct prt_copy *self, int64_t limit, struct prt_error *err);

enum {
	PRT_OWN_IDS = 1,   /* what only root may give (owners, security.*, set-id bits of others) may be lost */
	PRT_USERXATTR = 2, /* an overlay's own attributes are user.overlay.*, not trusted.overlay.* */
};

/* Give `to` the owner, extended attributes (not an overlay's own), mode and times of `from`, whose status is `st`. */
int prt_copy_attributes(int from, const struct stat *st, int to, unsigned flags, struct prt_error *err);

/* Set the times of what a descriptor is open on. */
int prt_set_times(int fd, const struct timespec times[2], struct prt_error *err);

/* The path that stands for a descriptor. */
struct prt_fdpath {
	char text[32];
};
struct prt_fdpath prt_fdpath(int fd);
