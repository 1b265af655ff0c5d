#include "init.h"

#include <errno.h>
#include <linux/limits.h>
#include <sys/socket.h>
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

/* A magic link such as /proc/self/exe would execute pyrt-init itself. */
static int is_magic(const char *program)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
	int fd = sys_openat2(AT_FDCWD, program, &how);

	if (fd >= 0)
		(void)sys_close(fd);
	return fd == -ELOOP;
}

int do_exec(struct init *init, struct prt_error *err)
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
	char **block = (char **)memory, **candidates, **argv, **envp;
	candidates = pointers(init, &at, block);
	block += list_length((const void *)text(init, init->op->data));
	const uint32_t *second = at;
	argv = pointers(init, &at, block);
	envp = pointers(init, &at, block + list_length(second));

	init->report.ready_ns = now_ns();
	(void)PRT_SYS(SYS_sendto, PRT_FD_CONTROL, &init->report, sizeof init->report, MSG_NOSIGNAL, NULL, 0);
	int code = ENOENT;
	const char *failed = candidates[0];
	for (; *candidates; candidates++) {
		if (is_magic(*candidates))
			return prt_fail(err, ELOOP, "execve", *candidates, "a magic link of procfs leads to pyrt itself");
		int ret = sys_execveat(AT_FDCWD, *candidates, argv, envp, 0);
		if (ret == -ENOENT || ret == -ENOTDIR)
			continue;
		code = -ret;
		failed = *candidates;
		if (ret != -EACCES) /* execvp(3) looks further behind a file without permission */
			break;
	}
	return prt_fail(err, code, "execve", failed, NULL);
}
