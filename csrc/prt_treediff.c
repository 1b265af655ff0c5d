#include "prt_treediff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "prt_names.h"
#include "prt_util.h"

#define MAX_OPEN 300 /* of the thousand or so that a process may have: what is above is opened again on the way back */
#define MAX_CAPABILITY 64

/* A directory under way. */
struct prt_treediff_level {
	struct prt_treediff_level *parent, *child;
	struct prt_merged before, after;
	struct prt_names names;
	size_t at;
	size_t path_start, path_size; /* of the directory's name and path in the path buffer */
	int has_before, is_open, is_reported;
};

static int emit(struct prt_treediff *self, char kind, size_t path_size, struct prt_error *err)
{
	if (self->size + path_size + 2 > self->room) {
		size_t room = 2 * self->room + path_size + 1024;
		void *text = realloc(self->text, room);
		if (!text)
			return prt_fail(err, ENOMEM, "realloc", NULL, "changes");
		self->text = text;
		self->room = room;
	}
	self->text[self->size++] = kind;
	memcpy(self->text + self->size, self->path, path_size);
	self->size += path_size;
	self->text[self->size++] = 0;
	return 0;
}

/* Report what the path names, after the directories above that are not reported yet. */
static int report(struct prt_treediff *self, char kind, struct prt_error *err)
{
	struct prt_treediff_level *level = self->here;

	while (!level->is_reported && level->parent)
		level = level->parent;
	for (; level; level = level->child) {
		if (!level->is_reported && emit(self, 'C', level->path_size, err) < 0)
			return -1;
		level->is_reported = 1;
	}
	return emit(self, kind, self->path_size, err);
}

static int count_open(const struct prt_merged *directory)
{
	int open = 0;

	for (int i = 0; i < directory->count; i++)
		open += directory->fds[i] >= 0;
	return open;
}

static void close_level(struct prt_treediff *self, struct prt_treediff_level *level)
{
	if (level->is_open)
		self->open -= count_open(&level->before) + count_open(&level->after);
	prt_merged_close(&level->before);
	prt_merged_close(&level->after);
	level->is_open = 0;
}

/* Open a directory whose parent is open, and close those far above if there are too many. */
static int open_level(struct prt_treediff *self, struct prt_treediff_level *level, struct prt_error *err)
{
	struct prt_treediff_level *above = level->parent;
	char name[NAME_MAX + 1];
	int ret = 0;

	if (above) {
		memcpy(name, self->path + level->path_start, level->path_size - level->path_start);
		name[level->path_size - level->path_start] = 0;
		if (level->has_before)
			ret = prt_merged_enter(&self->before, &above->before, name, &level->before, err);
		if (ret == 0)
			ret = prt_merged_enter(&self->after, &above->after, name, &level->after, err);
	} else {
		ret = prt_merged_root(&self->before, &level->before, err);
		if (ret == 0)
			ret = prt_merged_root(&self->after, &level->after, err);
	}
	if (ret < 0)
		return -1;
	level->is_open = 1;
	self->open += count_open(&level->before) + count_open(&level->after);
	for (above = self->root->child; above && above != level && self->open > MAX_OPEN; above = above->child)
		close_level(self, above);
	return 0;
}

/* Open the present directory again, and those above it. */
static int reopen(struct prt_treediff *self, struct prt_error *err)
{
	struct prt_treediff_level *level = self->here;

	while (!level->is_open)
		level = level->parent;
	while (level != self->here) {
		level = level->child;
		if (open_level(self, level, err) < 0)
			return -1;
	}
	return 0;
}

static int read_names(struct prt_treediff *self, struct prt_treediff_level *level, struct prt_error *err)
{
	/* The kernel takes no notice of an opaque root. */
	int all = !self->is_upper;

	if (self->is_upper && level->parent)
		all = prt_is_opaque(level->after.fds[0], self->after.userxattr);
	if (all < 0)
		return prt_fail(err, errno, "getxattr", NULL, "whether a directory is opaque");
	for (int i = 0; i < level->after.count; i++)
		if (level->after.fds[i] >= 0 && prt_names_read(&level->names, level->after.fds[i], err) < 0)
			return -1;
	for (int i = 0; all && i < level->before.count; i++)
		if (level->before.fds[i] >= 0 && prt_names_read(&level->names, level->before.fds[i], err) < 0)
			return -1;
	return prt_names_sort(&level->names, err);
}

