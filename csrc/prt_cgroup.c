#include "prt_cgroup.h"

#include <errno.h>
#include <linux/bpf.h>

#include "prt_util.h"

#define LICENSE "GPL" /* of the generated filter, as the kernel asks for it */

struct path {
	size_t size; /* of the directory's part */
	char text[4096];
};

/* Put a, a slash and b behind the first `at` bytes; the size, or 0 where it does not fit. */
static size_t path_put(struct path *path, size_t at, const char *a, const char *b)
{
	size_t i;

	for (; *a; a++) {
		if (at + 2 >= sizeof path->text)
			return 0;
		path->text[at++] = *a;
	}
	if (!b) {
		path->text[at] = 0;
		return at;
	}
	path->text[at++] = '/';
	for (i = 0; b[i]; i++) {
		if (at + 1 >= sizeof path->text)
			return 0;
		path->text[at++] = b[i];
	}
	path->text[at] = 0;
	return at;
}

/* Name a file of the directory; the directory's own part stays. */
static int path_file(struct path *path, const char *file)
{
	return path_put(path, path->size, "", file) ? 0 : -ENAMETOOLONG;
}

/* The next string of an order, or NULL at its end or where it is not terminated. */
static const char *next(const struct prt_cgroup_order *order, size_t *at)
{
	const char *text = order->ops + *at;

	for (size_t end = *at; end < order->size; end++) {
		if (order->ops[end])
			continue;
		*at = end + 1;
		return text;
	}
	return NULL;
}

static size_t length(const char *text)
{
	size_t size = 0;

	while (text[size])
		size++;
	return size;
}

static int write_file(const struct path *path, const char *value, int read_back, struct prt_cgroup_result *result,
		      struct prt_error *err)
{
	cleanup_fd int fd = (int)PRT_RETRY(sys_openat(AT_FDCWD, path->text, read_back ? O_RDWR : O_WRONLY, 0));
	size_t room;
	long got;

	if (fd < 0)
		return prt_fail(err, -fd, "open", path->text, value);
	got = PRT_RETRY(sys_write(fd, value, length(value)));
	if (got < 0)
		return prt_fail(err, (int)-got, "write", path->text, value);
	if (!read_back)
		return 0;
	room = result->max_texts - result->n_texts;
	if (room < 2)
		return prt_fail(err, ENOBUFS, "read", path->text, NULL);
	got = PRT_RETRY(sys_pread(fd, result->texts + result->n_texts, room - 1, 0));
	if (got < 0)
		return prt_fail(err, (int)-got, "read", path->text, NULL);
	result->n_texts += (size_t)got;
	result->texts[result->n_texts++] = 0;
	return 0;
}

static int open_file(const struct path *path, const char *file, struct prt_cgroup_result *result, struct prt_error *err)
{
	int flags = file[0] == '.' && !file[1] ? O_RDONLY | O_DIRECTORY : O_WRONLY;
	int fd;

	if (result->n_fds == result->max_fds)
		return prt_fail(err, ENOBUFS, "open", path->text, NULL);
	fd = (int)PRT_RETRY(sys_openat(AT_FDCWD, path->text, flags, 0));
	if (fd < 0)
		return prt_fail(err, -fd, "open", path->text, NULL);
	result->fds[result->n_fds++] = fd;
	return 0;
}

static int enter(struct path *path, const char *directory, const char *name, struct prt_error *err)
{
	int ret;

	path->size = path_put(path, 0, directory, name);
	if (!path->size)
		return prt_fail(err, ENAMETOOLONG, "mkdir", directory, name);
	ret = name ? sys_mkdirat(AT_FDCWD, path->text, 0755) : 0;
	return ret < 0 ? prt_fail(err, -ret, "mkdir", path->text, NULL) : 0;
}

