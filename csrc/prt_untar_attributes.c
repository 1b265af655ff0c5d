#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "prt_untar_parts.h"

#define DEFAULT_ACL "system.posix_acl_default"

/* What attributes are set on: an open file or directory, or the name of something that cannot be opened. */
struct object {
	int fd;
	const char *path;
	int is_plain; /* takes xattrs of users */
};

static int is_prefixed(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Whether a refusal is to be counted and not to be reported: who lacks the rights of the machine's root cannot set what
 * belongs to it, and some file systems and objects take no attributes at all. */
static int is_refusal(const struct prt_untar *self, const struct object *object, const char *name, int ret)
{
	if (ret == -EOPNOTSUPP)
		return 1;
	if (ret != -EPERM && ret != -EACCES)
		return 0;
	if (!object->is_plain)
		return 1;
	return self->flags & PRT_UNTAR_UNPRIVILEGED &&
	       (is_prefixed(name, "security.") || is_prefixed(name, "trusted."));
}

static int set_xattr(struct prt_untar *self, const struct object *object, const struct prt_tar_xattr *xattr,
		     struct prt_error *err)
{
	int ret;

	if (is_prefixed(xattr->name, "trusted.overlay.") || is_prefixed(xattr->name, "user.overlay.")) {
		self->counts.overlay_xattrs_dropped++;
		return 0;
	}
	ret = object->fd >= 0 ? sys_fsetxattr(object->fd, xattr->name, xattr->value, xattr->size, 0)
			      : sys_lsetxattr(object->path, xattr->name, xattr->value, xattr->size, 0);
	if (ret >= 0)
		return 0;
	if (!is_refusal(self, object, xattr->name, ret))
		return prt_fail(err, -ret, "setxattr", self->path, xattr->name);
	self->counts.xattrs_skipped++;
	return 0;
}

/* How many there were. */
static int set_xattrs(struct prt_untar *self, const struct object *object, struct prt_error *err)
{
	int is_directory = self->entry->type == '5', count = 0, ret;
	struct prt_tar_xattr xattr;
	size_t at = 0;

	while ((ret = prt_tar_xattr(self->tar, &at, &xattr, err)) > 0) {
		if (is_directory && strcmp(xattr.name, DEFAULT_ACL) == 0)
			continue;
		if (set_xattr(self, object, &xattr, err) < 0)
			return -1;
		count++;
	}
	return ret < 0 ? ret : count;
}

int untar_default_acl(struct prt_untar *self, struct prt_tar_xattr *acl, struct prt_error *err)
{
	size_t at = 0, found = 0, before = 0;
	int ret;

	while ((ret = prt_tar_xattr(self->tar, &at, acl, err)) > 0) {
		if (strcmp(acl->name, DEFAULT_ACL) == 0)
			found = before + 1;
		before = at;
	}
	acl->size = 0;
	if (ret < 0 || !found)
		return ret;
	at = found - 1;
	return prt_tar_xattr(self->tar, &at, acl, err);
}

static int owner_differs(const struct prt_untar *self, const struct stat *st)
{
	return !(self->flags & PRT_UNTAR_NO_OWNER) &&
	       (st->st_uid != self->entry->uid || st->st_gid != self->entry->gid);
}

static int chown_failed(const struct prt_untar *self, int ret, struct prt_error *err)
{
	const char *msg = ret == -EINVAL ? "its owner has no place in this user namespace" : NULL;

	return prt_fail(err, -ret, "chown", self->path, msg);
}

static int set_times(const struct prt_untar *self, int fd, const char *name, struct prt_error *err)
{
	struct timespec times[2];
	int ret;

	times[0].tv_sec = times[1].tv_sec = self->entry->mtime;
	times[0].tv_nsec = times[1].tv_nsec = (long)self->entry->mtime_ns;
	ret = sys_utimensat(fd, name, times, name ? AT_SYMLINK_NOFOLLOW : 0);
	return ret < 0 ? untar_fail(self, ret, "utimensat", err) : 0;
}

int untar_attributes(struct prt_untar *self, int fd, struct prt_error *err)
{
	int is_directory = self->entry->type == '5';
	/* Until the end the owner of a directory must be able to fill it. */
	uint32_t mode = self->mode | (is_directory && self->uid != 0 ? S_IRWXU : 0);
	struct object object = {.fd = fd, .is_plain = 1};
	struct stat st;
	int count, ret = sys_fstat(fd, &st);

	if (ret < 0)
		return untar_fail(self, ret, "stat", err);
	if (owner_differs(self, &st)) {
		ret = sys_fchownat(fd, "", self->entry->uid, self->entry->gid, AT_EMPTY_PATH);
		if (ret < 0)
			return chown_failed(self, ret, err);
	}
	count = set_xattrs(self, &object, err); /* after chown(2), which takes capabilities away */
	if (count < 0)
		return -1;
	if (count > 0 || (st.st_mode & 07777) != mode) { /* an ACL changes the mode */
		ret = sys_fchmod(fd, mode);
		if (ret < 0)
			return untar_fail(self, ret, "chmod", err);
	}
	return is_directory ? 0 : set_times(self, fd, NULL, err);
}

/* The mode that mknod(2) has given went through the file mode creation mask. */
static int chmod_at(const struct prt_untar *self, const char *path, uint32_t mode, struct prt_error *err)
{
	int ret = (int)PRT_SYS(SYS_fchmodat, AT_FDCWD, path, mode, 0, 0, 0);

	return ret < 0 ? untar_fail(self, ret, "chmod", err) : 0;
}

int untar_attributes_at(struct prt_untar *self, struct prt_error *err)
{
	char path[NAME_MAX + 64];
	struct object object = {.fd = -1, .path = path};
	struct stat st;
	int count, ret = sys_fstatat(self->parent, self->name, &st, AT_SYMLINK_NOFOLLOW);

	(void)snprintf(path, sizeof path, "/proc/thread-self/fd/%d/%s", self->parent, self->name);
	if (ret < 0)
		return untar_fail(self, ret, "stat", err);
	if (owner_differs(self, &st)) {
		ret = sys_fchownat(self->parent, self->name, self->entry->uid, self->entry->gid, AT_SYMLINK_NOFOLLOW);
		if (ret < 0)
			return chown_failed(self, ret, err);
	}
	count = set_xattrs(self, &object, err);
	if (count < 0)
		return -1;
	if (!S_ISLNK(st.st_mode) && (count > 0 || (st.st_mode & 07777) != self->mode)) {
		cleanup_fd int fd = sys_openat(self->parent, self->name, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0)
			return untar_fail(self, fd, "open", err);
		(void)snprintf(path, sizeof path, "/proc/thread-self/fd/%d", fd);
		if (chmod_at(self, path, self->mode, err) < 0)
			return -1;
	}
	return set_times(self, self->parent, self->name, err);
}
