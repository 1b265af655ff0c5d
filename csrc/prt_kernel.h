/* prt_kernel: what older kernel headers lack. Values are the kernel's own, stable by its ABI. */
#pragma once

#include <linux/mount.h>
#include <sys/syscall.h>

#ifndef FSOPEN_CLOEXEC
#error "linux/mount.h of Linux 5.2 or newer is needed to build pyrt"
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
