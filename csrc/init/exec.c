#include "init.h"

#include <errno.h>
#include <linux/limits.h>
#include <sys/mman.h>

int do_cwd(struct init *init, struct prt_error *err)
{
	char here[PATH_MAX];

	if (check(sys_chdir(op_path(init)), "chdir", op_path(init), err) < 0)
		return -1;
	/* "(unreachable)…" says that the directory lies outside the root (getcwd(2)); a leaked descriptor could lead there. */
	long n = sys_getcwd(here, sizeof here);
	if (n < 0 || here[0] != '/')
		return prt_fail(err, n < 0 ? (int)-n : EXDEV, "chdir", op_path(init), "outside of the container");
	return 0;
}

/* The next list of a plan's EXEC data, as an array of pointers; *at moves behind its terminating 0. */
static char **pointers(const struct init *init, const uint32_t **at, char **to)
{
	char **list = to;

	for (; **at; (*at)++)
		*to++ = (char *)(uintptr_t)text(init, **at);
	*to = NULL;
	(*at)++;
	return list;
}

static size_t list_length(const uint32_t *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n + 1;
}

/* A magic link such as /proc/self/exe would execute pyrt-init itself. Only a message: the memory file it is in is sealed. */
static int refuse_magic(char *const *candidates, struct prt_error *err)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};

	for (; *candidates; candidates++) {
		cleanup_fd int fd = sys_openat2(AT_FDCWD, *candidates, &how);
		if (fd == -ELOOP)
			return prt_fail(err, ELOOP, "execve", *candidates,
					"a loop, or a magic link of procfs to pyrt itself");
		if (fd >= 0)
			break;
	}
	return 0;
}

int do_program(struct init *init, struct prt_error *err)
{
	const uint32_t *at = (const void *)text(init, init->op->data), *walk = at;
	size_t total = 0;

	for (int lists = 0; lists < 3; lists++) {
		size_t n = list_length(walk);
		total += n;
		walk += n;
	}
	long memory = PRT_SYS(SYS_mmap, NULL, total * sizeof(char *), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory < 0 && memory > -4096)
		return check(memory, "mmap", "arguments", err);
	char **block = (char **)memory;
	init->candidates = pointers(init, &at, block);
	block += list_length((const void *)text(init, init->op->data));
	const uint32_t *second = at;
	init->argv = pointers(init, &at, block);
	init->envp = pointers(init, &at, block + list_length(second));
	return refuse_magic(init->candidates, err);
}

/* The container's filter is in force: only what every filter must allow, so execve(2) and write(2). */
int do_exec(struct init *init, struct prt_error *err)
{
	char *const *candidates = init->candidates;

	if (!candidates)
		return prt_fail(err, EINVAL, "plan", NULL, "an exec without a program");
	init->report.ready_ns = now_ns();
	(void)sys_write(PRT_FD_CONTROL, &init->report, sizeof init->report);
	int code = ENOENT;
	const char *failed = candidates[0];
	for (; *candidates; candidates++) {
		int ret = (int)PRT_SYS(SYS_execve, *candidates, init->argv, init->envp, 0, 0, 0);
		if (ret == -ENOENT || ret == -ENOTDIR)
			continue;
		code = -ret;
		failed = *candidates;
		if (ret != -EACCES) /* execvp(3) looks further behind a file without permission */
			break;
	}
	return prt_fail(err, code, "execve", failed, NULL);
}
