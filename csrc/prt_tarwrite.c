#include "prt_tarwrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "prt_copy.h"
#include "prt_tarwrite_parts.h"
#include "prt_util.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

enum state { STATE_START, STATE_WALK, STATE_END };

struct prt_tarwrite {
	struct prt_tarwrite_options options;
	struct prt_tarwrite_counts counts;
	enum state state;
	int root;
	int file; /* whose data come next, or -1 */
	int is_sparse;
	int is_hole;               /* what lies from `at` to `run_end` */
	int64_t at, run_end, size; /* of the file */
	size_t padding;
	struct tw_text head; /* headers, of which head_at bytes have been written */
	size_t head_at;
	struct tw_text scratch;
	struct tw_links links;
	struct tw_walk walk;
	struct tw_xattrs xattrs;
	char target[PATH_MAX];
};

static int refuse(const struct prt_tarwrite *self, int code, const char *msg, struct prt_error *err)
{
	return prt_fail(err, code, "tarwrite", self->walk.path, msg);
}

/* Write the header of an entry, which is there at the path of the walk. */
static int add_entry(struct prt_tarwrite *self, const struct stat *st, char type, const char *target,
		     struct prt_error *err)
{
	struct tw_entry entry = {
		.type = type,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.dev_major = major(st->st_rdev),
		.dev_minor = minor(st->st_rdev),
		.size = type == '0' ? (uint64_t)st->st_size : 0,
		.mtime = st->st_mtim,
		.path = self->walk.path,
		.target = target,
	};

	if (entry.mtime.tv_sec >= self->options.latest)
		entry.mtime = (struct timespec){.tv_sec = self->options.latest};
	if (tw_map(self->options.uids, self->options.uid_count, &entry.uid) < 0 ||
	    tw_map(self->options.gids, self->options.gid_count, &entry.gid) < 0)
		return refuse(self, EOVERFLOW, "no map has its owner or group", err);
	self->counts.entries++;
	self->counts.bytes += entry.size;
	return tw_header(&self->head, &entry, &self->xattrs.records, &self->scratch, err);
}

/* Write an empty file into the directory whose path has this size: what it says is in its name, and nothing else is said
 * that could differ from one machine to another. */
static int add_mark(struct prt_tarwrite *self, size_t path_size, const char *name, struct prt_error *err)
{
	char path[sizeof self->walk.path + sizeof WHITEOUT];
	struct tw_entry entry = {.type = '0', .mode = 0600, .path = path, .target = ""};
	static const struct tw_text none;

	memcpy(path, self->walk.path, path_size);
	strcpy(path + path_size, name);
	self->counts.entries++;
	return tw_header(&self->head, &entry, &none, &self->scratch, err);
}

static int add_opaque(struct prt_tarwrite *self, size_t path_size, struct prt_error *err)
{
	int is_told = self->xattrs.is_opaque && !(self->options.flags & PRT_TARWRITE_PLAIN);

	return is_told ? add_mark(self, path_size, OPAQUE, err) : 0;
}

static int add_whiteout(struct prt_tarwrite *self, struct prt_error *err)
{
	char name[NAME_MAX + sizeof WHITEOUT] = WHITEOUT;

	if (self->options.flags & PRT_TARWRITE_PLAIN)
		return 0;
	strcat(name, self->walk.path + self->walk.path_size);
	return add_mark(self, self->walk.path_size, name, err);
}

/* A directory; the walk goes on inside of it. */
static int add_directory(struct prt_tarwrite *self, int fd, const struct stat *st, struct prt_error *err)
{
	size_t size = strlen(self->walk.path);

	strcpy(self->walk.path + size++, "/");
	if (add_entry(self, st, '5', "", err) < 0)
		return -1;
	if (add_opaque(self, size, err) < 0)
		return -1;
	return tw_walk_enter(&self->walk, fd, st, size, err);
}

