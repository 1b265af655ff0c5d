#include <errno.h>
#include <string.h>

#include "prt_path.h"
#include "prt_untar_parts.h"

#define MAX_LINKS 40   /* as the kernel's own limit */
#define MAX_STEPS 4096 /* of one name: every entry may be led around anew */

/* The rest of a parent's path, at the end of a buffer that symlinks are spliced into. */
struct walk {
	int at; /* the directory self->real */
	int links;
	int steps;
	size_t rest_at;
	char rest[PATH_MAX];
};

int untar_normalize(const char *from, char to[PATH_MAX], struct prt_error *err)
{
	const char *start = from;
	size_t size = 0;

	while (*from) {
		size_t n = strcspn(from, "/");
		if (n == 2 && from[0] == '.' && from[1] == '.')
			return prt_fail(err, EINVAL, "untar", start, "a name with `..` in it");
		size_t prefix =
			from[n] == 0 && strncmp(from, ".wh.", 4) == 0 ? 4 : 0; /* which is not part of the name */
		if (n > NAME_MAX + prefix || size + n + 1 >= PATH_MAX)
			return prt_fail(err, ENAMETOOLONG, "untar", start, "a name too long for the system");
		if (n > 1 || (n == 1 && from[0] != '.')) {
			if (size > 0)
				to[size++] = '/';
			memcpy(to + size, from, n);
			size += n;
		}
		from += n + (from[n] == '/');
	}
	to[size] = 0;
	return 0;
}

static int join(const struct prt_untar *self, char path[PATH_MAX], const char *name, struct prt_error *err)
{
	size_t size = strlen(path), more = strlen(name);

	if (size + more + 2 > PATH_MAX)
		return prt_fail(err, ENAMETOOLONG, "untar", self->path, "behind symbolic links it is too long");
	if (size > 0)
		path[size++] = '/';
	memcpy(path + size, name, more + 1);
	return 0;
}

int untar_real_path(const struct prt_untar *self, char to[PATH_MAX], struct prt_error *err)
{
	memcpy(to, self->real, PATH_MAX);
	return self->path[0] ? join(self, to, self->name, err) : 0;
}

int untar_set_opaque(const struct prt_untar *self, int fd, struct prt_error *err)
{
	int is_root = !(self->flags & PRT_UNTAR_UNPRIVILEGED), ret;
	/* The parent may be open by O_PATH, which has no attributes. */
	cleanup_fd int open = sys_openat(fd, ".", O_RDONLY | O_DIRECTORY, 0);

	if (open < 0)
		return untar_fail(self, open, "open", err);
	ret = is_root ? sys_fsetxattr(open, "trusted.overlay.opaque", "y", 1, 0) : 0;
	if (ret < 0)
		return untar_fail(self, ret, "setxattr trusted.overlay", err);
	ret = sys_fsetxattr(open, "user.overlay.opaque", "y", 1, 0);
	if (ret < 0 && !(is_root && ret == -EOPNOTSUPP))
		return untar_fail(self, ret, "setxattr user.overlay", err);
	return 0;
}

static int put_first(const struct prt_untar *self, struct walk *walk, const char *text, size_t size,
		     struct prt_error *err)
{
	if (size + 1 > walk->rest_at)
		return prt_fail(err, ENAMETOOLONG, "untar", self->path, "behind symbolic links it is too long");
	walk->rest[--walk->rest_at] = '/';
	walk->rest_at -= size;
	memcpy(walk->rest + walk->rest_at, text, size);
	return 0;
}

static void walk_to(struct walk *walk, int fd)
{
	prt_cleanup_fd(&walk->at);
	walk->at = fd;
}

static int reopen(struct prt_untar *self, struct walk *walk, struct prt_error *err)
{
	int fd = prt_path_open(self->root, self->real, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS, err);

	walk_to(walk, fd);
	return fd < 0 ? -1 : 0;
}

static int follow(struct prt_untar *self, struct walk *walk, int link, struct prt_error *err)
{
	char target[PATH_MAX];
	long size = sys_readlinkat(link, "", target, sizeof target);

	if (size < 0)
		return untar_fail(self, size, "readlink", err);
	if (++walk->links > MAX_LINKS)
		return prt_fail(err, ELOOP, "untar", self->path, "too many symbolic links lead to its directory");
	if (size > 0 && target[0] == '/') {
		self->real[0] = 0;
		if (reopen(self, walk, err) < 0)
			return -1;
	}
	return put_first(self, walk, target, (size_t)size, err);
}

