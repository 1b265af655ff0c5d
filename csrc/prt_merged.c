#include "prt_merged.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "prt_util.h"

#define MAX_LINKS 40    /* as the kernel's own limit */
#define MAX_STEPS 65536 /* a path of many `..` makes us start again from the root as often */

/* A walk: where it has come to, as a path without links, and what is left of the path, at the end of a buffer that
 * symbolic links are spliced into. */
struct walk {
	const struct prt_layers *layers;
	struct prt_merged here; /* closed after `..`: opened again when it is needed */
	int links, steps, is_missing;
	size_t size, at;
	char *done;
	char rest[PATH_MAX];
};

void prt_merged_close(struct prt_merged *self)
{
	for (int i = 0; self->fds && i < self->count; i++)
		prt_cleanup_fd(&self->fds[i]);
	free(self->fds);
	self->fds = NULL;
	self->count = 0;
}

static int make_empty(struct prt_merged *self, int count, struct prt_error *err)
{
	self->fds = malloc((size_t)count * sizeof *self->fds);
	if (!self->fds)
		return prt_fail(err, ENOMEM, "malloc", NULL, "a directory of several layers");
	for (int i = 0; i < count; i++)
		self->fds[i] = -1;
	self->count = count;
	return 0;
}

int prt_merged_root(const struct prt_layers *layers, struct prt_merged *root, struct prt_error *err)
{
	if (make_empty(root, layers->count, err) < 0)
		return -1;
	for (int i = 0; i < layers->count; i++) {
		if (layers->fds[i] < 0)
			continue;
		root->fds[i] = fcntl(layers->fds[i], F_DUPFD_CLOEXEC, 3);
		if (root->fds[i] < 0) {
			int code = errno;
			prt_merged_close(root);
			return prt_fail(err, code, "dup", NULL, "the descriptor of a layer");
		}
	}
	return 0;
}

/* An attribute with the value "y" (1), with another (2), none (0), or -1. */
static int attribute(int fd, int userxattr, const char *user, const char *trusted)
{
	char value[4];
	ssize_t size = fgetxattr(fd, userxattr ? user : trusted, value, sizeof value);

	if (size < 0 && errno != ERANGE)
		return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -1;
	return size == 1 && value[0] == 'y' ? 1 : 2;
}

int prt_is_opaque(int fd, int userxattr)
{
	int found = attribute(fd, userxattr, "user.overlay.opaque", "trusted.overlay.opaque");

	return found == 2 ? 0 : found;
}

int prt_merged_find(const struct prt_merged *directory, int from, const char *name, struct prt_entry *entry,
		    struct prt_error *err)
{
	*entry = PRT_ENTRY_NONE;
	for (int i = from; i < directory->count; i++) {
		if (directory->fds[i] < 0)
			continue;
		cleanup_fd int fd = openat(directory->fds[i], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &entry->st) < 0)
			return prt_fail(err, errno, "open", name, "in a layer");
		if (prt_is_whiteout(&entry->st))
			return 0;
		entry->layer = i;
		entry->fd = steal_fd(&fd);
		return 0;
	}
	return 0;
}

int prt_merged_stat(const struct prt_merged *directory, const char *name, struct stat *st, struct prt_error *err)
{
	for (int i = 0; i < directory->count; i++) {
		if (directory->fds[i] < 0)
			continue;
		if (fstatat(directory->fds[i], name, st, AT_SYMLINK_NOFOLLOW) == 0)
			return prt_is_whiteout(st) ? PRT_ABSENT : directory->fds[i];
		if (errno != ENOENT)
			return prt_fail(err, errno, "stat", name, "in a layer");
	}
	return PRT_ABSENT;
}

/* One layer's part of a directory: 1 to look further down, 0 where this was the last, -1. */
static int enter_layer(const struct prt_layers *layers, int at, const char *name, int *inner, struct prt_error *err)
{
	cleanup_fd int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int opaque;

	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0)
		return prt_fail(err, errno, "open", name, "in a layer");
	if (attribute(fd, layers->userxattr, "user.overlay.redirect", "trusted.overlay.redirect") != 0)
		return prt_fail(err, EOPNOTSUPP, "getxattr", name, "a directory that was renamed with redirect_dir=on");
	opaque = prt_is_opaque(fd, layers->userxattr);
	if (opaque < 0)
		return prt_fail(err, errno, "getxattr", name, "whether a directory is opaque");
	*inner = steal_fd(&fd);
	return !opaque;
}

int prt_merged_enter(const struct prt_layers *layers, const struct prt_merged *directory, const char *name,
		     struct prt_merged *inner, struct prt_error *err)
{
	struct prt_entry top;
	int found = 0, more = 1;

	if (make_empty(inner, directory->count, err) < 0)
		return -1;
	for (int i = 0; i < directory->count && more > 0; i++) {
		if (directory->fds[i] < 0)
			continue;
		more = enter_layer(layers, directory->fds[i], name, &inner->fds[i], err);
		found |= inner->fds[i] >= 0;
	}
	if (more >= 0 && found)
		return 0;
	prt_merged_close(inner);
	if (more < 0 || prt_merged_find(directory, 0, name, &top, err) < 0)
		return -1;
	prt_cleanup_fd(&top.fd);
	return prt_fail(err, top.layer < 0 ? ENOENT : ENOTDIR, "open", name, "in the layers");
}

static int walk_fail(struct prt_error *err, int code, const char *path, const char *msg)
{
	return prt_fail(err, code, "open", path, msg);
}

