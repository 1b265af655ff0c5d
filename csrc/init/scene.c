#include "init.h"

#include <asm/termbits.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/keyctl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "../prt_mount.h"
#include "../prt_path.h"

/* asm/ioctls.h, which sys/ioctl.h would bring with libc's own definitions of the rest */
#define IOCTL_SCTTY 0x540E
#define IOCTL_SWINSZ 0x5414
#define IOCTL_SPTLCK 0x40045431UL
#define IOCTL_GPTPEER 0x5441

int do_setsid(struct init *init, struct prt_error *err)
{
	(void)init;
	if (check(PRT_SYS(SYS_setsid, 0, 0, 0, 0, 0, 0), "setsid", NULL, err) < 0)
		return -1;
	/* Else the host program's session keyring came with us. ENOSYS, EPERM: no keys here, for whatever runs in us either. */
	long ret = PRT_SYS(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0, 0);
	return ret == -ENOSYS || ret == -EPERM ? 0 : check(ret, "keyctl", "a session keyring", err);
}

/* Give the master end away: what runs here must not hold it. */
static int send_master(int master, struct prt_error *err)
{
	char byte = PRT_MESSAGE_TTY;

	return check(send_fd(master, &byte, 1), "sendmsg", "terminal", err);
}

/* Show the terminal as /dev/console too, where programs look for it. */
static int show_console(struct init *init, int slave, struct prt_error *err)
{
	cleanup_fd int target = prt_path_mkfile(init->root, "/dev/console", 0600, err);
	cleanup_fd int tree = target < 0 ? -1 : prt_mount_clone(slave, "", 0, err);

	return tree < 0 ? -1 : prt_mount_attach(tree, target, "/dev/console", err);
}

int do_tty(struct init *init, struct prt_error *err)
{
	const struct prt_op *op = init->op;
	unsigned short size[4] = {(unsigned short)op->a, (unsigned short)op->b, 0, 0};
	int unlocked = 0;
	cleanup_fd int master = prt_path_open(init->root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW, 0, 0, err);

	if (master < 0)
		return -1;
	if (check(sys_ioctl(master, IOCTL_SPTLCK, &unlocked), "ioctl", "TIOCSPTLCK", err) < 0)
		return -1;
	cleanup_fd int slave = (int)PRT_SYS(SYS_ioctl, master, IOCTL_GPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0, 0);
	if (slave < 0)
		return check(slave, "ioctl", "TIOCGPTPEER", err);
	if (check(sys_ioctl(slave, IOCTL_SWINSZ, size), "ioctl", "TIOCSWINSZ", err) < 0)
		return -1;
	if (check(sys_fchownat(slave, "", (unsigned)op->c, (unsigned)-1, AT_EMPTY_PATH), "chown", "terminal", err) < 0)
		return -1;
	if (op->flags & PRT_AS_CONSOLE && show_console(init, slave, err) < 0)
		return -1;
	if (send_master(master, err) < 0)
		return -1;
	if (check(PRT_SYS(SYS_ioctl, slave, IOCTL_SCTTY, 0, 0, 0, 0), "ioctl", "TIOCSCTTY", err) < 0)
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (check(sys_dup3(slave, fd, 0), "dup3", "terminal", err) < 0)
			return -1;
	return 0;
}

int do_hostname(struct init *init, struct prt_error *err)
{
	const char *name = op_path(init);

	return check(PRT_SYS(SYS_sethostname, name, length(name), 0, 0, 0, 0), "sethostname", name, err);
}

int do_domainname(struct init *init, struct prt_error *err)
{
	const char *name = op_path(init);

	return check(PRT_SYS(SYS_setdomainname, name, length(name), 0, 0, 0, 0), "setdomainname", name, err);
}

int do_loopback(struct init *init, struct prt_error *err)
{
	struct ifreq request = {.ifr_name = "lo"};
	cleanup_fd int fd = (int)PRT_SYS(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);

	(void)init;
	if (fd < 0)
		return check(fd, "socket", "AF_INET", err);
	request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	return check(sys_ioctl(fd, SIOCSIFFLAGS, &request), "ioctl", "SIOCSIFFLAGS lo", err);
}

/* A monitor is one thread, so its end is the parent's (prctl(2)). The program can undo this; then who looks next ends it. */
static int end_with_parent(struct prt_error *err)
{
	char more;

	if (check(sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG", err) < 0)
		return -1;
	if (PRT_SYS(SYS_recvfrom, PRT_FD_CONTROL, &more, 1, MSG_DONTWAIT | MSG_PEEK, NULL, 0) != -EAGAIN)
		return prt_fail(err, EOWNERDEAD, "go", NULL, "the monitor is gone");
	return 0;
}

/* Nobody would end us if the host program died before its keeper knows us: then this reads the end of file. */
int do_go(struct init *init, struct prt_error *err)
{
	char go;
	long n = PRT_RETRY(sys_read(PRT_FD_CONTROL, &go, 1));

	(void)init;
	if (n == 1 && go == PRT_GO_MONITORED)
		return end_with_parent(err);
	if (n == 1)
		return 0;
	return prt_fail(err, n < 0 ? (int)-n : EOWNERDEAD, "go", NULL, "the host program is gone");
}
