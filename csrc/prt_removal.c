#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prt_upper.h"
#include "prt_util.h"

static int add_name(struct prt_removal *self, const char *name, struct prt_error *err)
{
	if (self->count == self->room) {
		size_t room = self->room ? 2 * self->room : 8;
		void *names = realloc(self->names, room * sizeof *self->names);
		if (!names)
			return prt_fail(err, ENOMEM, "realloc", NULL, "names to remove");
		self->names = names;
		self->room = room;
	}
	memcpy(self->names[self->count++], name, PRT_TEMPORARY);
	return 0;
}

/* Without privileges even an owner cannot empty or move a directory that is not writable. */
static void unlock(int at, const char *name)
{
	cleanup_fd int fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		(void)chmod(prt_fdpath(fd).text, 0700);
}

/* A directory in a directory moves up to the first one, so that no depth needs many descriptors. */
static int move_up(struct prt_removal *self, int from, const char *name, struct prt_error *err)
{
	char temporary[PRT_TEMPORARY];

	if (prt_upper_temporary(temporary, err) < 0)
		return -1;
	if (self->is_unprivileged)
		unlock(from, name);
	if (renameat(from, name, self->at, temporary) < 0)
		return prt_fail(err, errno, "rename", name, "to be removed");
	return add_name(self, temporary, err);
}

static DIR *open_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !stream)
		prt_cleanup_fd(&fd);
	return stream;
}

/* Empty one directory, of at most *limit entries. */
static int empty(struct prt_removal *self, const char *name, int *limit, struct prt_error *err)
{
	DIR *stream = open_directory(self->at, name);
	struct dirent *entry;
	int ret = 0;

	if (!stream)
		return prt_fail(err, errno, "open", name, "to be removed");
	while (ret == 0 && *limit > 0 && (errno = 0, entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		--*limit;
		if (unlinkat(dirfd(stream), entry->d_name, 0) < 0)
			ret = errno == EISDIR ? move_up(self, dirfd(stream), entry->d_name, err)
					      : prt_fail(err, errno, "unlink", entry->d_name, "to be removed");
	}
	if (ret == 0 && *limit > 0 && errno)
		ret = prt_fail(err, errno, "readdir", name, "to be removed");
	(void)closedir(stream);
	return ret;
}

int prt_removal_step(struct prt_removal *self, int limit, struct prt_error *err)
{
	char name[PRT_TEMPORARY];

	while (self->count && limit-- > 0) {
		size_t last = self->count - 1;
		memcpy(name, self->names[last], sizeof name);
		if (empty(self, name, &limit, err) < 0)
			return -1;
		int is_left = unlinkat(self->at, name, AT_REMOVEDIR) < 0;
		if (is_left && errno != ENOTEMPTY)
			return prt_fail(err, errno, "rmdir", name, "to be removed");
		if (!is_left)
			memcpy(self->names[last], self->names[--self->count], sizeof name);
	}
	return self->count ? PRT_MORE : PRT_DONE;
}

void prt_removal_close(struct prt_removal *self)
{
	free(self->names);
	prt_cleanup_fd(&self->at);
	*self = (struct prt_removal){.at = -1};
}

/* What has taken a temporary name goes at once, or step by step. */
static int dispose(struct prt_removal *removal, int work, const char *temporary, struct prt_error *err)
{
	if (unlinkat(work, temporary, 0) == 0)
		return PRT_DONE;
	if (errno != EISDIR)
		return prt_fail(err, errno, "unlink", temporary, "to be removed");
	removal->at = fcntl(work, F_DUPFD_CLOEXEC, 3);
	if (removal->at < 0)
		return prt_fail(err, errno, "dup", NULL, "a work directory");
	return add_name(removal, temporary, err) < 0 ? -1 : PRT_MORE;
}

static int put_whiteout(const struct prt_upper *self, const struct prt_merged *directory, const char *name,
			struct prt_removal *removal, struct prt_error *err)
{
	int work = prt_upper_work(self, directory), ret;
	char temporary[PRT_TEMPORARY];

	if (removal->is_unprivileged)
		unlock(directory->fds[0], name);
	if (prt_upper_temporary(temporary, err) < 0)
		return -1;
	if (mknodat(work, temporary, S_IFCHR, 0) < 0)
		return prt_fail(err, errno, "mknod", name, "a whiteout");
	ret = prt_upper_appear(self, directory, temporary, name, 1, err);
	if (ret < 0)
		(void)unlinkat(work, temporary, 0);
	return ret == 1 ? dispose(removal, work, temporary, err) : ret;
}

static int remove_from_upper(const struct prt_upper *self, const struct prt_merged *directory, const char *name,
			     struct prt_removal *removal, struct prt_error *err)
{
	int work = prt_upper_work(self, directory);
	char temporary[PRT_TEMPORARY];

	if (unlinkat(directory->fds[0], name, 0) == 0)
		return PRT_DONE;
	if (errno != EISDIR)
		return prt_fail(err, errno, "unlink", name, "of the upper");
	if (removal->is_unprivileged)
		unlock(directory->fds[0], name);
	if (prt_upper_temporary(temporary, err) < 0)
		return -1;
	if (renameat(directory->fds[0], name, work, temporary) < 0)
		return prt_fail(err, errno, "rename", name, "of the upper");
	return dispose(removal, work, temporary, err);
}

int prt_upper_remove(const struct prt_upper *self, const char *path, struct prt_removal *removal, struct prt_error *err)
{
	cleanup_merged struct prt_merged directory = {0};
	char resolved[PATH_MAX];
	struct prt_entry below;
	const char *name;

	*removal = (struct prt_removal){.at = -1, .is_unprivileged = !!(self->flags & PRT_OWN_IDS)};
	if (prt_merged_resolve(&self->layers, path, PRT_NOFOLLOW, resolved, err) < 0 ||
	    prt_upper_reach(self, resolved, PRT_COPY_UP, &directory, &name, err) < 0 ||
	    prt_merged_find(&directory, 1, name, &below, err) < 0)
		return -1;
	prt_cleanup_fd(&below.fd);
	return below.layer < 0 ? remove_from_upper(self, &directory, name, removal, err)
			       : put_whiteout(self, &directory, name, removal, err);
}