/* A parent that the archive has no entry for. The file mode creation mask is not ours to change. */
static int imply(struct prt_untar *self, struct walk *walk, const char *name, struct prt_error *err)
{
	struct stat st;
	int ret = sys_mkdirat(walk->at, name, 0755);

	if (ret < 0)
		return untar_fail(self, ret, "mkdir", err);
	cleanup_fd int fd = sys_openat(walk->at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return untar_fail(self, fd, "open", err);
	ret = sys_fstat(fd, &st);
	if (ret >= 0 && st.st_gid != self->gid && !(self->flags & PRT_UNTAR_NO_OWNER)) /* a parent with set-group-ID */
		ret = sys_fchownat(fd, "", self->uid, self->gid, AT_EMPTY_PATH);
	if (ret >= 0 && (st.st_mode & 07777) != 0755)
		ret = sys_fchmod(fd, 0755);
	if (ret < 0)
		return untar_fail(self, ret, "chmod", err);
	if (untar_remember(self, LATER_IMPLIED, self->real, NULL, 0, err) < 0)
		return -1;
	return steal_fd(&fd);
}

/* A file that a whiteout of this archive hides may be a directory of it after all. */
static int imply_over_whiteout(struct prt_untar *self, struct walk *walk, const char *name, struct prt_error *err)
{
	int ret = sys_unlinkat(walk->at, name, 0);

	if (ret < 0)
		return untar_fail(self, ret, "unlink", err);
	cleanup_fd int fd = imply(self, walk, name, err);
	if (fd < 0 || untar_set_opaque(self, fd, err) < 0)
		return -1;
	return steal_fd(&fd);
}

static int step_up(struct prt_untar *self, struct walk *walk, struct prt_error *err)
{
	char *slash = strrchr(self->real, '/');

	*(slash ? slash : self->real) = 0;
	return reopen(self, walk, err);
}

static int step(struct prt_untar *self, struct walk *walk, const char *name, struct prt_error *err)
{
	struct stat st = {0};
	size_t size = strlen(self->real);
	int ret;

	if (++walk->steps > MAX_STEPS)
		return prt_fail(err, ELOOP, "untar", self->path, "too many directories lead to its own");
	if (strcmp(name, "..") == 0)
		return step_up(self, walk, err);
	cleanup_fd int fd = sys_openat(walk->at, name, O_PATH | O_NOFOLLOW, 0);
	ret = fd < 0 ? fd : sys_fstat(fd, &st);
	if (ret < 0 && ret != -ENOENT)
		return untar_fail(self, ret, "open", err);
	if (ret >= 0 && S_ISLNK(st.st_mode))
		return follow(self, walk, fd, err);
	if (join(self, self->real, name, err) < 0)
		return -1;
	if (ret == -ENOENT) {
		fd = imply(self, walk, name, err);
	} else if (untar_is_whiteout(&st)) {
		prt_cleanup_fd(&fd);
		fd = imply_over_whiteout(self, walk, name, err);
	} else if (!S_ISDIR(st.st_mode)) {
		self->real[size] = 0;
		return prt_fail(err, ENOTDIR, "untar", self->path, "what should be its directory is none");
	}
	if (fd < 0)
		return -1;
	walk_to(walk, steal_fd(&fd));
	return 0;
}

/* Component by component, for what openat2(2) cannot do in one step: symlinks, and parents that are not there yet. */
static int walk_parent(struct prt_untar *self, struct prt_error *err)
{
	struct walk walk = {.at = -1, .rest_at = PATH_MAX - 1};
	char name[NAME_MAX + 1];
	int ret;

	self->real[0] = 0;
	ret = reopen(self, &walk, err);
	if (ret >= 0)
		ret = put_first(self, &walk, self->given, self->given_size, err);
	while (ret >= 0 && walk.rest[walk.rest_at]) {
		const char *rest = walk.rest + walk.rest_at;
		size_t n = strcspn(rest, "/");
		walk.rest_at += n + 1;
		if (n > NAME_MAX)
			ret = prt_fail(err, ENAMETOOLONG, "untar", self->path, "a name too long for the system");
		if (ret < 0 || n == 0 || (n == 1 && rest[0] == '.'))
			continue;
		memcpy(name, rest, n);
		name[n] = 0;
		ret = step(self, &walk, name, err);
	}
	if (ret < 0) {
		prt_cleanup_fd(&walk.at);
		return -1;
	}
	return walk.at;
}

static void forget_parent(struct prt_untar *self)
{
	prt_cleanup_fd(&self->parent);
	self->parent = -1;
	self->parent_is_known = 0;
}

int untar_enter(struct prt_untar *self, struct prt_error *err)
{
	const char *slash = strrchr(self->path, '/');
	size_t size = slash ? (size_t)(slash - self->path) : 0;
	int fd;

	self->name = slash ? slash + 1 : self->path;
	if (self->parent_is_known && size == self->given_size && memcmp(self->path, self->given, size) == 0)
		return 0;
	forget_parent(self);
	memcpy(self->given, self->path, size);
	self->given[size] = 0;
	self->given_size = size;
	memcpy(self->real, self->given, size + 1);
	fd = prt_path_open(self->root, self->given, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS, err);
	if (fd < 0 && (err->code == ENOENT || err->code == ELOOP || err->code == ENOTDIR))
		fd = walk_parent(self, err);
	if (fd < 0)
		return -1;
	self->parent = fd;
	self->parent_is_known = 1;
	return 0;
}

void untar_descend(struct prt_untar *self, int fd)
{
	struct prt_error err;
	int fits = join(self, self->real, self->name, &err) >= 0;

	forget_parent(self);
	self->parent = fd;
	self->parent_is_known = fits;
	self->given_size = strlen(self->path);
	memcpy(self->given, self->path, self->given_size + 1);
}

int untar_clear(struct prt_untar *self, struct prt_error *err)
{
	char path[PATH_MAX];
	int ret = sys_unlinkat(self->parent, self->name, 0);

	/* What was removed may have led to the parent, which stays good for this entry alone. */
	self->parent_is_known = 0;
	if (ret == -EISDIR || ret == -EPERM)
		return untar_real_path(self, path, err) < 0 ? -1 : untar_remove_tree(self->root, path, err);
	return ret < 0 && ret != -ENOENT ? untar_fail(self, ret, "unlink", err) : 0;
}
