/* prt_tarwrite: a directory in the form that overlayfs stacks becomes a layer, a tar archive that the tree alone decides.
 *
 * Entries come parents first and sorted by the bytes of their names. Headers are ustar, with a pax header before them where
 * that is too small: names over 100 bytes or not ASCII, large numbers, fractions of a second, extended attributes.
 * A 0/0 character device becomes an empty file .wh.NAME, an opaque directory gets .wh..wh..opq. Sockets are skipped;
 * holes are written as zeros without being read. Of hard links the first is the file.
 *
 * The tree may change meanwhile and be hostile: nothing is looked up but below the root and without following links,
 * only regular files and directories are opened, and what changes under the reader is refused with EBUSY. EINVAL: a name
 * or attribute that an archive cannot tell. EOPNOTSUPP: data that overlayfs keeps elsewhere. EOVERFLOW: an owner
 * that no map has. /proc must be there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "prt_error.h"

enum prt_tarwrite_flag {
	PRT_TARWRITE_USERXATTR = 1, /* opaque directories say so in user.overlay.*, not trusted.overlay.* */
	PRT_TARWRITE_ROOT = 2,      /* the root has an entry, "./" */
	PRT_TARWRITE_PLAIN = 4,     /* not a layer but the tree that it shows: no whiteouts, nothing opaque */
};

/* Ids from `outside` on, as the file system has them, are written as ids from `inside` on. */
struct prt_tarwrite_ids {
	uint32_t inside;
	uint32_t outside;
	uint32_t count;
};

struct prt_tarwrite_options {
	const struct prt_tarwrite_ids *uids; /* none: as they are */
	const struct prt_tarwrite_ids *gids;
	size_t uid_count;
	size_t gid_count;
	int64_t latest; /* seconds: no mtime is later than this */
	unsigned flags;
};

struct prt_tarwrite_counts {
	uint64_t entries;
	uint64_t bytes; /* sizes of files, holes included */
	uint64_t sockets_skipped;
};

struct prt_tarwrite;

/* Begin at a directory, whose descriptor stays the caller's. The options are copied; free the result. NULL on failure. */
struct prt_tarwrite *prt_tarwrite_new(int root, const struct prt_tarwrite_options *options, struct prt_error *err);

/* Write the next bytes of the archive: as many as there is room for, or fewer at its end, then 0. */
int64_t prt_tarwrite_step(struct prt_tarwrite *self, unsigned char *to, size_t room, struct prt_error *err);

/* What has been written so far. */
struct prt_tarwrite_counts prt_tarwrite_counts(const struct prt_tarwrite *self);

void prt_tarwrite_free(struct prt_tarwrite *self);
