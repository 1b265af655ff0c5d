#include "prt_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "prt_util.h"

#define BUFFER ((size_t)1 << 18)
#define MAX_XATTR ((size_t)65536) /* XATTR_LIST_MAX and XATTR_SIZE_MAX */

struct prt_fdpath prt_fdpath(int fd)
{
	struct prt_fdpath path;

	(void)snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
	return path;
}

/* What a file system says that cannot do this, or not between these two. */
static int is_unable(int code)
{
	return code == EOPNOTSUPP || code == EXDEV || code == EINVAL || code == ENOTTY || code == ENOSYS ||
	       code == EPERM || code == EBADF;
}

/* Read and write; 0 where the file has become shorter. */
static ssize_t copy_by_buffer(int from, int to, int64_t at, int64_t size, struct prt_error *err)
{
	char *buffer = malloc(BUFFER);
	ssize_t done = 0, got;
	int code;

	if (!buffer)
		return prt_fail(err, ENOMEM, "malloc", NULL, "a buffer");
	got = pread(from, buffer, size < (int64_t)BUFFER ? (size_t)size : BUFFER, at);
	while (got > done) {
		ssize_t put = pwrite(to, buffer + done, (size_t)(got - done), at + done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			break;
		done += put;
	}
	code = errno;
	free(buffer);
	return done < got || got < 0 ? prt_fail(err, code, got < 0 ? "read" : "write", NULL, "copying data") : done;
}

static ssize_t copy_some(struct prt_copy *self, int64_t size, struct prt_error *err)
{
	loff_t from = self->at, to = self->at;
	ssize_t done;

	if (!self->is_slow) {
		done = copy_file_range(self->from, &from, self->to, &to, (size_t)size, 0);
		if (done > 0)
			return done;
		if (done < 0 && !is_unable(errno))
			return prt_fail(err, errno, "copy_file_range", NULL, "copying data");
		/* 0 is also what some kernels say for files of procfs and its like, which have data all the same. */
		self->is_slow = 1;
	}
	return copy_by_buffer(self->from, self->to, self->at, size, err);
}

/* Find the next stretch of data: 0 where there is none. */
static int find_data(struct prt_copy *self, struct prt_error *err)
{
	off_t start = lseek(self->from, self->at, SEEK_DATA), end;

	if (start < 0 && errno == ENXIO)
		return 0;
	if (start < 0 && errno != EINVAL)
		return prt_fail(err, errno, "lseek", NULL, "looking for data");
	end = start < 0 ? -1 : lseek(self->from, start, SEEK_HOLE);
	self->at = start < 0 ? self->at : start;
	self->end = end < 0 || end > self->size ? self->size : end;
	return self->at < self->size;
}

int prt_copy_step(struct prt_copy *self, int64_t limit, struct prt_error *err)
{
	if (!self->is_tried) {
		self->is_tried = 1;
		if (self->size == 0 || ioctl(self->to, FICLONE, self->from) == 0)
			return PRT_DONE;
		if (!is_unable(errno))
			return prt_fail(err, errno, "ioctl", NULL, "sharing data");
	}
	while (limit > 0) {
		if (self->at >= self->end) {
			int more = self->at < self->size ? find_data(self, err) : 0;
			if (more < 0)
				return -1;
			if (!more)
				break;
		}
		int64_t size = self->end - self->at;
		ssize_t done = copy_some(self, size < limit ? size : limit, err);
		if (done < 0)
			return -1;
		if (done == 0)
			break;
		self->at += done;
		limit -= done;
	}
	if (limit <= 0 && self->at < self->size)
		return PRT_MORE;
	return ftruncate(self->to, self->size) < 0 ? prt_fail(err, errno, "ftruncate", NULL, "copying data") : PRT_DONE;
}

static int starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* As the kernel: an overlay's own stay behind, unless escaped for an overlay inside; labels are the security module's. */
static int is_copied(const char *name, unsigned flags)
{
	const char *own = flags & PRT_USERXATTR ? "user.overlay." : "trusted.overlay.";

	if (starts(name, own))
		return starts(name + strlen(own), "overlay.");
	return strcmp(name, "security.selinux") != 0 && strcmp(name, "security.evm") != 0;
}

/* Whether a refused attribute may be left out: what decides on rights may not, what the file system lacks may. */
static int may_lack(const char *name, int code, unsigned flags)
{
	int decides = starts(name, "security.") || starts(name, "system.posix_acl_");

	if (flags & PRT_OWN_IDS && (code == EPERM || code == EINVAL) && !starts(name, "user."))
		return 1;
	return code == EOPNOTSUPP && !decides;
}

static int copy_xattr(const char *from, const char *to, const char *name, char *value, unsigned flags,
		      struct prt_error *err)
{
	ssize_t size = getxattr(from, name, value, MAX_XATTR);

	if (size < 0)
		return errno == ENODATA ? 0 : prt_fail(err, errno, "getxattr", name, "of what is copied");
	if (setxattr(to, name, value, (size_t)size, 0) < 0 && !may_lack(name, errno, flags))
		return prt_fail(err, errno, "setxattr", name, "of the copy");
	return 0;
}

static int copy_xattrs(int from, int to, unsigned flags, struct prt_error *err)
{
	struct prt_fdpath source = prt_fdpath(from), target = prt_fdpath(to);
	ssize_t size = listxattr(source.text, NULL, 0);
	int ret = 0;

	if (size <= 0)
		return size == 0 || errno == EOPNOTSUPP ? 0
							: prt_fail(err, errno, "listxattr", NULL, "of what is copied");
	char *names = malloc(2 * MAX_XATTR);
	if (!names)
		return prt_fail(err, ENOMEM, "malloc", NULL, "a buffer");
	size = listxattr(source.text, names, MAX_XATTR);
	if (size < 0)
		ret = prt_fail(err, errno, "listxattr", NULL, "of what is copied");
	for (char *name = names; ret == 0 && name < names + size; name += strlen(name) + 1)
		if (is_copied(name, flags))
			ret = copy_xattr(source.text, target.text, name, names + MAX_XATTR, flags, err);
	free(names);
	return ret;
}

int prt_set_times(int fd, const struct timespec times[2], struct prt_error *err)
{
	struct prt_fdpath path = prt_fdpath(fd);

	return utimensat(AT_FDCWD, path.text, times, 0) < 0 ? prt_fail(err, errno, "utimensat", NULL, "of the copy")
							    : 0;
}

/* The mode comes last but one: a new owner clears set-id bits, a read-only mode forbids attributes. */
int prt_copy_attributes(int from, const struct stat *st, int to, unsigned flags, struct prt_error *err)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	struct prt_fdpath target = prt_fdpath(to);
	mode_t mode = st->st_mode & 07777;

	if (fchownat(to, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0) {
		/* EINVAL: an id that the user namespace does not map */
		if (!(flags & PRT_OWN_IDS) || (errno != EPERM && errno != EINVAL))
			return prt_fail(err, errno, "chown", NULL, "of the copy");
		mode &= (mode_t) ~(S_ISUID | S_ISGID);
	}
	if (copy_xattrs(from, to, flags, err) < 0)
		return -1;
	if (!S_ISLNK(st->st_mode) && chmod(target.text, mode) < 0)
		return prt_fail(err, errno, "chmod", NULL, "of the copy");
	return prt_set_times(to, times, err);
}
