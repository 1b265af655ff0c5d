/* prt_util: ownership by scope, for descriptors and heap blocks, and a few loops.
 *
 * A `cleanup_fd int fd = -1` is closed where its scope ends, unless steal_fd() handed it out.
 */
#pragma once

#include "prt_sys.h"

#define PRT_COUNT(array) (sizeof(array) / sizeof *(array))

static inline void prt_cleanup_fd(int *fd)
{
	if (*fd >= 0)
		(void)sys_close(*fd);
}

#define cleanup_fd __attribute__((cleanup(prt_cleanup_fd)))

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* Evaluate a call again for as long as a signal interrupts it. */
#define PRT_RETRY(call)                                                                                                \
	({                                                                                                             \
		long prt_ret_;                                                                                         \
		do {                                                                                                   \
			prt_ret_ = (long)(call);                                                                       \
		} while (prt_ret_ == -EINTR);                                                                          \
		prt_ret_;                                                                                              \
	})
