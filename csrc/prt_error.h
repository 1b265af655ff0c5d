/* prt_error: why a C function failed, in 512 flat bytes.
 *
 * The same struct goes from C function to C function, from child to parent in one write on a pipe or socket, and from C to
 * Python; nobody owns anything in it. It is the last parameter of every fallible function, filled only on failure, and
 * the first failure wins: a caller passes it on as it is.
 */
#pragma once

#include <stdint.h>

struct prt_error {
	int32_t code;   /* errno, always positive */
	int32_t step;   /* index of the failed operation of a plan, from 1; 0: none */
	char op[24];    /* system call or operation */
	char path[256]; /* its object, cut to fit */
	char msg[224];  /* what errno does not say; may be empty */
};

_Static_assert(sizeof(struct prt_error) == 512, "the error crosses process borders by this layout");

/* Fill *err and return -1. Strings may be NULL; longer ones are cut. */
int prt_fail(struct prt_error *err, int code, const char *op, const char *path, const char *msg);
