#include "prt_error.h"

#include <stddef.h>

static void copy_text(char *to, size_t size, const char *from)
{
	size_t i = 0;

	for (; from && from[i] && i + 1 < size; i++)
		to[i] = from[i];
	for (; i < size; i++)
		to[i] = 0;
}

int prt_fail(struct prt_error *err, int code, const char *op, const char *path, const char *msg)
{
	err->code = code;
	err->step = 0;
	copy_text(err->op, sizeof err->op, op);
	copy_text(err->path, sizeof err->path, path);
	copy_text(err->msg, sizeof err->msg, msg);
	return -1;
}
