#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "prt_path.h"
#include "prt_untar_parts.h"

#define STEP 1024

static int grow(struct prt_untar *self, size_t more, struct prt_error *err)
{
	struct untar_laters *laters = &self->laters;
	size_t arena = laters->arena_room, room = laters->room;

	while (arena - laters->size < more)
		arena = arena ? arena * 2 : 65536;
	if (laters->count == room)
		room = room ? room * 2 : 1024;
	if (arena + room * sizeof *laters->list > self->limits.memory_bytes)
		return prt_fail(err, EFBIG, "untar", self->path, "more directories than the limit of memory allows");
	if (arena != laters->arena_room) {
		char *bytes = realloc(laters->arena, arena);
		if (!bytes)
			return prt_fail(err, ENOMEM, "realloc", self->path, NULL);
		laters->arena = bytes;
		laters->arena_room = arena;
	}
	if (room != laters->room) {
		struct untar_later *list = realloc(laters->list, room * sizeof *list);
		if (!list)
			return prt_fail(err, ENOMEM, "realloc", self->path, NULL);
		laters->list = list;
		laters->room = room;
	}
	return 0;
}

int untar_remember(struct prt_untar *self, int kind, const char *path, const void *more, size_t more_size,
		   struct prt_error *err)
{
	struct untar_laters *laters = &self->laters;
	size_t path_size = strlen(path) + 1;
	char *to;

	if (grow(self, path_size + more_size + 1, err) < 0)
		return -1;
	to = laters->arena + laters->size;
	memcpy(to, path, path_size);
	if (more_size > 0)
		memcpy(to + path_size, more, more_size);
	to[path_size + more_size] = 0;
	laters->list[laters->count++] = (struct untar_later){
		.kind = (unsigned)kind,
		.mode = self->mode,
		.mtime = self->entry ? self->entry->mtime : 0,
		.mtime_ns = self->entry ? self->entry->mtime_ns : 0,
		.more_size = (uint32_t)more_size,
		.at = laters->size,
	};
	laters->size += path_size + more_size + 1;
	return 0;
}

/* By path, and of one path in the order of the archive. */
static int compare(const void *a, const void *b, void *arena)
{
	const struct untar_later *left = a, *right = b;
	int order = strcmp((const char *)arena + left->at, (const char *)arena + right->at);

	return order ? order : left->at < right->at ? -1 : 1;
}

/* What has been replaced since is not there any more: -ENOENT. */
static int open_again(const struct prt_untar *self, const char *path, int flags, struct prt_error *err)
{
	int fd = prt_path_open(self->root, path, flags | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS, err);

	return fd < 0 && (err->code == ENOENT || err->code == ENOTDIR || err->code == ELOOP) ? -ENOENT : fd;
}

static int settle_directory(struct prt_untar *self, const struct untar_later *later, const char *path,
			    struct prt_error *err)
{
	const struct timespec time = {.tv_sec = later->mtime, .tv_nsec = (long)later->mtime_ns};
	const struct timespec times[2] = {time, time};
	const char *acl = path + strlen(path) + 1;
	struct stat st;
	int ret = 0;
	cleanup_fd int fd = open_again(self, path, O_RDONLY | O_DIRECTORY, err);

	if (fd < 0)
		return fd == -ENOENT ? 0 : -1;
	if (later->more_size > 0)
		ret = sys_fsetxattr(fd, "system.posix_acl_default", acl, later->more_size, 0);
	if (ret == -EOPNOTSUPP) {
		self->counts.xattrs_skipped++;
		ret = 0;
	}
	if (ret < 0)
		return prt_fail(err, -ret, "setxattr", path, "system.posix_acl_default");
	ret = sys_fstat(fd, &st);
	if (ret >= 0 && (st.st_mode & 07777) != later->mode)
		ret = sys_fchmod(fd, later->mode);
	if (ret >= 0)
		ret = sys_utimensat(fd, NULL, times, 0);
	return ret < 0 ? prt_fail(err, -ret, "utimensat", path, NULL) : 0;
}

/* PRT_UNTAR_EVENT where Python has to know of it. */
static int settle(struct prt_untar *self, const struct untar_later *later, struct prt_untar_event *event,
		  struct prt_error *err)
{
	const char *path = self->laters.arena + later->at;
	int is_link = later->kind == LATER_LINK;
	struct stat st;

	if (later->kind == LATER_DIRECTORY)
		return settle_directory(self, later, path, err);
	event->path = path;
	event->target = path + strlen(path) + 1;
	event->kind = is_link ? PRT_UNTAR_MISSING_LINK : PRT_UNTAR_IMPLIED_DIRECTORY;
	cleanup_fd int fd = open_again(self, path, O_PATH | (is_link ? 0 : O_DIRECTORY), err);
	if (fd < 0)
		return fd == -ENOENT ? PRT_UNTAR_MORE : -1;
	if (is_link && (sys_fstat(fd, &st) < 0 || !untar_is_whiteout(&st) || st.st_mtime != later->mtime))
		return PRT_UNTAR_MORE;
	return PRT_UNTAR_EVENT;
}

static int begin(struct prt_untar *self, struct prt_error *err)
{
	struct untar_laters *laters = &self->laters;

	if (!prt_tar_is_whole(self->tar))
		return prt_fail(err, ENODATA, "untar", self->path, "the archive ends early");
	qsort_r(laters->list, laters->count, sizeof *laters->list, compare, laters->arena);
	laters->left = laters->count;
	self->stage = SORTED;
	return 0;
}

int prt_untar_finish(struct prt_untar *self, struct prt_untar_event *event, struct prt_error *err)
{
	struct untar_laters *laters = &self->laters;

	if (self->stage == FEEDING && begin(self, err) < 0)
		return -1;
	if (self->is_opaque_root) {
		self->is_opaque_root = 0;
		*event = (struct prt_untar_event){.kind = PRT_UNTAR_OPAQUE_ROOT, .path = "", .target = ""};
		return PRT_UNTAR_EVENT;
	}
	for (int n = 0; n < STEP && laters->left > 0; n++) {
		/* From the end: what is in a directory comes before it, and of one path the last counts. */
		const struct untar_later *later = &laters->list[--laters->left];
		const char *path = laters->arena + later->at;
		int ret;

		if (laters->left + 1 < laters->count && strcmp(path, laters->arena + later[1].at) == 0)
			continue;
		ret = settle(self, later, event, err);
		if (ret != PRT_UNTAR_MORE)
			return ret;
	}
	return laters->left > 0 ? PRT_UNTAR_MORE : PRT_UNTAR_DONE;
}
