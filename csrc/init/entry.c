#include "init.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "../prt_path.h"

/* The directory below the kept mount in which the entry goes; *name is its last component. */
static int open_parent(struct init *init, const char **name, struct prt_error *err)
{
	return prt_path_parent(init->kept, op_path(init), 0755, name, err);
}

static int set_owner(struct init *init, int dir, const char *name, struct prt_error *err)
{
	unsigned uid = (unsigned)(init->op->b >> 32), gid = (unsigned)init->op->b;

	if (!uid && !gid)
		return 0;
	return check(sys_fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW), "chown", op_path(init), err);
}

int do_dir(struct init *init, struct prt_error *err)
{
	const char *name, *xattr = text(init, init->op->data);
	cleanup_fd int parent = open_parent(init, &name, err);

	if (parent < 0)
		return -1;
	int ret = sys_mkdirat(parent, name, (unsigned)init->op->a);
	if (ret < 0 && ret != -EEXIST)
		return check(ret, "mkdir", op_path(init), err);
	cleanup_fd int fd = sys_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return check(fd, "open", op_path(init), err);
	if (set_owner(init, parent, name, err) < 0)
		return -1;
	if (xattr && check(PRT_SYS(SYS_fsetxattr, fd, xattr, "y", 1, 0, 0), "fsetxattr", op_path(init), err) < 0)
		return -1;
	return check(sys_fchmod(fd, (unsigned)init->op->a), "chmod", op_path(init), err);
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

/* Whatever is there goes first: an image may have anything at this place. */
static int clear(struct init *init, int parent, const char *name, struct prt_error *err)
{
	int ret = sys_unlinkat(parent, name, 0);

	return ret == -ENOENT ? 0 : check(ret, "unlink", op_path(init), err);
}

int do_file(struct init *init, struct prt_error *err)
{
	const char *name;
	cleanup_fd int parent = open_parent(init, &name, err);

	if (parent < 0 || clear(init, parent, name, err) < 0)
		return -1;
	cleanup_fd int fd = sys_openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (unsigned)init->op->a);
	if (fd < 0)
		return check(fd, "open", op_path(init), err);
	if (check(write_all(fd, text(init, init->op->data), init->op->c), "write", op_path(init), err) < 0)
		return -1;
	if (set_owner(init, parent, name, err) < 0)
		return -1;
	return check(sys_fchmod(fd, (unsigned)init->op->a), "chmod", op_path(init), err);
}

int do_symlink(struct init *init, struct prt_error *err)
{
	const char *name;
	cleanup_fd int parent = open_parent(init, &name, err);

	if (parent < 0 || clear(init, parent, name, err) < 0)
		return -1;
	if (check(sys_symlinkat(text(init, init->op->data), parent, name), "symlink", op_path(init), err) < 0)
		return -1;
	return set_owner(init, parent, name, err);
}

int do_node(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	const char *name;
	cleanup_fd int parent = open_parent(init, &name, err);

	if (parent < 0 || clear(init, parent, name, err) < 0)
		return -1;
	int ret = sys_mknodat(parent, name, (unsigned)op->a, (unsigned)op->c);
	if (ret < 0)
		return check(ret, "mknod", op_path(init), err);
	return set_owner(init, parent, name, err);
}

int do_mkdirs(struct init *init, struct prt_error *err)
{
	cleanup_fd int fd = prt_path_mkdirs(init->root, op_path(init), (unsigned)init->op->a, err);

	return fd < 0 ? -1 : 0;
}

/* Only a file of procfs itself, not what someone put in its place. */
static int write_proc(struct init *init, const char *path, struct prt_error *err)
{
	struct statfs fs;
	cleanup_fd int fd = prt_path_open(init->root, path, O_WRONLY, 0, 0, err);

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