/* Put text in front of what is left, which is nothing or begins with a slash. */
static int walk_splice(struct walk *walk, const char *text, size_t size)
{
	if (size > walk->at)
		return -ENAMETOOLONG;
	walk->at -= size;
	memcpy(walk->rest + walk->at, text, size);
	return 0;
}

/* Cut the next component off; its length, or 0 at the end. *last: nothing, not even a slash, follows. */
static size_t walk_next(struct walk *walk, const char **name, int *last)
{
	walk->at += strspn(walk->rest + walk->at, "/");
	*name = walk->rest + walk->at;
	size_t size = strcspn(*name, "/");
	walk->at += size;
	*last = walk->rest[walk->at] == 0;
	return size;
}

/* Stand in the directory that `done` names. */
static int walk_stand(struct walk *walk, struct prt_error *err)
{
	struct prt_merged inner;
	char name[NAME_MAX + 1];

	if (walk->here.fds)
		return 0;
	if (prt_merged_root(walk->layers, &walk->here, err) < 0)
		return -1;
	for (const char *at = walk->done; *at;) {
		size_t size = strcspn(at, "/");
		memcpy(name, at, size);
		name[size] = 0;
		if (++walk->steps > MAX_STEPS)
			return walk_fail(err, ELOOP, walk->done, "the path goes up and down too often");
		if (prt_merged_enter(walk->layers, &walk->here, name, &inner, err) < 0)
			return -1;
		prt_merged_close(&walk->here);
		walk->here = inner;
		at += size + (at[size] == '/');
	}
	return 0;
}

static int walk_up(struct walk *walk, struct prt_error *err)
{
	if (walk->is_missing)
		return walk_fail(err, ENOENT, walk->done, "in the layers");
	while (walk->size && walk->done[--walk->size] != '/')
		;
	walk->done[walk->size] = 0;
	prt_merged_close(&walk->here);
	return 0;
}

static int walk_append(struct walk *walk, const char *name, struct prt_error *err)
{
	size_t slash = walk->size != 0, size = strlen(name);

	if (walk->size + slash + size >= PATH_MAX)
		return walk_fail(err, ENAMETOOLONG, name, "below the root");
	if (slash)
		walk->done[walk->size] = '/';
	memcpy(walk->done + walk->size + slash, name, size + 1);
	walk->size += slash + size;
	return 0;
}

static int walk_follow(struct walk *walk, int link, const char *name, struct prt_error *err)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(link, "", target, sizeof target);

	if (size <= 0)
		return walk_fail(err, size < 0 ? errno : ENOENT, name, "a symbolic link");
	if (++walk->links > MAX_LINKS)
		return walk_fail(err, ELOOP, name, "too many symbolic links");
	if (target[0] == '/') {
		walk->size = 0;
		walk->done[0] = 0;
		prt_merged_close(&walk->here);
	}
	return walk_splice(walk, target, (size_t)size) < 0 ? walk_fail(err, ENAMETOOLONG, name, "") : 0;
}

/* One component, neither `.` nor `..`. */
static int walk_step(struct walk *walk, const char *name, int last, unsigned flags, struct prt_error *err)
{
	struct prt_merged inner;
	struct prt_entry entry;

	if (walk->is_missing)
		return walk_append(walk, name, err);
	if (walk_stand(walk, err) < 0 || prt_merged_find(&walk->here, 0, name, &entry, err) < 0)
		return -1;
	cleanup_fd int fd = entry.fd;
	if (++walk->steps > MAX_STEPS)
		return walk_fail(err, ELOOP, name, "the path goes up and down too often");
	if (entry.layer < 0 && !(flags & PRT_MISSING))
		return walk_fail(err, ENOENT, name, "in the layers");
	walk->is_missing = entry.layer < 0;
	if (entry.layer >= 0 && S_ISLNK(entry.st.st_mode) && !(last && flags & PRT_NOFOLLOW))
		return walk_follow(walk, fd, name, err);
	if (last || walk->is_missing)
		return walk_append(walk, name, err);
	if (!S_ISDIR(entry.st.st_mode))
		return walk_fail(err, ENOTDIR, name, "in the layers");
	if (prt_merged_enter(walk->layers, &walk->here, name, &inner, err) < 0)
		return -1;
	prt_merged_close(&walk->here);
	walk->here = inner;
	return walk_append(walk, name, err);
}

int prt_merged_resolve(const struct prt_layers *layers, const char *path, unsigned flags, char resolved[PATH_MAX],
		       struct prt_error *err)
{
	struct walk walk = {.layers = layers, .done = resolved, .at = PATH_MAX - 1};
	char component[NAME_MAX + 1];
	const char *name;
	int last, ret = walk_splice(&walk, path, strlen(path));
	size_t size;

	resolved[0] = 0;
	if (ret < 0)
		return walk_fail(err, ENAMETOOLONG, path, "");
	while (ret == 0 && (size = walk_next(&walk, &name, &last))) {
		if (size > NAME_MAX) {
			ret = walk_fail(err, ENAMETOOLONG, path, "");
		} else if (size == 2 && name[0] == '.' && name[1] == '.') {
			ret = walk_up(&walk, err);
		} else if (size != 1 || name[0] != '.') {
			memcpy(component, name, size);
			component[size] = 0;
			ret = walk_step(&walk, component, last, flags, err);
		}
	}
	prt_merged_close(&walk.here);
	return ret;
}
