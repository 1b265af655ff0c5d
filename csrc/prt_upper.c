#include "prt_upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "prt_util.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

int prt_upper_work(const struct prt_upper *self, const struct prt_merged *directory)
{
	return self->work >= 0 ? self->work : directory->fds[0];
}

int prt_upper_temporary(char name[PRT_TEMPORARY], struct prt_error *err)
{
	unsigned long long number;

	if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
		return prt_fail(err, errno, "getrandom", NULL, "a temporary name");
	(void)snprintf(name, PRT_TEMPORARY, ".prt-%016llx", number);
	return 0;
}

int prt_upper_appear(const struct prt_upper *self, const struct prt_merged *directory, const char *temporary,
		     const char *name, int replace, struct prt_error *err)
{
	int work = prt_upper_work(self, directory), to = directory->fds[0];

	if (renameat2(work, temporary, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (replace && errno == EEXIST && renameat2(work, temporary, to, name, RENAME_EXCHANGE) == 0)
		return 1;
	return prt_fail(err, errno, "rename", name, errno == EXDEV ? "work is on another file system" : "to the upper");
}

/* Make a directory with a temporary name: its descriptor. */
static int make_temporary(int work, char name[PRT_TEMPORARY], struct prt_error *err)
{
	int fd;

	if (prt_upper_temporary(name, err) < 0)
		return -1;
	if (mkdirat(work, name, 0700) < 0)
		return prt_fail(err, errno, "mkdir", name, "a directory of the upper");
	fd = openat(work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? prt_fail(err, errno, "open", name, "a directory of the upper") : fd;
}

int prt_upper_copy_directory(const struct prt_upper *self, const struct prt_merged *directory, const char *name,
			     int from, struct prt_error *err)
{
	int work = prt_upper_work(self, directory);
	char temporary[PRT_TEMPORARY] = "";
	struct stat above, st;
	int ret = -1;

	if (fstat(from, &st) < 0 || fstat(directory->fds[0], &above) < 0)
		return prt_fail(err, errno, "fstat", name, "a directory to copy up");
	const struct timespec times[2] = {above.st_atim, above.st_mtim};
	cleanup_fd int made = make_temporary(work, temporary, err);
	if (made >= 0 && prt_copy_attributes(from, &st, made, self->flags, err) >= 0)
		ret = prt_upper_appear(self, directory, temporary, name, 0, err);
	if (ret < 0 && temporary[0])
		(void)unlinkat(work, temporary, AT_REMOVEDIR);
	return ret < 0 ? -1 : prt_set_times(directory->fds[0], times, err);
}

static int make_opaque(int fd, const struct prt_upper *self, struct prt_error *err)
{
	const char *name = self->layers.userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque";

	return fsetxattr(fd, name, "y", 1, 0) < 0 ? prt_fail(err, errno, "setxattr", name, "of the upper") : 0;
}

/* As mkdir(2): a set-group-id directory above gives its group, and that bit. */
static int give_mode(int fd, int above, unsigned mode, struct prt_error *err)
{
	struct stat st;

	if (fstat(above, &st) < 0)
		return prt_fail(err, errno, "fstat", NULL, "of the upper");
	if (st.st_mode & S_ISGID && fchown(fd, (uid_t)-1, st.st_gid) < 0)
		return prt_fail(err, errno, "chown", NULL, "a new directory of the upper");
	if (fchmod(fd, (mode & 07777) | (st.st_mode & S_ISGID)) < 0)
		return prt_fail(err, errno, "chmod", NULL, "a new directory of the upper");
	return 0;
}

static int make_directory(const struct prt_upper *self, const struct prt_merged *directory, const char *name,
			  unsigned mode, struct prt_error *err)
{
	int work = prt_upper_work(self, directory), ret = -1;
	char temporary[PRT_TEMPORARY] = "";
	struct prt_entry below;

	if (prt_merged_find(directory, 1, name, &below, err) < 0)
		return -1;
	prt_cleanup_fd(&below.fd);
	cleanup_fd int made = make_temporary(work, temporary, err);
	if (made >= 0 && (below.layer < 0 || make_opaque(made, self, err) >= 0) &&
	    give_mode(made, directory->fds[0], mode, err) >= 0)
		ret = prt_upper_appear(self, directory, temporary, name, 1, err);
	if (ret < 0 && temporary[0])
		(void)unlinkat(work, temporary, AT_REMOVEDIR);
	if (ret == 1 && unlinkat(work, temporary, 0) < 0) /* the whiteout */
		return prt_fail(err, errno, "unlink", name, "a whiteout");
	return ret < 0 ? -1 : 0;
}

/* Go down by one name. */
static int descend(const struct prt_upper *self, struct prt_merged *here, const char *name, enum prt_reach reach,
		   struct prt_error *err)
{
	struct prt_merged inner = {0};
	int ret = prt_merged_enter(&self->layers, here, name, &inner, err), top = 0;

	if (ret < 0 && reach == PRT_MAKE && err->code == ENOENT) {
		ret = make_directory(self, here, name, 0755, err);
		if (ret == 0)
			ret = prt_merged_enter(&self->layers, here, name, &inner, err);
	}
	while (ret == 0 && inner.fds[top] < 0)
		top++;
	if (ret == 0 && reach != PRT_LOOK && top > 0) {
		ret = prt_upper_copy_directory(self, here, name, inner.fds[top], err);
		if (ret == 0) {
			inner.fds[0] = openat(here->fds[0], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			ret = inner.fds[0] < 0 ? prt_fail(err, errno, "open", name, "of the upper") : 0;
		}
	}
	prt_merged_close(ret < 0 ? &inner : here);
	if (ret == 0)
		*here = inner;
	return ret;
}

int prt_upper_reach(const struct prt_upper *self, const char *resolved, enum prt_reach reach,
		    struct prt_merged *directory, const char **name, struct prt_error *err)
{
	char component[NAME_MAX + 1];
	size_t size;

	if (!*resolved)
		return prt_fail(err, EINVAL, "open", "/", "the path names no entry of a directory");
	if (prt_merged_root(&self->layers, directory, err) < 0)
		return -1;
	for (*name = resolved; (*name)[size = strcspn(*name, "/")]; *name += size + 1) {
		memcpy(component, *name, size);
		component[size] = 0;
		if (descend(self, directory, component, reach, err) < 0) {
			prt_merged_close(directory);
			return -1;
		}
	}
	return 0;
}

int prt_upper_look(const struct prt_upper *self, const char *resolved, struct prt_entry *entry, struct prt_error *err)
{
	cleanup_merged struct prt_merged directory = {0};
	const char *name;

	*entry = PRT_ENTRY_NONE;
	if (!*resolved) {
		entry->layer = 0;
		return 0;
	}
	if (prt_upper_reach(self, resolved, PRT_LOOK, &directory, &name, err) < 0)
		return err->code == ENOENT ? 0 : -1;
	return prt_merged_find(&directory, 0, name, entry, err);
}

int prt_upper_mkdir(const struct prt_upper *self, const char *path, unsigned mode, struct prt_error *err)
{
	cleanup_merged struct prt_merged directory = {0};
	char resolved[PATH_MAX];
	struct prt_entry there;
	const char *name;

	if (prt_merged_resolve(&self->layers, path, PRT_NOFOLLOW | PRT_MISSING, resolved, err) < 0 ||
	    prt_upper_look(self, resolved, &there, err) < 0)
		return -1;
	prt_cleanup_fd(&there.fd);
	if (there.layer >= 0)
		return prt_fail(err, EEXIST, "mkdir", path, "in the layers");
	if (prt_upper_reach(self, resolved, PRT_MAKE, &directory, &name, err) < 0)
		return -1;
	return make_directory(self, &directory, name, mode, err);
}
