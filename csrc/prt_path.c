#include "prt_path.h"

#include <errno.h>
#include <linux/limits.h>
#include <sys/stat.h>

#include "prt_util.h"

#define MAX_LINKS 40 /* as the kernel's own limit */
#define MAX_DEPTH 256

/* A walk: the directories above the current one, and what is left of the path, at the end of a buffer that symlinks
 * are spliced into. */
struct walk {
	int stack[MAX_DEPTH];
	int depth;
	int links;
	size_t at;
	char rest[PATH_MAX];
};

static size_t text_length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

static void walk_pop_to(struct walk *walk, int depth)
{
	while (walk->depth > depth)
		(void)sys_close(walk->stack[--walk->depth]);
}

static void walk_end(struct walk *walk)
{
	walk_pop_to(walk, 0);
}

/* Put `size` bytes in front of what is left, which is nothing or begins with a slash. */
static int walk_splice(struct walk *walk, const char *text, size_t size)
{
	if (size > walk->at)
		return -ENAMETOOLONG;
	walk->at -= size;
	for (size_t i = 0; i < size; i++)
		walk->rest[walk->at + i] = text[i];
	return 0;
}

/* Cut the next component off; its length, or 0 at the end. *last tells whether nothing, not even a slash, follows. */
static size_t walk_next(struct walk *walk, char *name, int *last)
{
	size_t n = 0;

	while (walk->rest[walk->at] == '/')
		walk->at++;
	while (walk->rest[walk->at] && walk->rest[walk->at] != '/') {
		if (n < NAME_MAX)
			name[n] = walk->rest[walk->at];
		walk->at++;
		n++;
	}
	name[n <= NAME_MAX ? n : NAME_MAX] = 0;
	*last = walk->rest[walk->at] == 0;
	return n;
}

static int walk_follow(struct walk *walk, int link)
{
	char target[PATH_MAX];
	long size = sys_readlinkat(link, "", target, sizeof target);

	if (size < 0)
		return (int)size;
	if (size == 0 || ++walk->links > MAX_LINKS)
		return size == 0 ? -ENOENT : -ELOOP;
	if (target[0] == '/')
		walk_pop_to(walk, 0);
	return walk_splice(walk, target, (size_t)size);
}

/* What a descriptor is, as S_IF*, or a negative errno. */
static int type_of(int fd)
{
	struct stat st;
	long ret = PRT_SYS(SYS_fstat, fd, &st, 0, 0, 0, 0);

	return ret < 0 ? (int)ret : (int)(st.st_mode & S_IFMT);
}

/* One component: -EAGAIN to go on, a descriptor when done, another errno on failure. */
static int walk_step(struct walk *walk, int root, const char *name, int last, int flags, unsigned mode,
		     uint64_t resolve)
{
	int at = walk->depth ? walk->stack[walk->depth - 1] : root;

	if (name[0] == '.' && name[1] == '.' && !name[2]) {
		walk_pop_to(walk, walk->depth ? walk->depth - 1 : 0);
		return -EAGAIN;
	}
	cleanup_fd int fd = sys_openat(at, name, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT && last && flags & O_CREAT)
		return sys_openat(at, name, flags | O_NOFOLLOW, mode);
	if (fd < 0)
		return fd;
	int type = type_of(fd);
	if (type < 0)
		return type;
	if (type == S_IFLNK && !(last && flags & O_NOFOLLOW)) {
		if (resolve & RESOLVE_NO_SYMLINKS || (last && flags & O_CREAT && flags & O_EXCL))
			return resolve & RESOLVE_NO_SYMLINKS ? -ELOOP : -EEXIST;
		int ret = walk_follow(walk, fd);
		return ret < 0 ? ret : -EAGAIN;
	}
	if (last && flags & O_PATH)
		return flags & O_DIRECTORY && type != S_IFDIR ? -ENOTDIR : steal_fd(&fd);
	if (last)
		return sys_openat(at, name, flags | O_NOFOLLOW, mode);
	if (type != S_IFDIR)
		return -ENOTDIR;
	if (walk->depth == MAX_DEPTH)
		return -ENAMETOOLONG;
	walk->stack[walk->depth++] = steal_fd(&fd);
	return -EAGAIN;
}

int prt_path_walk(int root, const char *path, int flags, unsigned mode, uint64_t resolve, struct prt_error *err)
{
	struct walk walk = {.at = PATH_MAX - 1};
	char name[NAME_MAX + 1];
	int last, fd = walk_splice(&walk, path, text_length(path));

	while (fd == 0 || fd == -EAGAIN) {
		size_t n = walk_next(&walk, name, &last);
		if (n == 0) {
			int at = walk.depth ? walk.stack[walk.depth - 1] : root;
			fd = flags & O_CREAT ? -EISDIR : sys_openat(at, ".", flags, 0);
			break;
		}
		if (n > NAME_MAX)
			fd = -ENAMETOOLONG;
		else if (n == 1 && name[0] == '.')
			fd = -EAGAIN;
		else
			fd = walk_step(&walk, root, name, last, flags, mode, resolve);
	}
	walk_end(&walk);
	return fd < 0 ? prt_fail(err, -fd, "open", path, "below the root") : fd;
}

