#include <errno.h>
#include <string.h>

#include "prt_path.h"
#include "prt_untar_parts.h"

/* As getdents64(2) gives it. */
struct dirent64_ {
	uint64_t ino;
	int64_t off;
	unsigned short size;
	unsigned char type;
	char name[];
};

enum { DESCEND = 1 };

static int is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Unlink the entries of one buffer; DESCEND, and `path` longer by its name, at a directory that is not empty. */
static int unlink_all(int fd, const char *buffer, long size, char path[PATH_MAX], struct prt_error *err)
{
	for (long at = 0; at < size;) {
		const struct dirent64_ *entry = (const struct dirent64_ *)(const void *)(buffer + at);
		size_t length = strlen(path), more = strlen(entry->name);
		int ret = is_dots(entry->name) ? 0 : sys_unlinkat(fd, entry->name, 0);

		at += entry->size;
		if (ret == -EISDIR || ret == -EPERM)
			ret = sys_unlinkat(fd, entry->name, AT_REMOVEDIR);
		if (ret == -ENOTEMPTY || ret == -EEXIST) {
			if (length + more + 2 > PATH_MAX)
				return prt_fail(err, ENAMETOOLONG, "unlink", path, NULL);
			path[length] = '/';
			memcpy(path + length + 1, entry->name, more + 1);
			return DESCEND;
		}
		if (ret < 0)
			return prt_fail(err, -ret, "unlink", path, entry->name);
	}
	return 0;
}

/* Empty the directory `path`, or descend. */
static int empty(int root, char path[PATH_MAX], struct prt_error *err)
{
	_Alignas(struct dirent64_) char buffer[8192];
	cleanup_fd int fd = prt_path_open(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS, err);

	if (fd < 0)
		return -1;
	for (;;) {
		long size = sys_getdents64(fd, buffer, sizeof buffer);
		if (size <= 0)
			return size == 0 ? 0 : prt_fail(err, (int)-size, "getdents", path, NULL);
		int ret = unlink_all(fd, buffer, size, path, err);
		if (ret != 0)
			return ret;
	}
}

static int remove_empty(int root, const char *path, struct prt_error *err)
{
	const char *name;
	cleanup_fd int parent = prt_path_parent(root, path, 0755, &name, err);
	int ret = parent < 0 ? -1 : sys_unlinkat(parent, name, AT_REMOVEDIR);

	return parent >= 0 && ret < 0 ? prt_fail(err, -ret, "rmdir", path, NULL) : ret;
}

int untar_remove_tree(int root, char path[PATH_MAX], struct prt_error *err)
{
	size_t top = strlen(path);

	/* One descriptor whatever the depth: a directory that is not empty is gone down to, and its parent read again. */
	for (;;) {
		int ret = empty(root, path, err);
		if (ret == DESCEND)
			continue;
		if (ret < 0 || remove_empty(root, path, err) < 0)
			return -1;
		if (strlen(path) <= top)
			return 0;
		*strrchr(path, '/') = 0;
	}
}
