#include "prt_copyup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "prt_util.h"

static int work_of(const struct prt_copyup *self)
{
	return prt_upper_work(&self->upper, &self->directory);
}

/* The temporary name becomes the name; what had that before is removed. */
static int appear(struct prt_copyup *self, struct prt_error *err)
{
	int ret = prt_upper_appear(&self->upper, &self->directory, self->temporary, self->name, self->is_renamed, err);

	if (ret == 1 && unlinkat(work_of(self), self->temporary, 0) < 0)
		return prt_fail(err, errno, "unlink", self->name, "what was there before");
	if (ret >= 0)
		self->temporary[0] = 0;
	return ret < 0 ? -1 : 0;
}

static int finish(struct prt_copyup *self, struct prt_error *err)
{
	if (!self->is_renamed && prt_set_times(self->directory.fds[0], self->times, err) < 0)
		return -1;
	return PRT_DONE;
}

/* Give an object that has no name, or one elsewhere, its name. */
static int link_object(struct prt_copyup *self, int fd, struct prt_error *err)
{
	struct prt_fdpath path = prt_fdpath(fd);

	if (linkat(AT_FDCWD, path.text, self->directory.fds[0], self->name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST || !self->is_renamed)
		return prt_fail(err, errno, "link", self->name, "to the upper");
	if (prt_upper_temporary(self->temporary, err) < 0)
		return -1;
	if (linkat(AT_FDCWD, path.text, work_of(self), self->temporary, AT_SYMLINK_FOLLOW) < 0) {
		self->temporary[0] = 0;
		return prt_fail(err, errno, "link", self->name, "to the work directory");
	}
	return appear(self, err);
}

static int make_node(const struct prt_copyup *self, struct prt_error *err)
{
	const struct stat *st = &self->from.st;
	char target[PATH_MAX];

	if (!S_ISLNK(st->st_mode)) {
		if (mknodat(work_of(self), self->temporary, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0)
			return prt_fail(err, errno, "mknod", self->name, "a special file");
		return 0;
	}
	ssize_t size = readlinkat(self->from.fd, "", target, sizeof target - 1);
	if (size < 0)
		return prt_fail(err, errno, "readlink", self->name, "in a layer");
	target[size] = 0;
	if (symlinkat(target, work_of(self), self->temporary) < 0)
		return prt_fail(err, errno, "symlink", self->name, "in the upper");
	return 0;
}

/* A symbolic link, device, fifo or socket. */
static int copy_node(struct prt_copyup *self, struct prt_error *err)
{
	if (prt_upper_temporary(self->temporary, err) < 0)
		return -1;
	if (make_node(self, err) < 0) {
		self->temporary[0] = 0;
		return -1;
	}
	cleanup_fd int made = openat(work_of(self), self->temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (made < 0)
		return prt_fail(err, errno, "open", self->name, "a special file of the upper");
	if (prt_copy_attributes(self->from.fd, &self->from.st, made, self->upper.flags, err) < 0 ||
	    appear(self, err) < 0)
		return -1;
	return finish(self, err);
}

/* A file without a name where the file system has such, else with a temporary one. */
static int open_copy(struct prt_copyup *self, struct prt_error *err)
{
	int work = work_of(self);

	self->data.to = openat(work, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (self->data.to >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return prt_fail(err, errno, "open", self->name, "a new file of the upper");
	if (prt_upper_temporary(self->temporary, err) < 0)
		return -1;
	self->data.to = openat(work, self->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (self->data.to >= 0)
		return 0;
	self->temporary[0] = 0;
	return prt_fail(err, errno, "open", self->name, "a new file of the upper");
}

static int open_source(struct prt_copyup *self, struct prt_error *err)
{
	const char *metacopy = self->upper.layers.userxattr ? "user.overlay.metacopy" : "trusted.overlay.metacopy";
	struct prt_fdpath path = prt_fdpath(self->from.fd);

	self->data.from = open(path.text, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (self->data.from < 0 && errno == EPERM)
		self->data.from = open(path.text, O_RDONLY | O_CLOEXEC);
	if (self->data.from < 0)
		return prt_fail(err, errno, "open", self->name, "in a layer");
	if (fgetxattr(self->data.from, metacopy, NULL, 0) >= 0)
		return prt_fail(err, EOPNOTSUPP, "open", self->name,
				"the layer was made with metacopy=on: no data are there");
	self->data.size = self->from.st.st_size;
	return 0;
}

/* Copy up what has been found. */
static int begin(struct prt_copyup *self, struct prt_error *err)
{
	struct stat st;

	if (fstat(self->directory.fds[0], &st) < 0)
		return prt_fail(err, errno, "fstat", self->name, "the directory of a copy");
	self->times[0] = st.st_atim;
	self->times[1] = st.st_mtim;
	switch (self->from.st.st_mode & S_IFMT) {
	case S_IFDIR:
		return prt_upper_copy_directory(&self->upper, &self->directory, self->name, self->from.fd, err);
	case S_IFREG:
		return open_source(self, err) < 0 || open_copy(self, err) < 0 ? -1 : PRT_MORE;
	default:
		return copy_node(self, err);
	}
}

/* Find the object, and change nothing. */
static int find(struct prt_copyup *self, const char *path, char resolved[PATH_MAX], struct prt_error *err)
{
	if (prt_merged_resolve(&self->upper.layers, path, PRT_NOFOLLOW, resolved, err) < 0 ||
	    prt_upper_look(&self->upper, resolved, &self->from, err) < 0)
		return -1;
	return self->from.layer < 0 ? prt_fail(err, ENOENT, "open", path, "it has just gone") : 0;
}

/* Find where it is to appear. */
static int find_target(struct prt_copyup *self, const char *target, char resolved[PATH_MAX], struct prt_error *err)
{
	struct prt_entry there;
	const char *name;

	if (self->from.fd < 0 || S_ISDIR(self->from.st.st_mode))
		return prt_fail(err, EISDIR, "link", target, "a directory has one name only");
	if (prt_merged_resolve(&self->upper.layers, target, PRT_NOFOLLOW | PRT_MISSING, resolved, err) < 0 ||
	    prt_upper_look(&self->upper, resolved, &there, err) < 0)
		return -1;
	prt_cleanup_fd(&there.fd);
	if (there.layer >= 0 && (!*resolved || S_ISDIR(there.st.st_mode)))
		return prt_fail(err, EISDIR, "link", target, "a directory is there");
	if (prt_upper_reach(&self->upper, resolved, PRT_MAKE, &self->directory, &name, err) < 0)
		return -1;
	self->is_renamed = 1;
	(void)snprintf(self->name, sizeof self->name, "%s", name);
	return 0;
}

int prt_copyup_begin(struct prt_copyup *self, const struct prt_upper *upper, const char *path, const char *target,
		     struct prt_error *err)
{
	char resolved[PATH_MAX];
	const char *name;

	*self = PRT_COPYUP_NONE;
	self->upper = *upper;
	if (find(self, path, resolved, err) < 0)
		return -1;
	if (target && find_target(self, target, resolved, err) < 0)
		return -1;
	if (self->from.layer == 0)
		return target ? link_object(self, self->from.fd, err) : PRT_DONE;
	if (!target) {
		if (prt_upper_reach(upper, resolved, PRT_COPY_UP, &self->directory, &name, err) < 0)
			return -1;
		(void)snprintf(self->name, sizeof self->name, "%s", name);
	}
	return begin(self, err);
}

int prt_copyup_step(struct prt_copyup *self, int64_t limit, struct prt_error *err)
{
	int ret = prt_copy_step(&self->data, limit, err);

	if (ret != PRT_DONE)
		return ret;
	if (prt_copy_attributes(self->from.fd, &self->from.st, self->data.to, self->upper.flags, err) < 0)
		return -1;
	if (self->upper.is_durable && fsync(self->data.to) < 0)
		return prt_fail(err, errno, "fsync", self->name, "a new file of the upper");
	if ((self->temporary[0] ? appear(self, err) : link_object(self, self->data.to, err)) < 0)
		return -1;
	return finish(self, err);
}

void prt_copyup_close(struct prt_copyup *self)
{
	if (self->temporary[0])
		(void)unlinkat(work_of(self), self->temporary, 0);
	prt_cleanup_fd(&self->data.from);
	prt_cleanup_fd(&self->data.to);
	prt_cleanup_fd(&self->from.fd);
	prt_merged_close(&self->directory);
	*self = PRT_COPYUP_NONE;
}
