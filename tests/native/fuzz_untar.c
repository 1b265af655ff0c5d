/* libFuzzer's target for prt_untar: any bytes, in pieces of any size, unpacked on a tmpfs.
 *
 * The first 4 bytes of an input seed the sizes of the pieces and choose the flags. Checksums of headers are made right, for
 * no mutation would be. Every input is unpacked twice, cut differently: the outcome must be the same, and what stands
 * beside the root untouched.
 */
#include <fcntl.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prt_untar.h"

#define BLOCK 512
#define MAX_SIZE (1 << 16)

struct outcome {
	int ret;
	struct prt_untar_counts counts;
	struct prt_error err;
	size_t events;
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char scratch[] = "/dev/shm/pyrt-fuzz-XXXXXX";
static int outside = -1;

static void check(int is_true, const char *what)
{
	if (is_true)
		return;
	perror(what);
	abort();
}

static void remove_scratch(void)
{
	char *paths[] = {scratch, NULL};
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

	for (FTSENT *entry = walk ? fts_read(walk) : NULL; entry; entry = fts_read(walk)) {
		if (entry->fts_info == FTS_D)
			(void)chmod(entry->fts_accpath, 0700);
		else
			(void)remove(entry->fts_accpath);
	}
	if (walk)
		(void)fts_close(walk);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	check(mkdtemp(scratch) != NULL, "mkdtemp");
	check(atexit(remove_scratch) == 0, "atexit");
	outside = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(outside >= 0 && mkdirat(outside, "outside", 0755) == 0, "mkdir");
	int fd = openat(outside, "outside/witness", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	check(fd >= 0 && close(fd) == 0, "witness");
	return 0;
}

static void empty(int fd)
{
	char path[64];
	char *paths[] = {path, NULL};

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/.", fd);
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	check(walk != NULL, "fts_open");
	for (FTSENT *entry = fts_read(walk); entry; entry = fts_read(walk)) {
		if (entry->fts_info == FTS_D)
			(void)chmod(entry->fts_accpath, 0700);
		else if (entry->fts_level > 0)
			(void)remove(entry->fts_accpath);
	}
	check(fts_close(walk) == 0, "fts_close");
}

static void right_checksums(uint8_t *data, size_t size)
{
	for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
		uint8_t *block = data + at;
		unsigned sum = 0;
		if (memcmp(block + 257, "ustar", 5) != 0)
			continue;
		memset(block + 148, ' ', 8);
		for (size_t i = 0; i < BLOCK; i++)
			sum += block[i];
		(void)snprintf((char *)block + 148, 8, "%06o", sum & 0777777);
	}
}

static void finish(struct prt_untar *untar, struct outcome *outcome)
{
	struct prt_untar_event event;

	do {
		outcome->ret = prt_untar_finish(untar, &event, &outcome->err);
		if (outcome->ret == PRT_UNTAR_EVENT)
			outcome->events += 1 + strlen(event.path) + strlen(event.target);
	} while (outcome->ret >= 0 && outcome->ret != PRT_UNTAR_DONE);
}

static struct outcome unpack(const uint8_t *data, size_t size, uint32_t seed, unsigned flags)
{
	const struct prt_untar_limits limits = {1 << 22, 256, 1 << 15, 1 << 20};
	struct outcome outcome = {0};
	int root;

	check(mkdirat(outside, "root", 0755) == 0, "mkdir");
	root = openat(outside, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct prt_untar *untar = prt_untar_new(root, flags, &limits, &outcome.err);
	check(untar != NULL, "prt_untar_new");
	while (size > 0 && outcome.ret >= 0) {
		seed = seed * 1664525 + 1013904223;
		size_t n = seed >> 30 ? (seed >> 8) % 2048 : (seed >> 8) % 16;
		n = n < size ? n : size;
		/* A buffer of its own, so that a byte too far is seen. */
		uint8_t *piece = malloc(n ? n : 1);
		check(piece != NULL, "malloc");
		memcpy(piece, data, n);
		outcome.ret = prt_untar_feed(untar, piece, n, &outcome.err);
		free(piece);
		data += n;
		size -= n;
	}
	if (outcome.ret >= 0)
		finish(untar, &outcome);
	outcome.counts = *prt_untar_counted(untar);
	prt_untar_free(untar);
	empty(root);
	check(close(root) == 0 && unlinkat(outside, "root", AT_REMOVEDIR) == 0, "rmdir");
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t archive[MAX_SIZE];
	struct stat before, after;
	uint32_t seed;

	if (size < 4 || size > MAX_SIZE)
		return 0;
	memcpy(&seed, data, 4);
	memcpy(archive, data + 4, size - 4);
	right_checksums(archive, size - 4);
	check(fstatat(outside, "outside/witness", &before, 0) == 0, "stat");
	struct outcome one = unpack(archive, size - 4, seed, seed & 3);
	struct outcome two = unpack(archive, size - 4, ~seed, seed & 3);
	check(fstatat(outside, "outside/witness", &after, 0) == 0, "stat");
	check(memcmp(&before, &after, sizeof before) == 0, "what is outside was touched");
	check(memcmp(&one, &two, sizeof one) == 0, "the cut changes the outcome");
	return 0;
}