/* A regular file. What was looked at is what is opened: by its descriptor. */
static int add_file(struct prt_tarwrite *self, int fd, const struct stat *st, struct prt_error *err)
{
	struct prt_fdpath path = prt_fdpath(fd);

	if (add_entry(self, st, '0', "", err) < 0)
		return -1;
	if (st->st_size == 0)
		return 0;
	self->file = sys_openat(AT_FDCWD, path.text, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (self->file < 0)
		return prt_fail(err, -self->file, "open", self->walk.path, NULL);
	self->at = self->run_end = 0;
	self->size = st->st_size;
	self->is_sparse = st->st_blocks * 512 < st->st_size;
	self->padding = -(size_t)st->st_size & (TW_BLOCK - 1);
	return 0;
}

static int add_symlink(struct prt_tarwrite *self, int fd, const struct stat *st, struct prt_error *err)
{
	long size = sys_readlinkat(fd, "", self->target, sizeof self->target);

	if (size < 0)
		return prt_fail(err, (int)-size, "readlink", self->walk.path, NULL);
	if (size == sizeof self->target)
		return refuse(self, ENAMETOOLONG, "its target is too long", err);
	self->target[size] = 0;
	return add_entry(self, st, '2', self->target, err);
}

static int add_any(struct prt_tarwrite *self, int fd, const struct stat *st, struct prt_error *err)
{
	if (tw_xattrs_read(&self->xattrs, fd, &self->options, self->walk.path, err) < 0)
		return -1;
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR:
		return add_directory(self, fd, st, err);
	case S_IFREG:
		return add_file(self, fd, st, err);
	case S_IFLNK:
		return add_symlink(self, fd, st, err);
	case S_IFCHR:
		return add_entry(self, st, '3', "", err);
	case S_IFBLK:
		return add_entry(self, st, '4', "", err);
	case S_IFIFO:
		return add_entry(self, st, '6', "", err);
	default:
		return refuse(self, EINVAL, "an archive knows nothing of its kind", err);
	}
}

