#include "init.h"

#include <errno.h>
#include <sys/stat.h>

#include "../prt_mount.h"
#include "../prt_path.h"

#define NULL_DEVICE 0x103 /* 1, 3 */

int do_propagation(struct init *init, struct prt_error *err)
{
	long ret = PRT_SYS(SYS_mount, NULL, "/", NULL, init->op->a, NULL, 0);

	return check(ret, "mount", "/", err);
}

int do_new_mount(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	int fd = prt_mount_new(text(init, op->type), text(init, op->source), text(init, op->data), op->b, err);

	init->slots[op->a] = fd;
	return fd < 0 ? -1 : 0;
}

/* Unlike fsconfig(2), mount(2) takes more than 255 bytes, and so the names of many directories, relative to where we are. */
int do_overlay(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	const char *place = op_path(init), *point = text(init, op->source);

	if (check(sys_chdir(place), "chdir", place, err) < 0)
		return -1;
	long ret = PRT_SYS(SYS_mount, "overlay", point, "overlay", 0, text(init, op->data), 0);
	if (ret < 0)
		return prt_fail(err, (int)-ret, "mount", "overlay", "the kernel's log may say more");
	int fd = sys_openat(AT_FDCWD, point, O_PATH | O_DIRECTORY, 0);
	init->slots[op->a] = fd;
	return fd < 0 ? check(fd, "open", point, err) : prt_mount_set(fd, op->b, 0, 0, err);
}

/* What is at `path` below the directory `top` now: no link that a container has put there leads out of it. */
static int open_below(const char *top, const char *path, struct prt_error *err)
{
	cleanup_fd int root = sys_openat(AT_FDCWD, top, O_PATH | O_DIRECTORY, 0);

	return root < 0 ? check(root, "open", top, err) : prt_path_open(root, path, O_PATH, 0, 0, err);
}

int do_open_tree(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	int recursive = !!(op->flags & PRT_RECURSIVE), fd;

	if (op->path) {
		cleanup_fd int place = open_below(text(init, op->source), op_path(init), err);
		fd = place < 0 ? -1 : prt_mount_clone(place, "", recursive, err);
	} else {
		fd = prt_mount_clone(AT_FDCWD, text(init, op->source), recursive, err);
	}
	init->slots[op->a] = fd;
	return fd < 0 ? -1 : 0;
}

int do_take(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;

	init->slots[op->a] = (int)op->b;
	return check(sys_fcntl((int)op->b, F_SETFD, FD_CLOEXEC), "fcntl", "a mount of the host program", err);
}

/* The place of a mount, made where that is wanted and nothing is there. */
static int open_target(struct init *init, struct prt_error *err)
{
	const char *path = op_path(init);
	uint32_t flags = init->op->flags;

	if (flags & PRT_ON_HOST) {
		int fd = sys_openat(AT_FDCWD, path, O_PATH, 0);
		return fd < 0 ? check(fd, "open", path, err) : fd;
	}
	uint64_t resolve = flags & PRT_PLAIN ? RESOLVE_NO_SYMLINKS : 0;
	int fd = prt_path_open(init->root, path, O_PATH, 0, resolve, err);
	if (fd >= 0 || err->code != ENOENT)
		return fd;
	if (flags & PRT_MAKE_DIR)
		return prt_path_mkdirs(init->root, path, 0755, err);
	return flags & PRT_MAKE_FILE ? prt_path_mkfile(init->root, path, 0644, err) : -1;
}

int do_attach(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	int *slot = &init->slots[op->a];
	cleanup_fd int target = open_target(init, err);

	if (target < 0)
		return -1;
	if (prt_mount_set(*slot, op->b, 0, !!(op->flags & PRT_RECURSIVE), err) < 0)
		return -1;
	if (prt_mount_set(*slot, 0, op->c, !!(op->flags & PRT_RECURSIVE_PROPAGATION), err) < 0)
		return -1;
	if (prt_mount_attach(*slot, target, op_path(init), err) < 0)
		return -1;
	if (op->flags & PRT_AS_ROOT)
		init->root = *slot;
	if (op->flags & PRT_KEEP) {
		init->kept = *slot;
		prt_cleanup_fd(&init->parent);
		init->parent = -1;
	}
	if (!(op->flags & (PRT_AS_ROOT | PRT_KEEP)))
		(void)sys_close(*slot);
	*slot = -1;
	return 0;
}

