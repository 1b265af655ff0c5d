/* prt_untar: a tar archive becomes a layer, one directory in the form that overlayfs wants of a lower directory.
 *
 * Bytes are fed as they come. Nothing outside of the root is touched: names with `..` are refused, a parent that is a
 * symlink leads where it would in a chroot, nothing is ever written through the last component of a name. A whiteout
 * .wh.NAME is a character device 0/0 called NAME unless the archive has NAME too, .wh..wh..opq makes its directory opaque;
 * both in any order with what they concern. A later entry replaces an earlier one.
 *
 * Only prt_untar_finish() settles the times and modes of directories, and says what lower layers must help with. A failed
 * archive leaves what has been written so far: the root is the caller's to remove. Errors of the archive have the
 * operation "untar" (EBADMSG malformed, EINVAL refused, EFBIG over a limit, ENAMETOOLONG, ENODATA ended early), others
 * are those of system calls, with the entry's path.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "prt_error.h"

enum prt_untar_flag {
	PRT_UNTAR_NO_OWNER =
		1, /* everything belongs to the caller; set-id bits of other owners than root are dropped */
	PRT_UNTAR_UNPRIVILEGED =
		2, /* not root of the machine: device nodes and xattrs that only it may set are left out
				     * and counted; opaque is said in user.overlay. alone */
};

enum prt_untar_step { PRT_UNTAR_MORE, PRT_UNTAR_EVENT, PRT_UNTAR_DONE };

struct prt_untar_limits {
	uint64_t bytes;          /* sizes of all files, holes included */
	uint64_t headers;        /* of entries, and those that extend them */
	uint64_t metadata_bytes; /* extended headers, xattrs and sparse map of one entry */
	uint64_t memory_bytes;   /* what must be remembered of directories until the end */
};

struct prt_untar_counts {
	uint64_t entries;
	uint64_t bytes; /* as limited */
	uint64_t devices_skipped;
	uint64_t xattrs_skipped;         /* that the file system or the caller's rights refuse */
	uint64_t overlay_xattrs_dropped; /* an archive may not speak to overlayfs */
	uint64_t set_ids_dropped;
	uint64_t aufs_skipped; /* .wh..wh.* of AUFS */
};

enum prt_untar_event_kind {
	PRT_UNTAR_IMPLIED_DIRECTORY, /* a parent that the archive has no entry for */
	PRT_UNTAR_MISSING_LINK,      /* a hard link to what only lower layers can have; a whiteout has its place */
	PRT_UNTAR_OPAQUE_ROOT,       /* the root hides all that lower layers have */
};

/* Its strings are valid until the next call. */
struct prt_untar_event {
	int kind;
	const char *path;   /* without symlinks */
	const char *target; /* as in the archive, normalized */
};

struct prt_untar;

/* Unpack below the directory `root`, of which this keeps a copy. NULL on failure. */
struct prt_untar *prt_untar_new(int root, unsigned flags, const struct prt_untar_limits *limits, struct prt_error *err);

/* Take a piece of the archive: PRT_UNTAR_MORE, or PRT_UNTAR_DONE after its end mark; all of it is used up. */
int prt_untar_feed(struct prt_untar *self, const void *bytes, size_t size, struct prt_error *err);

/* No more comes. To be called until PRT_UNTAR_DONE: each call settles some directories, and may fill *event. */
int prt_untar_finish(struct prt_untar *self, struct prt_untar_event *event, struct prt_error *err);

const struct prt_untar_counts *prt_untar_counted(const struct prt_untar *self);

/* NULL is allowed. */
void prt_untar_free(struct prt_untar *self);
