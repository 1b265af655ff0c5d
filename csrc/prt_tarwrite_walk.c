#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "prt_path.h"
#include "prt_tarwrite_parts.h"
#include "prt_util.h"

#define OPEN_DIRECTORIES 64 /* of a deep tree; those above are opened again when the walk comes back to them */

struct tw_frame {
	struct tw_frame *above;
	int fd; /* -1: closed for a while */
	size_t path_size;
	dev_t device;
	ino_t inode;
	struct tw_text text;
	const char **names; /* in `text`, sorted */
	size_t count;
	size_t at;
};

static void frame_close(struct tw_frame *frame)
{
	prt_cleanup_fd(&frame->fd);
	frame->fd = -1;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Take the names that are left in the listing. */
static int take_names(struct tw_walk *self, struct tw_frame *frame, long size, struct prt_error *err)
{
	for (long at = 0; at < size;) {
		const struct dirent64 *entry = (const struct dirent64 *)(const void *)(self->listing + at);
		at += entry->d_reclen;
		if (is_dots(entry->d_name))
			continue;
		if (tw_append(&frame->text, entry->d_name, strlen(entry->d_name) + 1, err) < 0)
			return -1;
		frame->count++;
	}
	return 0;
}

static int frame_list(struct tw_walk *self, struct tw_frame *frame, struct prt_error *err)
{
	long size;

	while ((size = PRT_SYS(SYS_getdents64, frame->fd, self->listing, sizeof self->listing, 0, 0, 0)) > 0)
		if (take_names(self, frame, size, err) < 0)
			return -1;
	if (size < 0)
		return prt_fail(err, (int)-size, "getdents", self->path, NULL);
	frame->names = malloc((frame->count + 1) * sizeof *frame->names);
	if (!frame->names)
		return prt_fail(err, ENOMEM, "tarwrite", self->path, "names");
	const char *name = frame->text.bytes;
	for (size_t i = 0; i < frame->count; i++, name += strlen(name) + 1)
		frame->names[i] = name;
	qsort(frame->names, frame->count, sizeof *frame->names, by_bytes);
	return 0;
}

int tw_walk_enter(struct tw_walk *self, int fd, const struct stat *st, size_t path_size, struct prt_error *err)
{
	struct tw_frame *frame = calloc(1, sizeof *frame), *far = frame;

	if (!frame)
		return prt_fail(err, ENOMEM, "tarwrite", self->path, "a directory");
	*frame = (struct tw_frame){
		.above = self->frame, .path_size = path_size, .device = st->st_dev, .inode = st->st_ino};
	self->frame = frame;
	self->top = self->top ? self->top : frame;
	frame->fd = sys_openat(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (frame->fd < 0)
		return prt_fail(err, -frame->fd, "open", self->path, NULL);
	for (int i = 0; i < OPEN_DIRECTORIES && far; i++)
		far = far->above;
	if (far && far != self->top)
		frame_close(far);
	return frame_list(self, frame, err);
}

/* Open a directory again, which must be the one that it was. */
static int reopen(struct tw_walk *self, struct tw_frame *frame, struct prt_error *err)
{
	struct prt_error ignored;
	struct stat st;

	self->path[frame->path_size] = 0;
	cleanup_fd int fd = prt_path_open(self->top->fd, self->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
					  RESOLVE_NO_SYMLINKS, &ignored);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != frame->device || st.st_ino != frame->inode)
		return tw_changed(self->path, "the directory was moved while it was written", err);
	frame->fd = steal_fd(&fd);
	return 0;
}

static void leave(struct tw_walk *self)
{
	struct tw_frame *frame = self->frame;

	self->frame = frame->above;
	frame_close(frame);
	free(frame->names);
	tw_text_free(&frame->text);
	free(frame);
}

int tw_walk_next(struct tw_walk *self, int *directory, struct prt_error *err)
{
	while (self->frame && self->frame->at == self->frame->count)
		leave(self);
	struct tw_frame *frame = self->frame;
	if (!frame)
		return 0;
	if (frame->fd < 0 && reopen(self, frame, err) < 0)
		return -1;
	const char *name = frame->names[frame->at++];
	size_t size = strlen(name);
	self->path_size = frame->path_size;
	if (frame->path_size + size + 2 > PATH_MAX)
		return prt_fail(err, ENAMETOOLONG, "tarwrite", name, "its path is too long for any system call");
	memcpy(self->path + frame->path_size, name, size + 1);
	*directory = frame->fd;
	return 1;
}

void tw_walk_free(struct tw_walk *self)
{
	while (self->frame)
		leave(self);
}
