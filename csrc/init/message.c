/* What goes to the host program with a descriptor. */
#include "init.h"

#include <sys/socket.h>
#include <sys/uio.h>

long send_fd(int fd, const void *bytes, size_t size)
{
	struct iovec data = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

	*(int *)(void *)CMSG_DATA(&control.header) = fd;
	return PRT_SYS(SYS_sendmsg, PRT_FD_CONTROL, &message, MSG_NOSIGNAL, 0, 0, 0);
}
