#include "prt_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "prt_util.h"

#define BLOCK ((size_t)1 << 15)

static int add(struct prt_names *self, const char *name, struct prt_error *err)
{
	size_t size = strlen(name) + 1;

	if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
		return 0;
	if (self->size + size > self->room) {
		size_t room = self->room ? 2 * self->room : 1024;
		void *text = realloc(self->text, room);
		if (!text)
			return prt_fail(err, ENOMEM, "realloc", NULL, "names of a directory");
		self->text = text;
		self->room = room;
	}
	memcpy(self->text + self->size, name, size);
	self->size += size;
	self->count++;
	return 0;
}

int prt_names_read(struct prt_names *self, int directory, struct prt_error *err)
{
	cleanup_fd int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char block[BLOCK];
	ssize_t size;

	if (fd < 0)
		return prt_fail(err, errno, "open", NULL, "a directory to read");
	while ((size = getdents64(fd, block, sizeof block)) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct dirent64 *entry = (const void *)(block + at);
			if (add(self, entry->d_name, err) < 0)
				return -1;
			at += entry->d_reclen;
		}
	}
	return size < 0 ? prt_fail(err, errno, "getdents", NULL, "a directory to read") : 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int prt_names_sort(struct prt_names *self, struct prt_error *err)
{
	const char *name = self->text;
	size_t kept = 0;

	self->sorted = malloc((self->count + 1) * sizeof *self->sorted);
	if (!self->sorted)
		return prt_fail(err, ENOMEM, "malloc", NULL, "names of a directory");
	for (size_t i = 0; i < self->count; i++, name += strlen(name) + 1)
		self->sorted[i] = name;
	qsort(self->sorted, self->count, sizeof *self->sorted, compare);
	for (size_t i = 0; i < self->count; i++)
		if (kept == 0 || strcmp(self->sorted[kept - 1], self->sorted[i]) != 0)
			self->sorted[kept++] = self->sorted[i];
	self->count = kept;
	return 0;
}

void prt_names_close(struct prt_names *self)
{
	free(self->text);
	free(self->sorted);
	*self = (struct prt_names){0};
}