int do_root_attributes(struct init *init, struct prt_error *err)
{
	int fd = init->op->flags & PRT_KEEP ? init->kept : init->root;

	return prt_mount_set(fd, init->op->b, 0, 0, err);
}

/* An empty read-only directory; all but the first are clones of that, once it is attached: before Linux 6.15 what is not
 * cannot be cloned. */
static int mask_directory(struct init *init, int target, struct prt_error *err)
{
	if (init->empty < 0) {
		init->empty = prt_mount_new("tmpfs", "tmpfs", "size\0004k\0mode\000555\0", MOUNT_ATTR_RDONLY, err);
		return init->empty < 0 ? -1 : prt_mount_attach(init->empty, target, op_path(init), err);
	}
	cleanup_fd int cover = prt_mount_clone(init->empty, "", 0, err);
	return cover < 0 ? -1 : prt_mount_attach(cover, target, op_path(init), err);
}

/* The null device of the host, which no container can have replaced. */
static int mask_file(struct init *init, int target, struct prt_error *err)
{
	struct stat st;
	cleanup_fd int cover = prt_mount_clone(AT_FDCWD, "/dev/null", 0, err);

	if (cover < 0 || check(PRT_SYS(SYS_fstat, cover, &st, 0, 0, 0, 0), "fstat", "/dev/null", err) < 0)
		return -1;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != NULL_DEVICE)
		return prt_fail(err, EINVAL, "mask", "/dev/null", "the host's is not the null device");
	return prt_mount_attach(cover, target, op_path(init), err);
}

/* What is there now, by descriptor; -2 when nothing is. */
static int open_present(struct init *init, struct prt_error *err)
{
	int fd = prt_path_open(init->root, op_path(init), O_PATH, 0, 0, err);

	return fd < 0 && (err->code == ENOENT || err->code == ENOTDIR) ? -2 : fd;
}

int do_mask(struct init *init, struct prt_error *err)
{
	struct stat st;
	cleanup_fd int target = open_present(init, err);

	if (target < 0)
		return target == -2 ? 0 : -1;
	if (check(PRT_SYS(SYS_fstat, target, &st, 0, 0, 0, 0), "fstat", op_path(init), err) < 0)
		return -1;
	return S_ISDIR(st.st_mode) ? mask_directory(init, target, err) : mask_file(init, target, err);
}

int do_readonly(struct init *init, struct prt_error *err)
{
	cleanup_fd int target = open_present(init, err);

	if (target < 0)
		return target == -2 ? 0 : -1;
	cleanup_fd int tree = prt_mount_clone(target, "", 1, err);
	if (tree < 0 || prt_mount_set(tree, MOUNT_ATTR_RDONLY, 0, 1, err) < 0)
		return -1;
	return prt_mount_attach(tree, target, op_path(init), err);
}

int do_pivot(struct init *init, struct prt_error *err)
{
	if (check(sys_fchdir(init->root), "fchdir", "the new root", err) < 0)
		return -1;
	/* "." twice puts the old root on top of the new one, where it is unmounted at once (pivot_root(2), NOTES) */
	if (check(PRT_SYS(SYS_pivot_root, ".", ".", 0, 0, 0, 0), "pivot_root", ".", err) < 0)
		return -1;
	if (check(PRT_SYS(SYS_umount2, ".", 2 /* MNT_DETACH */, 0, 0, 0, 0), "umount2", "the old root", err) < 0)
		return -1;
	if (check(sys_chdir("/"), "chdir", "/", err) < 0)
		return -1;
	init->report.rooted_ns = now_ns();
	return 0;
}