/* Write the header of the next name, or the end. */
static int add_next(struct prt_tarwrite *self, struct prt_error *err)
{
	static const char end[2 * TW_BLOCK];
	const char *name = self->walk.path, *first = NULL;
	int is_plain = (self->options.flags & PRT_TARWRITE_PLAIN) != 0;
	struct stat st;
	int directory;
	int more = tw_walk_next(&self->walk, &directory, err);

	if (more <= 0) {
		self->state = STATE_END;
		return more < 0 ? -1 : tw_append(&self->head, end, sizeof end, err);
	}
	name += self->walk.path_size;
	cleanup_fd int fd = sys_openat(directory, name, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT && is_plain) /* overlayfs lists whiteouts of a directory that one layer alone has */
		return 0;
	if (fd == -ENOENT)
		return tw_changed(self->walk.path, "it was removed while the directory was written", err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return prt_fail(err, fd < 0 ? -fd : errno, "open", self->walk.path, NULL);
	if (S_ISSOCK(st.st_mode)) {
		self->counts.sockets_skipped++;
		return 0;
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
		return add_whiteout(self, err);
	if (!is_plain && strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0)
		return refuse(self, EINVAL, "in a layer, a name that begins with .wh. says that another is gone", err);
	if (st.st_nlink > 1 && !S_ISDIR(st.st_mode) &&
	    tw_links_meet(&self->links, &st, self->walk.path, &first, err) < 0)
		return -1;
	if (!first)
		return add_any(self, fd, &st, err);
	self->xattrs.records.size = 0;
	return add_entry(self, &st, '1', first, err);
}

/* Enter the root. What it says of itself is written where that is wanted, but that it is opaque always is. */
static int begin(struct prt_tarwrite *self, struct prt_error *err)
{
	struct stat st;

	self->state = STATE_WALK;
	strcpy(self->walk.path, "./");
	if (fstat(self->root, &st) < 0)
		return prt_fail(err, errno, "fstat", self->walk.path, NULL);
	if (tw_xattrs_read(&self->xattrs, self->root, &self->options, self->walk.path, err) < 0)
		return -1;
	if (self->options.flags & PRT_TARWRITE_ROOT && add_entry(self, &st, '5', "", err) < 0)
		return -1;
	if (add_opaque(self, 0, err) < 0)
		return -1;
	return tw_walk_enter(&self->walk, self->root, &st, 0, err);
}

/* Find out how far the data go that begin here, or the hole. */
static int find_run(struct prt_tarwrite *self, struct prt_error *err)
{
	off_t data = lseek(self->file, self->at, SEEK_DATA), end = -1;

	if (data < 0 && errno == ENXIO)
		data = self->size;
	if (data < 0 && errno != EINVAL)
		return prt_fail(err, errno, "lseek", self->walk.path, "looking for data");
	self->is_hole = data > self->at;
	if (self->is_hole)
		end = data;
	else if (data == self->at)
		end = lseek(self->file, self->at, SEEK_HOLE);
	self->run_end = end <= self->at || end > self->size ? self->size : end;
	return 0;
}

/* The end of a file's data: what its header has said must still be so. */
static int end_file(struct prt_tarwrite *self, struct prt_error *err)
{
	cleanup_fd int file = steal_fd(&self->file);
	struct stat st;

	if (fstat(file, &st) < 0)
		return prt_fail(err, errno, "fstat", self->walk.path, NULL);
	return st.st_size == self->size ? 0 : tw_changed(self->walk.path, "its size changed while it was written", err);
}

/* Read some of the file: how many bytes. */
static int64_t add_data(struct prt_tarwrite *self, unsigned char *to, size_t room, struct prt_error *err)
{
	if (self->at == self->run_end) {
		self->run_end = self->size;
		if (self->is_sparse && find_run(self, err) < 0)
			return -1;
	}
	size_t size = self->run_end - self->at < (int64_t)room ? (size_t)(self->run_end - self->at) : room;
	if (self->is_sparse && self->is_hole)
		memset(to, 0, size);
	long got = self->is_sparse && self->is_hole ? (long)size : PRT_RETRY(sys_pread(self->file, to, size, self->at));
	if (got < 0)
		return prt_fail(err, (int)-got, "read", self->walk.path, NULL);
	if (got == 0)
		return tw_changed(self->walk.path, "it became shorter while it was written", err);
	self->at += got;
	return self->at == self->size && end_file(self, err) < 0 ? -1 : got;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

int64_t prt_tarwrite_step(struct prt_tarwrite *self, unsigned char *to, size_t room, struct prt_error *err)
{
	size_t done = 0;

	while (done < room) {
		size_t left = room - done;
		if (self->head_at < self->head.size) {
			left = least(left, self->head.size - self->head_at);
			memcpy(to + done, self->head.bytes + self->head_at, left);
			self->head_at += left;
			done += left;
			continue;
		}
		self->head_at = self->head.size = 0;
		if (self->file >= 0) {
			int64_t got = add_data(self, to + done, left, err);
			if (got < 0)
				return -1;
			done += (size_t)got;
		} else if (self->padding) {
			left = least(left, self->padding);
			memset(to + done, 0, left);
			self->padding -= left;
			done += left;
		} else if (self->state == STATE_END) {
			break;
		} else if ((self->state == STATE_START ? begin(self, err) : add_next(self, err)) < 0) {
			return -1;
		}
	}
	return (int64_t)done;
}

static struct prt_tarwrite_ids *copy_ids(const struct prt_tarwrite_ids *ids, size_t count)
{
	struct prt_tarwrite_ids *copy = malloc((count + 1) * sizeof *copy);

	if (copy && count)
		memcpy(copy, ids, count * sizeof *copy);
	return copy;
}

struct prt_tarwrite *prt_tarwrite_new(int root, const struct prt_tarwrite_options *options, struct prt_error *err)
{
	struct prt_tarwrite *self = calloc(1, sizeof *self);

	if (!self) {
		(void)prt_fail(err, ENOMEM, "tarwrite", NULL, NULL);
		return NULL;
	}
	self->file = -1;
	self->options = *options;
	self->options.uids = copy_ids(options->uids, options->uid_count);
	self->options.gids = copy_ids(options->gids, options->gid_count);
	self->root = sys_openat(root, ".", O_PATH | O_DIRECTORY, 0);
	if (self->root < 0 || !self->options.uids || !self->options.gids) {
		(void)prt_fail(err, self->root < 0 ? -self->root : ENOMEM, "open", ".", NULL);
		prt_tarwrite_free(self);
		return NULL;
	}
	return self;
}

struct prt_tarwrite_counts prt_tarwrite_counts(const struct prt_tarwrite *self)
{
	return self->counts;
}

void prt_tarwrite_free(struct prt_tarwrite *self)
{
	if (!self)
		return;
	prt_cleanup_fd(&self->root);
	prt_cleanup_fd(&self->file);
	tw_walk_free(&self->walk);
	tw_links_free(&self->links);
	tw_text_free(&self->head);
	tw_text_free(&self->scratch);
	tw_text_free(&self->xattrs.records);
	free((void *)(uintptr_t)self->options.uids);
	free((void *)(uintptr_t)self->options.gids);
	free(self);
}
