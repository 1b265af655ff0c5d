/* prt_names: the names in directories, sorted. */
#pragma once

#include <stddef.h>

#include "prt_error.h"

struct prt_names {
	char *text; /* one after the other, each with its zero byte */
	const char **sorted;
	size_t size, room, count;
};

/* Add the names of a directory, but `.` and `..`; the descriptor may be O_PATH. */
int prt_names_read(struct prt_names *self, int directory, struct prt_error *err);

/* Sort them by bytes, each once. No more can be read then. */
int prt_names_sort(struct prt_names *self, struct prt_error *err);

void prt_names_close(struct prt_names *self);
