/* prt_sys: the system calls, inline, without libc.
 *
 * Every function returns what the kernel returns: a negative errno on failure. So the same sources serve the freestanding
 * pyrt-init, a vfork child that shares its parent's memory (where libc's errno, locks and cancellation points must not be
 * touched, and setresuid(2) of libc would change every thread), and the extensions.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "prt_kernel.h"

#if defined(__x86_64__)
static inline long prt_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
static inline long prt_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#else
#error "pyrt knows the system call conventions of x86_64 and aarch64"
#endif

#define PRT_SYS(nr, a, b, c, d, e, f)                                                                                  \
	prt_syscall6((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline int sys_close(int fd)
{
	return (int)PRT_SYS(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline int sys_openat(int dirfd, const char *path, int flags, unsigned mode)
{
	return (int)PRT_SYS(SYS_openat, dirfd, path, flags | O_CLOEXEC, mode, 0, 0);
}

static inline int sys_openat2(int dirfd, const char *path, const struct open_how *how)
{
	return (int)PRT_SYS(SYS_openat2, dirfd, path, how, sizeof *how, 0, 0);
}

static inline long sys_read(int fd, void *to, size_t size)
{
	return PRT_SYS(SYS_read, fd, to, size, 0, 0, 0);
}

static inline long sys_write(int fd, const void *from, size_t size)
{
	return PRT_SYS(SYS_write, fd, from, size, 0, 0, 0);
}

static inline int sys_mkdirat(int dirfd, const char *path, unsigned mode)
{
	return (int)PRT_SYS(SYS_mkdirat, dirfd, path, mode, 0, 0, 0);
}

static inline int sys_unlinkat(int dirfd, const char *path, int flags)
{
	return (int)PRT_SYS(SYS_unlinkat, dirfd, path, flags, 0, 0, 0);
}

static inline int sys_symlinkat(const char *target, int dirfd, const char *path)
{
	return (int)PRT_SYS(SYS_symlinkat, target, dirfd, path, 0, 0, 0);
}

static inline long sys_readlinkat(int dirfd, const char *path, char *to, size_t size)
{
	return PRT_SYS(SYS_readlinkat, dirfd, path, to, size, 0, 0);
}

static inline int sys_mknodat(int dirfd, const char *path, unsigned mode, unsigned dev)
{
	return (int)PRT_SYS(SYS_mknodat, dirfd, path, mode, dev, 0, 0);
}

static inline int sys_fchownat(int dirfd, const char *path, unsigned uid, unsigned gid, int flags)
{
	return (int)PRT_SYS(SYS_fchownat, dirfd, path, uid, gid, flags, 0);
}

static inline int sys_fchmod(int fd, unsigned mode)
{
	return (int)PRT_SYS(SYS_fchmod, fd, mode, 0, 0, 0, 0);
}

static inline int sys_dup3(int fd, int to, int flags)
{
	return (int)PRT_SYS(SYS_dup3, fd, to, flags, 0, 0, 0);
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
	return (int)PRT_SYS(SYS_fcntl, fd, cmd, arg, 0, 0, 0);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)PRT_SYS(SYS_close_range, first, last, flags, 0, 0, 0);
}

static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)PRT_SYS(SYS_ioctl, fd, request, arg, 0, 0, 0);
}

static inline int sys_fchdir(int fd)
{
	return (int)PRT_SYS(SYS_fchdir, fd, 0, 0, 0, 0, 0);
}

static inline int sys_chdir(const char *path)
{
	return (int)PRT_SYS(SYS_chdir, path, 0, 0, 0, 0, 0);
}

static inline long sys_getcwd(char *to, size_t size)
{
	return PRT_SYS(SYS_getcwd, to, size, 0, 0, 0, 0);
}

static inline int sys_unshare(int flags)
{
	return (int)PRT_SYS(SYS_unshare, flags, 0, 0, 0, 0, 0);
}

static inline int sys_setns(int fd, int nstype)
{
	return (int)PRT_SYS(SYS_setns, fd, nstype, 0, 0, 0, 0);
}

/* Become root of the user namespace just entered. Of this thread alone: libc would change every thread of the process.
 * EPERM: setgroups is denied there, and so there is nothing to give up. */
static inline int sys_become_root(void)
{
	int ret = (int)PRT_SYS(SYS_setgroups, 0, NULL, 0, 0, 0, 0);

	if (ret >= 0 || ret == -EPERM)
		ret = (int)PRT_SYS(SYS_setresgid, 0, 0, 0, 0, 0, 0);
	return ret < 0 ? ret : (int)PRT_SYS(SYS_setresuid, 0, 0, 0, 0, 0, 0);
}

static inline int sys_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	return (int)PRT_SYS(SYS_prctl, option, a, b, c, d, 0);
}

static inline int sys_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return (int)PRT_SYS(SYS_execveat, dirfd, path, argv, envp, flags, 0);
}

static inline _Noreturn void sys_exit(int status)
{
	for (;;)
		(void)PRT_SYS(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static inline long sys_pread(int fd, void *to, size_t size, int64_t offset)
{
	return PRT_SYS(SYS_pread64, fd, to, size, offset, 0, 0);
}

struct stat;
struct timespec;

static inline int sys_fstat(int fd, struct stat *st)
{
	return (int)PRT_SYS(SYS_fstat, fd, st, 0, 0, 0, 0);
}

static inline int sys_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return (int)PRT_SYS(SYS_newfstatat, dirfd, path, st, flags, 0, 0);
}

static inline int sys_linkat(int from, const char *name, int dirfd, const char *path, int flags)
{
	return (int)PRT_SYS(SYS_linkat, from, name, dirfd, path, flags, 0);
}

/* Times of access and modification; a NULL path: of the descriptor. */
static inline int sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
	return (int)PRT_SYS(SYS_utimensat, dirfd, path, times, flags, 0, 0);
}

static inline int sys_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	return (int)PRT_SYS(SYS_fsetxattr, fd, name, value, size, flags, 0);
}

static inline int sys_lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	return (int)PRT_SYS(SYS_lsetxattr, path, name, value, size, flags, 0);
}

static inline int sys_ftruncate(int fd, int64_t size)
{
	return (int)PRT_SYS(SYS_ftruncate, fd, size, 0, 0, 0, 0);
}

static inline long sys_pwrite(int fd, const void *from, size_t size, int64_t offset)
{
	return PRT_SYS(SYS_pwrite64, fd, from, size, offset, 0, 0);
}

static inline long sys_getdents64(int fd, void *to, size_t size)
{
	return PRT_SYS(SYS_getdents64, fd, to, size, 0, 0, 0);
}

static inline long sys_bpf(int command, void *attr, size_t size)
{
	return PRT_SYS(SYS_bpf, command, attr, size, 0, 0, 0);
}

/* Sleep this long, or until a signal. */
static inline void sys_sleep_us(unsigned us)
{
	int64_t time[2] = {us / 1000000, (int64_t)(us % 1000000) * 1000};

	(void)PRT_SYS(SYS_nanosleep, time, 0, 0, 0, 0, 0);
}