/* Go into the directory that the path names. */
static int push(struct prt_treediff *self, size_t path_start, int has_before, int is_reported, struct prt_error *err)
{
	struct prt_treediff_level *level = calloc(1, sizeof *level);

	if (!level)
		return prt_fail(err, ENOMEM, "calloc", NULL, "a directory to compare");
	level->path_start = path_start;
	level->path_size = self->path_size;
	level->has_before = has_before;
	level->is_reported = is_reported;
	level->parent = self->here;
	if (self->here)
		self->here->child = level;
	else
		self->root = level;
	self->here = level;
	return open_level(self, level, err) < 0 || read_names(self, level, err) < 0 ? -1 : 0;
}

static void pop(struct prt_treediff *self)
{
	struct prt_treediff_level *level = self->here;

	self->here = level->parent;
	if (self->here)
		self->here->child = NULL;
	else
		self->root = NULL;
	close_level(self, level);
	prt_names_close(&level->names);
	free(level);
}

/* Archives may have cut one of the two to seconds. */
static int is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

static ssize_t read_capability(int at, const char *name, char value[MAX_CAPABILITY])
{
	char path[NAME_MAX + 40];
	ssize_t size;

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", at, name);
	size = lgetxattr(path, "security.capability", value, MAX_CAPABILITY);
	return size < 0 && (errno == ENODATA || errno == EOPNOTSUPP) ? 0 : size;
}

/* 1: they differ, 0, -1. */
static int differ_inside(int a, int b, const char *name, mode_t mode, struct prt_error *err)
{
	char one[PATH_MAX], other[PATH_MAX];
	ssize_t size, other_size;

	if (S_ISLNK(mode)) {
		size = readlinkat(a, name, one, sizeof one);
		other_size = readlinkat(b, name, other, sizeof other);
	} else if (S_ISREG(mode) && mode & (S_IXUSR | S_IXGRP | S_IXOTH)) {
		size = read_capability(a, name, one);
		other_size = read_capability(b, name, other);
	} else {
		return 0;
	}
	if (size < 0 || other_size < 0)
		return prt_fail(err, errno, S_ISLNK(mode) ? "readlink" : "getxattr", name, "to compare");
	return size != other_size || memcmp(one, other, (size_t)size) != 0;
}

static int differ(int a, const struct stat *one, int b, const struct stat *other, const char *name,
		  struct prt_error *err)
{
	if (one->st_mode != other->st_mode || one->st_uid != other->st_uid || one->st_gid != other->st_gid ||
	    one->st_rdev != other->st_rdev)
		return 1;
	if (!S_ISDIR(one->st_mode) && (one->st_size != other->st_size || !is_same_time(one->st_mtim, other->st_mtim)))
		return 1;
	return differ_inside(a, b, name, one->st_mode, err);
}

static int compare(struct prt_treediff *self, const char *name, struct prt_error *err)
{
	struct prt_treediff_level *level = self->here;
	size_t size = strlen(name), start = level->path_size + 1;
	struct stat before, after;
	int is_changed = 0, from, to;

	if (start + size >= sizeof self->path)
		return prt_fail(err, ENAMETOOLONG, "stat", name, "deeper than a path can say");
	self->path[level->path_size] = '/';
	memcpy(self->path + start, name, size);
	self->path_size = start + size;
	from = prt_merged_stat(&level->before, name, &before, err);
	to = from == -1 ? -1 : prt_merged_stat(&level->after, name, &after, err);
	if (to == -1)
		return -1;
	if (to == PRT_ABSENT)
		return from == PRT_ABSENT ? 0 : report(self, 'D', err);
	if (from >= 0 && before.st_dev == after.st_dev && before.st_ino == after.st_ino)
		return 0;
	if (from >= 0)
		is_changed = differ(from, &before, to, &after, name, err);
	if (is_changed < 0)
		return -1;
	if ((from == PRT_ABSENT || is_changed) && report(self, from == PRT_ABSENT ? 'A' : 'C', err) < 0)
		return -1;
	if (!S_ISDIR(after.st_mode))
		return 0;
	return push(self, start, from >= 0 && S_ISDIR(before.st_mode), from == PRT_ABSENT || is_changed, err);
}

int prt_treediff_begin(struct prt_treediff *self, struct prt_error *err)
{
	return push(self, 0, 1, 1, err);
}

int prt_treediff_step(struct prt_treediff *self, int limit, struct prt_error *err)
{
	for (; self->here && limit > 0; limit--) {
		struct prt_treediff_level *level = self->here;
		if (level->at == level->names.count)
			pop(self);
		else if ((!level->is_open && reopen(self, err) < 0) ||
			 compare(self, level->names.sorted[level->at++], err) < 0)
			return -1;
	}
	return self->here ? 1 : 0;
}

void prt_treediff_close(struct prt_treediff *self)
{
	while (self->here)
		pop(self);
	free(self->text);
	self->text = NULL;
	self->size = self->room = 0;
}
