#include "init.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "../prt_path.h"

static size_t directory_length(const char *path)
{
	size_t size = 0;

	for (size_t i = 0; path[i]; i++)
		if (path[i] == '/')
			size = i + 1;
	return size;
}

/* The directory below the kept mount in which the entry goes, which stays open for the next; *name is what comes last. */
static int open_parent(struct init *init, const char **name, struct prt_error *err)
{
	const char *path = op_path(init);
	size_t size = directory_length(path);

	/* `.` and `..` are prt_path_parent's to refuse */
	if (init->parent >= 0 && size == init->parent_size && !memcmp(path, init->parent_path, size) && path[size] &&
	    path[size] != '.') {
		*name = path + size;
		return init->parent;
	}
	prt_cleanup_fd(&init->parent);
	init->parent = prt_path_parent(init->kept, path, 0755, name, err);
	init->parent_path = path;
	init->parent_size = size;
	return init->parent;
}

static int set_owner(struct init *init, int dir, const char *name, struct prt_error *err)
{
	unsigned uid = (unsigned)(init->op->b >> 32), gid = (unsigned)init->op->b;

	if (!uid && !gid)
		return 0;
	return check(sys_fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW), "chown", op_path(init), err);
}

/* Our umask is 0, so a new entry has its mode, but for the set-id bits that mkdir(2) drops and chown(2) clears. */
#define SPECIAL_BITS 06000u

int do_dir(struct init *init, struct prt_error *err)
{
	const char *name, *xattr = text(init, init->op->data);
	unsigned mode = (unsigned)init->op->a;
	int parent = open_parent(init, &name, err);

	if (parent < 0)
		return -1;
	int ret = sys_mkdirat(parent, name, mode);
	if (ret < 0 && ret != -EEXIST)
		return check(ret, "mkdir", op_path(init), err);
	if (ret == 0 && !xattr && !(mode & SPECIAL_BITS))
		return set_owner(init, parent, name, err);
	cleanup_fd int fd = sys_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return check(fd, "open", op_path(init), err);
	if (set_owner(init, parent, name, err) < 0)
		return -1;
	if (xattr && check(PRT_SYS(SYS_fsetxattr, fd, xattr, "y", 1, 0, 0), "fsetxattr", op_path(init), err) < 0)
		return -1;
	return check(sys_fchmod(fd, mode), "chmod", op_path(init), err);
}

static int write_all(int fd, const char *from, size_t size)
{
	while (size) {
		long n = PRT_RETRY(sys_write(fd, from, size));
		if (n < 0)
			return (int)n;
		from += n;
		size -= (size_t)n;
	}
	return 0;
}

typedef int maker(const struct init *init, int parent, const char *name);

static int make_file(const struct init *init, int parent, const char *name)
{
	return sys_openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (unsigned)init->op->a);
}

static int make_symlink(const struct init *init, int parent, const char *name)
{
	return sys_symlinkat(text(init, init->op->data), parent, name);
}

static int make_node(const struct init *init, int parent, const char *name)
{
	return sys_mknodat(parent, name, (unsigned)init->op->a, (unsigned)init->op->c);
}

/* Make the entry, in the place of whatever an image may have there. */
static int replace(struct init *init, maker *make, const char *op, struct prt_error *err)
{
	const char *name;
	int parent = open_parent(init, &name, err);

	if (parent < 0)
		return -1;
	int ret = make(init, parent, name);
	if (ret == -EEXIST) {
		if (check(sys_unlinkat(parent, name, 0), "unlink", op_path(init), err) < 0)
			return -1;
		ret = make(init, parent, name);
	}
	if (check(ret, op, op_path(init), err) < 0)
		return -1;
	return set_owner(init, parent, name, err) < 0 ? -1 : ret;
}

int do_file(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	cleanup_fd int fd = replace(init, make_file, "open", err);

	if (fd < 0)
		return -1;
	if (check(write_all(fd, text(init, op->data), op->c), "write", op_path(init), err) < 0)
		return -1;
	return op->a & SPECIAL_BITS ? check(sys_fchmod(fd, (unsigned)op->a), "chmod", op_path(init), err) : 0;
}

int do_symlink(struct init *init, struct prt_error *err)
{
	return replace(init, make_symlink, "symlink", err);
}

int do_node(struct init *init, struct prt_error *err)
{
	return replace(init, make_node, "mknod", err);
}

int do_mkdirs(struct init *init, struct prt_error *err)
{
	cleanup_fd int fd = prt_path_mkdirs(init->root, op_path(init), (unsigned)init->op->a, err);

	return fd < 0 ? -1 : 0;
}

/* Only a file of procfs itself, not what someone put in its place; to open a pipe there must not stop us. */
static int write_proc(struct init *init, const char *path, struct prt_error *err)
{
	struct statfs fs;
	cleanup_fd int fd = prt_path_open(init->root, path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0, 0, err);

	if (fd < 0)
		return -1;
	if (check(PRT_SYS(SYS_fstatfs, fd, &fs, 0, 0, 0, 0), "fstatfs", path, err) < 0)
		return -1;
	if (fs.f_type != PROC_SUPER_MAGIC)
		return prt_fail(err, EINVAL, "write", path, "not a file of procfs");
	return check(write_all(fd, text(init, init->op->data), init->op->c), "write", path, err);
}

int do_sysctl(struct init *init, struct prt_error *err)
{
	return write_proc(init, op_path(init), err);
}

int do_oom_score(struct init *init, struct prt_error *err)
{
	return write_proc(init, "/proc/self/oom_score_adj", err);
}
