/* prt_untar_parts: what the sources of prt_untar share, and nobody else includes. */
#pragma once

#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "prt_tar.h"
#include "prt_untar.h"
#include "prt_util.h"

/* What is remembered until the end, in the order of the archive. */
struct untar_later {
	enum { LATER_DIRECTORY, LATER_IMPLIED, LATER_LINK } kind;
	uint32_t mode;
	uint32_t mtime_ns;
	uint32_t more_size; /* of what stands behind the path: a default ACL or the target of a link */
	int64_t mtime;
	size_t at; /* of the path, in the arena */
};

struct untar_laters {
	struct untar_later *list;
	size_t count;
	size_t room;
	char *arena; /* path, NUL, more, NUL */
	size_t size;
	size_t arena_room;
	size_t left; /* not settled yet */
};

struct prt_untar {
	int root;
	unsigned flags;
	struct prt_untar_limits limits;
	struct prt_untar_counts counts;
	uid_t uid; /* the caller's */
	gid_t gid;
	struct prt_tar *tar;
	const struct prt_tar_entry *entry;
	char path[PATH_MAX]; /* of the entry, normalized: no slash at either end, "" the root */
	const char *name;    /* its last component */
	uint32_t mode;       /* without the bits that are dropped */
	int parent;          /* the directory that holds it */
	int parent_is_known; /* that `given`, of given_size bytes, leads to it */
	size_t given_size;
	char given[PATH_MAX];
	char real[PATH_MAX]; /* the parent's path without symlinks */
	int file;            /* the regular file that data belongs to */
	uint64_t file_end;
	int is_opaque_root;
	enum { FEEDING, SORTED } stage;
	struct untar_laters laters;
};

static inline int untar_bad(const struct prt_untar *self, const char *msg, struct prt_error *err)
{
	return prt_fail(err, EINVAL, "untar", self->path, msg);
}

static inline int untar_fail(const struct prt_untar *self, long ret, const char *op, struct prt_error *err)
{
	return prt_fail(err, (int)-ret, op, self->path[0] ? self->path : ".", NULL);
}

static inline int untar_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* prt_untar_place.c: a name of the archive without slashes at its ends and dots between. */
int untar_normalize(const char *from, char to[PATH_MAX], struct prt_error *err);

/* Open the parent of self->path, making what lacks; set self->parent and self->name. */
int untar_enter(struct prt_untar *self, struct prt_error *err);

/* The directory `fd`, which self->path names, becomes the parent of what follows. */
void untar_descend(struct prt_untar *self, int fd);

/* The entry's own path without symlinks. */
int untar_real_path(const struct prt_untar *self, char to[PATH_MAX], struct prt_error *err);

/* Remove what has the entry's name. */
int untar_clear(struct prt_untar *self, struct prt_error *err);

/* Say that a directory hides what lower layers have in it. */
int untar_set_opaque(const struct prt_untar *self, int fd, struct prt_error *err);

/* prt_untar_remove.c: remove a directory and all in it; `path` has no symlinks, and is given back as it was. */
int untar_remove_tree(int root, char path[PATH_MAX], struct prt_error *err);

/* prt_untar_make.c: make an entry; only a regular file waits for data. */
int untar_make(struct prt_untar *self, struct prt_error *err);

int untar_write(struct prt_untar *self, const struct prt_tar_data *data, struct prt_error *err);

/* The last byte has been written. */
int untar_close_file(struct prt_untar *self, struct prt_error *err);

/* prt_untar_link.c: a hard link within the layer, or one that is remembered. */
int untar_link(struct prt_untar *self, struct prt_error *err);

/* prt_untar_attributes.c: owner, xattrs, mode and times of an open file, or of a directory but for its times. */
int untar_attributes(struct prt_untar *self, int fd, struct prt_error *err);

/* Of a symlink or special file, by its name. */
int untar_attributes_at(struct prt_untar *self, struct prt_error *err);

/* The default ACL of a directory, which is set when nothing can inherit it any more; 0: there is none. */
int untar_default_acl(struct prt_untar *self, struct prt_tar_xattr *acl, struct prt_error *err);

/* prt_untar_later.c: remember something of a path for the end. */
int untar_remember(struct prt_untar *self, int kind, const char *path, const void *more, size_t more_size,
		   struct prt_error *err);