int prt_path_open(int root, const char *path, int flags, unsigned mode, uint64_t resolve, struct prt_error *err)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = 0;

	/* EAGAIN: a rename somewhere raced with a `..` (openat2(2)). Others can cause it for ever, the walk does not care. */
	for (int tries = 0; tries < 64; tries++) {
		fd = sys_openat2(root, path[0] ? path : ".", &how);
		if (fd != -EAGAIN && fd != -EINTR)
			break;
	}
	if (fd == -ENOSYS || fd == -EAGAIN)
		return prt_path_walk(root, path, flags, mode, resolve, err);
	return fd < 0 ? prt_fail(err, -fd, "openat2", path, "below the root") : fd;
}

/* The prefix of `path` that ends with the component which starts at or after *at; 0 when there is none. */
static size_t next_prefix(const char *path, size_t *at, char prefix[PATH_MAX])
{
	size_t end = *at;

	while (path[end] == '/')
		end++;
	if (!path[end])
		return 0;
	while (path[end] && path[end] != '/')
		end++;
	if (end >= PATH_MAX)
		return 0;
	for (size_t i = 0; i < end; i++)
		prefix[i] = path[i];
	prefix[end] = 0;
	*at = end;
	return end;
}

static const char *last_component(const char *path)
{
	const char *name = path;

	for (const char *p = path; *p; p++)
		if (p[0] == '/' && p[1] && p[1] != '/')
			name = p + 1;
	return name;
}

/* Nothing was there and now something is: another process has made it, or it is a link that leads nowhere. */
static int dangling(struct prt_error *err, const char *path)
{
	return prt_fail(err, ENOENT, "open", path, "a dangling symbolic link is in the way");
}

int prt_path_mkdirs(int root, const char *path, unsigned mode, struct prt_error *err)
{
	const int flags = O_PATH | O_DIRECTORY;
	char prefix[PATH_MAX];
	size_t at = 0;
	int fd = prt_path_open(root, path, flags, 0, 0, err);

	if (fd >= 0 || err->code != ENOENT)
		return fd;
	cleanup_fd int parent = prt_path_open(root, "", flags, 0, 0, err);
	while (parent >= 0 && next_prefix(path, &at, prefix)) {
		fd = prt_path_open(root, prefix, flags, 0, 0, err);
		if (fd < 0 && err->code == ENOENT) {
			int ret = sys_mkdirat(parent, last_component(prefix), mode);
			if (ret < 0 && ret != -EEXIST)
				return prt_fail(err, -ret, "mkdir", prefix, "below the root");
			fd = prt_path_open(root, prefix, flags, 0, 0, err);
			if (fd < 0 && ret == -EEXIST && err->code == ENOENT)
				return dangling(err, prefix);
		}
		prt_cleanup_fd(&parent);
		parent = fd;
	}
	return steal_fd(&parent);
}

/* `.` and `..`, which would lead an *at call elsewhere. */
static int is_dots(const char *name)
{
	size_t dots = name[0] != '.' ? 0 : name[1] != '.' ? 1 : 2;

	return dots && (!name[dots] || name[dots] == '/');
}

int prt_path_parent(int root, const char *path, unsigned mode, const char **name, struct prt_error *err)
{
	char prefix[PATH_MAX];
	size_t i, size;

	*name = last_component(path);
	size = (size_t)(*name - path);
	if (!**name || **name == '/' || is_dots(*name) || size >= sizeof prefix)
		return prt_fail(err, EINVAL, "open", path, "the path names no entry of a directory");
	for (i = 0; i < size; i++)
		prefix[i] = path[i];
	prefix[i] = 0;
	return prt_path_mkdirs(root, prefix, mode, err);
}

int prt_path_mkfile(int root, const char *path, unsigned mode, struct prt_error *err)
{
	const char *name;
	int fd = prt_path_open(root, path, O_PATH, 0, 0, err);

	if (fd >= 0 || err->code != ENOENT)
		return fd;
	cleanup_fd int parent = prt_path_parent(root, path, 0755, &name, err);
	if (parent < 0)
		return -1;
	cleanup_fd int made = sys_openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode);
	if (made < 0 && made != -EEXIST)
		return prt_fail(err, -made, "open", path, "below the root");
	fd = prt_path_open(root, path, O_PATH, 0, 0, err);
	return fd < 0 && made == -EEXIST && err->code == ENOENT ? dangling(err, path) : fd;
}
