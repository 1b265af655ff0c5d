/* prt_tarwrite_parts: what the parts of prt_tarwrite share: growing texts, headers, extended attributes, hard links. */
#pragma once

#include <errno.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <time.h>

#include "prt_tarwrite.h"

#define TW_BLOCK ((size_t)512)
#define TW_XATTR ((size_t)65536) /* XATTR_LIST_MAX and XATTR_SIZE_MAX */

/* Bytes on the heap; whoever has the struct frees them with tw_text_free. */
struct tw_text {
	char *bytes;
	size_t size;
	size_t room;
};

int tw_append(struct tw_text *text, const void *bytes, size_t size, struct prt_error *err);

void tw_text_free(struct tw_text *text);

/* What a header says. Strings are borrowed; the path of a directory ends with a slash. */
struct tw_entry {
	char type;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t size;
	struct timespec mtime;
	const char *path;
	const char *target; /* or "" */
};

/* Append the blocks of an entry's headers. `records` are those of its extended attributes; `scratch` is overwritten. */
int tw_header(struct tw_text *out, const struct tw_entry *entry, const struct tw_text *records, struct tw_text *scratch,
	      struct prt_error *err);

/* Append a pax record. */
int tw_record(struct tw_text *out, const char *key, const void *value, size_t size, struct prt_error *err);

/* Map an id as the file system has it to that of the archive; -1 where no map has it. */
int tw_map(const struct prt_tarwrite_ids *ids, size_t count, uint32_t *id);

struct tw_xattrs {
	struct tw_text records; /* sorted by name */
	int is_opaque;
	char names[TW_XATTR];
	char value[TW_XATTR];
};

/* Read the extended attributes of what a descriptor (O_PATH will do) is open on. */
int tw_xattrs_read(struct tw_xattrs *self, int fd, const struct prt_tarwrite_options *options, const char *path,
		   struct prt_error *err);

/* Files with more than one name, and the first that each was written under. */
struct tw_links {
	struct tw_link *list;
	size_t count;
	size_t room; /* a power of two */
	struct tw_text paths;
};

/* Give the name that a file was written under, or remember this one and give NULL through *first. */
int tw_links_meet(struct tw_links *self, const struct stat *st, const char *path, const char **first,
		  struct prt_error *err);

void tw_links_free(struct tw_links *self);

/* The names of a tree in order. `path` is that of the current one, with room for more behind it. */
struct tw_walk {
	struct tw_frame *frame; /* the directory that the current name is in */
	struct tw_frame *top;
	size_t path_size; /* of its path, with the slash; 0 for the root */
	char path[PATH_MAX + 16];
	char listing[32768];
};

/* Go down into the directory that `fd` (O_PATH will do) is open on and whose path, with a slash, has this size. */
int tw_walk_enter(struct tw_walk *self, int fd, const struct stat *st, size_t path_size, struct prt_error *err);

/* Go on to the next name: 1, and the directory that it is in, which stays the walk's; 0 after the last. */
int tw_walk_next(struct tw_walk *self, int *directory, struct prt_error *err);

void tw_walk_free(struct tw_walk *self);

/* What changes under the reader is refused. */
static inline int tw_changed(const char *path, const char *msg, struct prt_error *err)
{
	return prt_fail(err, EBUSY, "tarwrite", path, msg);
}
