/* The cgroups of containers that have ended, found by the names that their owner gave them. */
#include "init.h"

#include <errno.h>

#define TRIES 250
#define DEPTH 64 /* each level takes 4 KiB of the stack */

static int is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int begins_with(const char *name, const char *prefix)
{
	while (*prefix && *name == *prefix) {
		name++;
		prefix++;
	}
	return !*prefix;
}

struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

struct errand {
	const char *prefix; /* of the containers' cgroups */
	int depth;
	void (*act)(int dir, const char *name);
};

typedef void visitor(int dir, const char *name, const struct errand *errand);

static void each_directory(int dir, const char *prefix, visitor *visit, const struct errand *errand)
{
	char buffer[4096] __attribute__((aligned(8)));
	long n;

	(void)PRT_SYS(SYS_lseek, dir, 0, 0 /* SEEK_SET */, 0, 0, 0);
	while ((n = PRT_SYS(SYS_getdents64, dir, buffer, sizeof buffer, 0, 0, 0)) > 0) {
		for (long at = 0; at < n; at += ((const struct entry *)(const void *)(buffer + at))->size) {
			const struct entry *entry = (const void *)(buffer + at);
			if (entry->type == 4 /* DT_DIR */ && !is_dots(entry->name) && begins_with(entry->name, prefix))
				visit(dir, entry->name, errand);
		}
	}
}

static int open_directory(int dir, const char *name)
{
	return sys_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* All in it first, for a container may have made some. */
static void visit_cgroup(int dir, const char *name, const struct errand *errand)
{
	struct errand deeper = *errand;
	cleanup_fd int cgroup = open_directory(dir, name);

	if (cgroup >= 0 && deeper.depth-- > 0)
		each_directory(cgroup, "", visit_cgroup, &deeper);
	errand->act(dir, name);
}

static void visit_parent(int dir, const char *name, const struct errand *errand)
{
	cleanup_fd int parent = open_directory(dir, name);

	if (parent < 0)
		return;
	each_directory(parent, errand->prefix, visit_cgroup, errand);
	each_directory(parent, "armed", visit_parent, errand);
}

/* A process that v1's freezer holds does not die of a signal. Of the two files a hierarchy has one or none. */
static void thaw(int dir, const char *name)
{
	cleanup_fd int cgroup = sys_openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	cleanup_fd int state = cgroup < 0 ? -1 : sys_openat(cgroup, "freezer.state", O_WRONLY, 0);
	cleanup_fd int freeze = cgroup < 0 ? -1 : sys_openat(cgroup, "cgroup.freeze", O_WRONLY, 0);

	if (state >= 0)
		(void)sys_write(state, "THAWED", 6);
	if (freeze >= 0)
		(void)sys_write(freeze, "0", 1);
}

/* Dying tasks leave their cgroup a little after their parent could see them dead. */
static void remove(int dir, const char *name)
{
	for (int tries = 0; tries < TRIES; tries++) {
		int64_t pause[2] = {0, 2000000};
		if (sys_unlinkat(dir, name, 0x200 /* AT_REMOVEDIR */) != -EBUSY)
			break;
		(void)PRT_SYS(SYS_nanosleep, pause, NULL, 0, 0, 0, 0);
	}
}

static void visit_all(const int *bases, unsigned count, const char *parent, const struct errand *errand)
{
	for (unsigned i = 0; i < count; i++)
		each_directory(bases[i], parent, visit_parent, errand);
}

void cgroups_thaw(const int *bases, unsigned count, const char *prefix, const char *parent)
{
	struct errand errand = {.prefix = prefix, .depth = DEPTH, .act = thaw};

	visit_all(bases, count, parent, &errand);
}

void cgroups_remove(const int *bases, unsigned count, const char *prefix, const char *parent)
{
	struct errand errand = {.prefix = prefix, .depth = DEPTH, .act = remove};

	visit_all(bases, count, parent, &errand);
}
