#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "prt_untar_parts.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define AUFS ".wh..wh."

static int is_prefixed(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* 1 where the entry belongs to AUFS itself, which kept its books in files of such names. */
static int check_name(const struct prt_untar *self, struct prt_error *err)
{
	const char *at = self->path;

	for (const char *slash = strchr(at, '/'); slash; slash = strchr(at, '/')) {
		if (is_prefixed(at, AUFS))
			return 1;
		if (is_prefixed(at, WHITEOUT))
			return untar_bad(self, "a whiteout cannot be a directory", err);
		at = slash + 1;
	}
	if (is_prefixed(at, AUFS))
		return strcmp(at, OPAQUE) != 0;
	if (is_prefixed(at, WHITEOUT) && (!at[4] || strcmp(at + 4, ".") == 0 || strcmp(at + 4, "..") == 0))
		return untar_bad(self, "a whiteout of a name that no file can have", err);
	return 0;
}

static int make_file(struct prt_untar *self, struct prt_error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
	/* Who is not root may not set attributes of what may not be written. */
	unsigned mode = (self->mode & 0777) | (self->uid != 0 ? S_IWUSR : 0);
	int fd = sys_openat(self->parent, self->name, flags, mode);

	if (fd == -EEXIST) {
		if (untar_clear(self, err) < 0)
			return -1;
		fd = sys_openat(self->parent, self->name, flags, mode);
	}
	if (fd < 0)
		return untar_fail(self, fd, "open", err);
	self->file = fd;
	self->file_end = 0;
	return 0;
}

int untar_write(struct prt_untar *self, const struct prt_tar_data *data, struct prt_error *err)
{
	size_t done = 0;

	while (self->file >= 0 && done < data->size) {
		int64_t offset = (int64_t)(data->offset + done);
		long ret = PRT_RETRY(sys_pwrite(self->file, data->bytes + done, data->size - done, offset));
		if (ret < 0)
			return untar_fail(self, ret, "write", err);
		done += (size_t)ret;
	}
	self->file_end = data->offset + done;
	return 0;
}

int untar_close_file(struct prt_untar *self, struct prt_error *err)
{
	cleanup_fd int fd = steal_fd(&self->file);
	int ret;

	if (fd < 0)
		return 0;
	if (self->file_end < self->entry->size) { /* it ends with a hole */
		ret = sys_ftruncate(fd, (int64_t)self->entry->size);
		if (ret < 0)
			return untar_fail(self, ret, "truncate", err);
	}
	if (untar_attributes(self, fd, err) < 0)
		return -1;
	ret = sys_close(steal_fd(&fd)); /* where a file system says only now that there was no room */
	return ret < 0 ? untar_fail(self, ret, "close", err) : 0;
}

/* A new directory, or the one that is there; *replaces: something that was no directory had its name. */
static int open_directory(struct prt_untar *self, int *replaces, struct prt_error *err)
{
	unsigned mode = (self->mode & 0777) | S_IRWXU;
	int ret = sys_mkdirat(self->parent, self->name, mode), fd;

	if (ret < 0 && ret != -EEXIST)
		return untar_fail(self, ret, "mkdir", err);
	fd = sys_openat(self->parent, self->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	*replaces = fd == -ENOTDIR || fd == -ELOOP;
	if (*replaces) {
		if (untar_clear(self, err) < 0)
			return -1;
		ret = sys_mkdirat(self->parent, self->name, mode);
		if (ret < 0)
			return untar_fail(self, ret, "mkdir", err);
		fd = sys_openat(self->parent, self->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	}
	return fd < 0 ? untar_fail(self, fd, "open", err) : fd;
}

static int settle_directory(struct prt_untar *self, int fd, struct prt_error *err)
{
	struct prt_tar_xattr acl;
	char path[PATH_MAX];

	if (untar_attributes(self, fd, err) < 0 || untar_default_acl(self, &acl, err) < 0)
		return -1;
	if (untar_real_path(self, path, err) < 0)
		return -1;
	return untar_remember(self, LATER_DIRECTORY, path, acl.value, acl.size, err);
}

static int make_directory(struct prt_untar *self, struct prt_error *err)
{
	int replaces = 0;
	cleanup_fd int fd = open_directory(self, &replaces, err);

	if (fd < 0)
		return -1;
	/* What had the name before hid a directory of a lower layer: so must the new one. */
	if (replaces && untar_set_opaque(self, fd, err) < 0)
		return -1;
	if (settle_directory(self, fd, err) < 0)
		return -1;
	untar_descend(self, steal_fd(&fd));
	return 0;
}

static int make_root(struct prt_untar *self, struct prt_error *err)
{
	cleanup_fd int fd = -1;

	if (self->entry->type != '5')
		return untar_bad(self, "the root of a layer can only be a directory", err);
	if (untar_enter(self, err) < 0)
		return -1;
	fd = sys_openat(self->root, ".", O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? untar_fail(self, fd, "open", err) : settle_directory(self, fd, err);
}

static int make_symlink(struct prt_untar *self, struct prt_error *err)
{
	const char *target = self->entry->target;
	int ret;

	if (!target[0])
		return untar_bad(self, "a symbolic link to nothing", err);
	ret = sys_symlinkat(target, self->parent, self->name);
	if (ret == -EEXIST) {
		if (untar_clear(self, err) < 0)
			return -1;
		ret = sys_symlinkat(target, self->parent, self->name);
	}
	return ret < 0 ? untar_fail(self, ret, "symlink", err) : untar_attributes_at(self, err);
}

static int make_node(struct prt_untar *self, unsigned type, struct prt_error *err)
{
	const struct prt_tar_entry *entry = self->entry;
	unsigned device = type == S_IFIFO ? 0 : (unsigned)makedev(entry->dev_major, entry->dev_minor);
	unsigned mode = type | (self->mode & 0777);
	int ret;

	if (type == S_IFCHR && device == 0)
		return untar_bad(self, "a device 0/0, which is a whiteout in disguise", err);
	if (type != S_IFIFO && self->flags & PRT_UNTAR_UNPRIVILEGED) {
		self->counts.devices_skipped++;
		return 0;
	}
	ret = sys_mknodat(self->parent, self->name, mode, device);
	if (ret == -EEXIST) {
		if (untar_clear(self, err) < 0)
			return -1;
		ret = sys_mknodat(self->parent, self->name, mode, device);
	}
	return ret < 0 ? untar_fail(self, ret, "mknod", err) : untar_attributes_at(self, err);
}

/* Of a name that the archive has too, a file stays, and a directory hides what lower layers have in theirs. */
static int make_whiteout(struct prt_untar *self, struct prt_error *err)
{
	const char *name = self->name + strlen(WHITEOUT);
	int ret = sys_mknodat(self->parent, name, S_IFCHR, 0);

	if (ret != -EEXIST)
		return ret < 0 ? untar_fail(self, ret, "mknod", err) : 0;
	cleanup_fd int fd = sys_openat(self->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	return fd < 0 ? untar_fail(self, fd, "open", err) : untar_set_opaque(self, fd, err);
}

static int make_opaque(struct prt_untar *self, struct prt_error *err)
{
	if (!self->real[0]) {
		self->is_opaque_root = 1;
		return 0;
	}
	return untar_set_opaque(self, self->parent, err);
}

/* Bits that would let others become whoever unpacks. */
static uint32_t kept_mode(struct prt_untar *self)
{
	const struct prt_tar_entry *entry = self->entry;
	uint32_t dropped = (entry->uid ? S_ISUID : 0) | (entry->gid ? S_ISGID : 0);

	if (!(self->flags & PRT_UNTAR_NO_OWNER) || entry->type != '0' || !(entry->mode & dropped))
		return entry->mode;
	self->counts.set_ids_dropped++;
	return entry->mode & ~dropped;
}

static int make_named(struct prt_untar *self, struct prt_error *err)
{
	if (strcmp(self->name, OPAQUE) == 0)
		return make_opaque(self, err);
	if (is_prefixed(self->name, WHITEOUT))
		return make_whiteout(self, err);
	self->mode = kept_mode(self);
	switch (self->entry->type) {
	case '0':
		return make_file(self, err);
	case '1':
		return untar_link(self, err);
	case '2':
		return make_symlink(self, err);
	case '3':
		return make_node(self, S_IFCHR, err);
	case '4':
		return make_node(self, S_IFBLK, err);
	case '5':
		return make_directory(self, err);
	default:
		return make_node(self, S_IFIFO, err);
	}
}

int untar_make(struct prt_untar *self, struct prt_error *err)
{
	int ret;

	self->entry = prt_tar_entry(self->tar);
	if (untar_normalize(self->entry->path, self->path, err) < 0)
		return -1;
	if (self->entry->size > self->limits.bytes - self->counts.bytes)
		return prt_fail(err, EFBIG, "untar", self->path, "more bytes than the limit allows");
	self->counts.entries++;
	self->counts.bytes += self->entry->size;
	self->mode = self->entry->mode;
	if (!self->path[0])
		return make_root(self, err);
	ret = check_name(self, err);
	if (ret != 0) {
		self->counts.aufs_skipped += ret > 0;
		return ret > 0 ? 0 : -1;
	}
	return untar_enter(self, err) < 0 ? -1 : make_named(self, err);
}
