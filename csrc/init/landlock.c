#include "init.h"

#include <linux/landlock.h>
#include <sys/stat.h>

int do_landlock_new(struct init *init, struct prt_error *err)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = init->op->a};

	init->landlock = (int)PRT_SYS(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0, 0, 0, 0);
	return check(init->landlock, "landlock_create_ruleset", NULL, err);
}

int do_landlock_path(struct init *init, struct prt_error *err)
{
	cleanup_fd int fd = sys_openat(AT_FDCWD, op_path(init), O_PATH, 0);

	if (fd < 0)
		return check(fd, "open", op_path(init), err);
	struct stat st;
	if (check(PRT_SYS(SYS_fstat, fd, &st, 0, 0, 0, 0), "fstat", op_path(init), err) < 0)
		return -1;
	uint64_t access = S_ISDIR(st.st_mode) ? init->op->a : init->op->b;
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
	long ret = PRT_SYS(SYS_landlock_add_rule, init->landlock, LANDLOCK_RULE_PATH_BENEATH, &rule, 0, 0, 0);
	return check(ret, "landlock_add_rule", op_path(init), err);
}

int do_landlock_enforce(struct init *init, struct prt_error *err)
{
	long ret = PRT_SYS(SYS_landlock_restrict_self, init->landlock, 0, 0, 0, 0, 0);

	return check(ret, "landlock_restrict_self", NULL, err);
}
