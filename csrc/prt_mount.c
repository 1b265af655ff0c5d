#include "prt_mount.h"

#include <errno.h>

#include "prt_util.h"

/* The file system's own words: lines like "e overlay: bad option", one to a read (fsopen(2)). */
static int fail_with_log(int context, int code, const char *op, const char *type, struct prt_error *err)
{
	char line[sizeof err->msg];
	long size = sys_read(context, line, sizeof line - 1);

	if (size <= 2)
		return prt_fail(err, code, op, type, NULL);
	line[line[size - 1] == '\n' ? size - 1 : size] = 0;
	return prt_fail(err, code, op, type, line + 2);
}

static const char *after(const char *text)
{
	while (*text)
		text++;
	return text + 1;
}

static int configure(int context, unsigned command, const char *key, const char *value)
{
	return (int)PRT_RETRY(PRT_SYS(SYS_fsconfig, context, command, key, value, 0, 0));
}

int prt_mount_new(const char *type, const char *source, const char *options, uint64_t attributes, struct prt_error *err)
{
	cleanup_fd int context = (int)PRT_SYS(SYS_fsopen, type, FSOPEN_CLOEXEC, 0, 0, 0, 0);

	if (context < 0)
		return prt_fail(err, -context, "fsopen", type, NULL);
	int ret = source ? configure(context, FSCONFIG_SET_STRING, "source", source) : 0;
	for (const char *key = options; ret >= 0 && key && *key;) {
		const char *value = after(key);
		ret = *value ? configure(context, FSCONFIG_SET_STRING, key, value)
			     : configure(context, FSCONFIG_SET_FLAG, key, NULL);
		key = after(value);
	}
	if (ret >= 0)
		ret = configure(context, FSCONFIG_CMD_CREATE, NULL, NULL);
	if (ret < 0)
		return fail_with_log(context, -ret, "mount", type, err);
	int fd = (int)PRT_SYS(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes, 0, 0, 0);
	return fd < 0 ? fail_with_log(context, -fd, "fsmount", type, err) : fd;
}

int prt_mount_clone(int dirfd, const char *path, int recursive, struct prt_error *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	int fd = (int)PRT_SYS(SYS_open_tree, dirfd, path, flags | (recursive ? AT_RECURSIVE : 0u), 0, 0, 0);

	return fd < 0 ? prt_fail(err, -fd, "open_tree", path, NULL) : fd;
}

int prt_mount_set(int fd, uint64_t attributes, uint64_t propagation, int recursive, struct prt_error *err)
{
	struct mount_attr attr = {.attr_set = attributes, .propagation = propagation};

	/* The access-time settings are one field of four values: to set one is to clear it first (mount_setattr(2)). */
	if (attributes & MOUNT_ATTR__ATIME)
		attr.attr_clr = MOUNT_ATTR__ATIME;
	if (!attributes && !propagation)
		return 0;
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
	int ret = (int)PRT_SYS(SYS_mount_setattr, fd, "", flags, &attr, sizeof attr, 0);
	return ret < 0 ? prt_fail(err, -ret, "mount_setattr", NULL, NULL) : 0;
}

int prt_mount_attach(int fd, int target, const char *path, struct prt_error *err)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
	int ret = (int)PRT_SYS(SYS_move_mount, fd, "", target, "", flags, 0);

	return ret < 0 ? prt_fail(err, -ret, "move_mount", path, NULL) : 0;
}

int prt_mount_idmapped(const char *path, int userns, struct prt_error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns};
	cleanup_fd int fd = prt_mount_clone(AT_FDCWD, path, 0, err);

	if (fd < 0)
		return -1;
	int ret = (int)PRT_SYS(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr, 0);
	return ret < 0 ? prt_fail(err, -ret, "mount_setattr", path, "map the ids of a user namespace") : steal_fd(&fd);
}
