#include <errno.h>
#include <string.h>
#include <time.h>

#include "prt_path.h"
#include "prt_untar_parts.h"

/* The directory of a link's target: a descriptor, or -1 where this layer does not have it. */
static int target_parent(struct prt_untar *self, const char *target, const char *name, int *missing,
			 struct prt_error *err)
{
	char path[PATH_MAX];
	size_t size = name > target ? (size_t)(name - target - 1) : 0;
	int fd;

	memcpy(path, target, size);
	path[size] = 0;
	fd = prt_path_open(self->root, path, O_PATH | O_DIRECTORY, 0, 0, err);
	*missing = fd < 0 && (err->code == ENOENT || err->code == ENOTDIR);
	return fd;
}

/* Whether the entry's name is the target already. */
static int is_same(const struct prt_untar *self, const struct stat *target)
{
	struct stat st;

	return sys_fstatat(self->parent, self->name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && st.st_dev == target->st_dev &&
	       st.st_ino == target->st_ino;
}

static int link_to(struct prt_untar *self, int parent, const char *name, struct prt_error *err)
{
	int ret = sys_linkat(parent, name, self->parent, self->name, 0);

	if (ret == -EEXIST) {
		if (untar_clear(self, err) < 0)
			return -1;
		ret = sys_linkat(parent, name, self->parent, self->name, 0);
	}
	if (ret == -ENOENT)
		return untar_bad(self, "a hard link to what lies in the directory that it replaces", err);
	return ret < 0 ? untar_fail(self, ret, "link", err) : 0;
}

/* A whiteout keeps the place, so that what happens to the name from now on happens to the link. Its time tells it from
 * others: the number of what is remembered, in 1970. */
static int remember_missing(struct prt_untar *self, const char *target, struct prt_error *err)
{
	struct timespec times[2] = {{.tv_sec = (time_t)self->laters.count}, {.tv_sec = (time_t)self->laters.count}};
	char path[PATH_MAX];
	int ret;

	if (untar_clear(self, err) < 0 || untar_real_path(self, path, err) < 0)
		return -1;
	ret = sys_mknodat(self->parent, self->name, S_IFCHR, 0);
	if (ret >= 0)
		ret = sys_utimensat(self->parent, self->name, times, AT_SYMLINK_NOFOLLOW);
	if (ret < 0)
		return untar_fail(self, ret, "mknod", err);
	if (untar_remember(self, LATER_LINK, path, target, strlen(target), err) < 0)
		return -1;
	self->laters.list[self->laters.count - 1].mtime = times[0].tv_sec;
	return 0;
}

int untar_link(struct prt_untar *self, struct prt_error *err)
{
	char target[PATH_MAX];
	const char *name;
	struct stat st;
	int missing, ret;

	if (untar_normalize(self->entry->target, target, err) < 0)
		return -1;
	if (!target[0])
		return untar_bad(self, "a hard link to a directory", err);
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	cleanup_fd int parent = target_parent(self, target, name, &missing, err);
	if (missing)
		return remember_missing(self, target, err);
	if (parent < 0 && err->code == ELOOP)
		return prt_fail(err, ELOOP, "untar", self->path, "too many symbolic links lead to its target");
	if (parent < 0)
		return -1;
	ret = sys_fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW);
	if (ret < 0 && ret != -ENOENT)
		return untar_fail(self, ret, "stat", err);
	if (ret < 0 || untar_is_whiteout(&st))
		return remember_missing(self, target, err);
	if (S_ISDIR(st.st_mode))
		return untar_bad(self, "a hard link to a directory", err);
	return is_same(self, &st) ? 0 : link_to(self, parent, name, err);
}
