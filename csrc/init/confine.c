#include "init.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int do_rlimit(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	uint64_t limit[2] = {op->b, op->c};

	return check(PRT_SYS(SYS_prlimit64, 0, op->a, limit, NULL, 0, 0), "prlimit", op_path(init), err);
}

int do_umask(struct init *init, struct prt_error *err)
{
	(void)err;
	(void)PRT_SYS(SYS_umask, init->op->a, 0, 0, 0, 0, 0);
	return 0;
}

int do_bounding(struct init *init, struct prt_error *err)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (init->op->a >> cap & 1)
			continue;
		int ret = sys_prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		if (ret == -EINVAL) /* past the last that this kernel knows */
			return 0;
		if (ret < 0)
			return check(ret, "prctl", "PR_CAPBSET_DROP", err);
	}
	return 0;
}

/* All five sets by the kernel's calls; effective is permitted. */
static int set_capabilities(uint64_t permitted, uint64_t inheritable, struct prt_error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];

	for (int word = 0; word < 2; word++) {
		sets[word].permitted = sets[word].effective = (uint32_t)(permitted >> 32 * word);
		sets[word].inheritable = (uint32_t)(inheritable >> 32 * word);
	}
	return check(PRT_SYS(SYS_capset, &header, sets, 0, 0, 0, 0), "capset", NULL, err);
}

static int permitted_now(uint64_t *permitted, struct prt_error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];

	if (check(PRT_SYS(SYS_capget, &header, sets, 0, 0, 0, 0), "capget", NULL, err) < 0)
		return -1;
	*permitted = sets[0].permitted | (uint64_t)sets[1].permitted << 32;
	return 0;
}

/* Where the user namespace denies setgroups, no group can be given up, and none but the process's own may be asked for. */
static int asks_for_own_group(const struct init *init)
{
	const struct prt_op *op = init->op;
	uint32_t first = (uint32_t)op->b;

	if (op->c == 1)
		__builtin_memcpy(&first, text(init, op->data), sizeof first);
	return op->c <= 1 && first == op->b;
}

/* Capabilities stay for now: the seccomp filter may need them, and CAPABILITIES has the last word. */
int do_user(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	uint64_t permitted;

	if (check(sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl", "PR_SET_KEEPCAPS", err) < 0)
		return -1;
	long ret = PRT_SYS(SYS_setgroups, op->c, text(init, op->data), 0, 0, 0, 0);
	if (ret < 0 && !(ret == -EPERM && asks_for_own_group(init)))
		return check(ret, "setgroups", "supplementary groups", err);
	if (check(PRT_SYS(SYS_setresgid, op->b, op->b, op->b, 0, 0, 0), "setresgid", NULL, err) < 0)
		return -1;
	if (check(PRT_SYS(SYS_setresuid, op->a, op->a, op->a, 0, 0, 0), "setresuid", NULL, err) < 0)
		return -1;
	if (permitted_now(&permitted, err) < 0)
		return -1;
	return set_capabilities(permitted, 0, err);
}

int do_no_new_privs(struct init *init, struct prt_error *err)
{
	(void)init;
	return check(sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS", err);
}

int do_seccomp(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	struct sock_fprog program = {
		.len = (unsigned short)op->c,
		.filter = (struct sock_filter *)(uintptr_t)text(init, op->data),
	};
	long ret = PRT_SYS(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op->a, &program, 0, 0, 0);

	return check(ret, "seccomp", "the filter", err);
}

int do_capabilities(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;

	if (set_capabilities(op->a, op->b, err) < 0)
		return -1;
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (!(op->c >> cap & 1))
			continue;
		int ret = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
		if (ret < 0)
			return check(ret, "prctl", "PR_CAP_AMBIENT_RAISE", err);
	}
	return 0;
}