static int execute(char op, const struct prt_cgroup_order *order, size_t *at, struct path *path,
		   struct prt_cgroup_result *result, struct prt_error *err)
{
	const char *file = next(order, at);
	const char *value = op == 'w' || op == 'r' ? next(order, at) : "";

	if (!file || !value)
		return prt_fail(err, EINVAL, "cgroup order", NULL, "a string is missing");
	if (op == 'd' || op == 'c')
		return enter(path, file, op == 'd' ? order->name : NULL, err);
	if (path_file(path, file) < 0)
		return prt_fail(err, ENAMETOOLONG, "open", file, NULL);
	if (op == 'o')
		return open_file(path, file, result, err);
	return write_file(path, value, op == 'r', result, err);
}

/* Undo the first `steps` operations. */
static void roll_back(const struct prt_cgroup_order *order, int steps, struct prt_cgroup_result *result)
{
	struct path path;
	size_t at = 0;

	while (result->n_fds > 0)
		(void)sys_close(result->fds[--result->n_fds]);
	for (; steps > 0; steps--) {
		char op = *next(order, &at);
		const char *text = next(order, &at);

		if (op == 'd' && path_put(&path, 0, text, order->name))
			(void)sys_unlinkat(AT_FDCWD, path.text, AT_REMOVEDIR);
		if (op == 'w' || op == 'r')
			(void)next(order, &at);
	}
}

int prt_cgroup_create(const struct prt_cgroup_order *order, struct prt_cgroup_result *result, struct prt_error *err)
{
	struct path path;
	const char *op;
	size_t at = 0;

	path.size = 0;
	result->n_fds = 0;
	result->n_texts = 0;
	for (int step = 1; (op = next(order, &at)); step++) {
		if (execute(*op, order, &at, &path, result, err) == 0)
			continue;
		roll_back(order, step - 1, result);
		err->step = step;
		return -1;
	}
	return 0;
}

static int remove_directory(const char *path, unsigned *patience_us)
{
	unsigned pause_us = 50;
	int ret;

	for (;;) {
		ret = sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
		if (ret != -EBUSY || *patience_us == 0)
			return ret == -ENOENT ? 0 : ret;
		if (pause_us > *patience_us)
			pause_us = *patience_us;
		sys_sleep_us(pause_us);
		*patience_us -= pause_us;
		if (pause_us < 5000)
			pause_us *= 2;
	}
}

int prt_cgroup_remove(const struct prt_cgroup_order *order, unsigned patience_us, struct prt_error *err)
{
	struct path path;
	const char *parent;
	int failed = 0;
	size_t at = 0;

	while ((parent = next(order, &at))) {
		int ret = path_put(&path, 0, parent, order->name) ? remove_directory(path.text, &patience_us)
								  : -ENAMETOOLONG;

		if (ret < 0 && !failed)
			failed = prt_fail(err, -ret, "rmdir", path.text, NULL);
	}
	return failed;
}

int prt_cgroup_load_device_program(const void *instructions, uint32_t count, struct prt_error *err)
{
	union bpf_attr attr;
	long fd;

	__builtin_memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)instructions;
	attr.insn_cnt = count;
	attr.license = (uintptr_t)LICENSE;
	do {
		fd = sys_bpf(BPF_PROG_LOAD, &attr, sizeof attr);
	} while (fd == -EAGAIN || fd == -EINTR);
	return fd < 0 ? prt_fail(err, (int)-fd, "bpf(BPF_PROG_LOAD)", NULL, NULL) : (int)fd;
}

int prt_cgroup_attach_device_program(int cgroup, int program, struct prt_error *err)
{
	union bpf_attr attr;
	long ret;

	__builtin_memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup;
	attr.attach_bpf_fd = (uint32_t)program;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	ret = PRT_RETRY(sys_bpf(BPF_PROG_ATTACH, &attr, sizeof attr));
	return ret < 0 ? prt_fail(err, (int)-ret, "bpf(BPF_PROG_ATTACH)", NULL, NULL) : 0;
}
