"""Docker's default seccomp profile, and Docker's form of profiles.

Docker's form is the OCI document with conditions on whole rules: `includes` and `excludes` of capabilities,
architectures and a kernel version, and an `archMap` in place of architectures. `oci_document` resolves them for one
container and one machine. The default is deny with EPERM; what it allows is the tables below.
Source of the facts: seccomp/default.json of moby/profiles, as of June 2026; calls of machines that pyrt does not run on
are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyrt.errors import InvalidSpec
from pyrt.runtime.seccomp.document import Shape, read_rule
from pyrt.runtime.seccomp.syscalls import FAMILIES

__all__ = ["default_profile", "oci_document"]

_MACHINES: Mapping[str, str] = {"x86_64": "amd64", "i686": "x86", "aarch64": "arm64", "armv7l": "arm"}
_CLONE_NEW = 0x7E020000  # every CLONE_NEW* but CLONE_NEWTIME, which clone cannot carry


def oci_document(
    profile: bytes | None, *, capabilities: frozenset[str], kernel: tuple[int, int], machine: str
) -> bytes:
    """Return the OCI document of a profile in either form; None is the default profile.

    `capabilities` is the container's bounding set, `kernel` (major, minor), `machine` uname's word. Raises InvalidSpec.
    """
    shape = Shape.of(default_profile(), "seccomp") if profile is None else Shape.parse(profile, "seccomp")
    document = {key: value for key, value in shape.value.items() if key not in ("archMap", "syscalls")}
    if shape.value.get("archMap"):
        if shape.value.get("architectures"):
            raise InvalidSpec("cannot stand beside architectures; keep one of the two", argument="seccomp.archMap")
        document["architectures"] = _architectures(shape, FAMILIES.get(machine, (machine,))[0])
    rules = [(_rule(entry), _applies(entry, capabilities, kernel, machine)) for entry in shape.objects("syscalls")]
    document["syscalls"] = [rule for rule, applies in rules if applies]
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def default_profile() -> dict[str, Any]:
    """Return the default profile in Docker's form."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": each[0], "subArchitectures": list(each[1:])} for each in FAMILIES.values()],
        "syscalls": list(_default_rules()),
    }


def _default_rules() -> Iterator[dict[str, Any]]:
    yield _allow(ALWAYS)
    yield _allow("ptrace process_vm_readv process_vm_writev", includes={"minKernel": "4.8"})
    for op, family in (("LT", 38), ("EQ", 39), ("GT", 40)):  # neither AF_ALG (38) nor AF_VSOCK (40)
        yield _allow("socket", args=[{"index": 0, "value": family, "op": f"SCMP_CMP_{op}"}])
    for persona in (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF):
        yield _allow("personality", args=[{"index": 0, "value": persona, "op": "SCMP_CMP_EQ"}])
    for machines, names in BY_MACHINE.items():
        yield _allow(names, includes={"arches": machines.split()})
    for capability, names in BY_CAPABILITY.items():
        yield _allow(names, includes={"caps": [capability]})
    without_admin = {"caps": ["CAP_SYS_ADMIN"]}
    no_namespaces = {"index": 0, "value": _CLONE_NEW, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    yield _allow("clone", args=[no_namespaces], excludes=without_admin)
    # clone3's flags are in memory, out of a filter's sight; with ENOSYS the C libraries go back to clone
    yield {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": without_admin}


def _allow(names: str, **more: Any) -> dict[str, Any]:
    return {"names": names.split(), "action": "SCMP_ACT_ALLOW", **more}


def _architectures(profile: Shape, native: str) -> list[str]:
    for entry in profile.objects("archMap"):
        if entry.text("architecture") == native:
            return [native, *entry.names("subArchitectures")]
    return []


def _rule(entry: Shape) -> dict[str, Any]:
    rule = {
        key: entry.value[key] for key in ("names", "action", "errnoRet", "args") if entry.value.get(key) is not None
    }
    if entry.value.get("name"):
        if entry.names("names"):
            raise InvalidSpec("cannot stand beside names; keep one of the two", argument=f"{entry.place}.name")
        rule["names"] = [entry.text("name")]
    read_rule(Shape(rule, entry.place))  # here, where the place in the caller's own document is known
    return rule


def _applies(entry: Shape, capabilities: frozenset[str], kernel: tuple[int, int], machine: str) -> bool:
    word = _MACHINES.get(machine, machine)
    excludes = Shape.of(entry.value.get("excludes") or {}, f"{entry.place}.excludes")
    includes = Shape.of(entry.value.get("includes") or {}, f"{entry.place}.includes")
    since, until = _minimum(includes), _minimum(excludes)
    excluded = (
        word in excludes.names("arches")
        or not capabilities.isdisjoint(excludes.names("caps"))
        or (until is not None and kernel >= until)
    )
    included = (
        (not includes.names("arches") or word in includes.names("arches"))
        and capabilities.issuperset(includes.names("caps"))
        and (since is None or kernel >= since)
    )
    return included and not excluded


def _minimum(condition: Shape) -> tuple[int, int] | None:
    text = condition.text("minKernel", "")
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    if match is None:
        raise InvalidSpec(f"{text!r} is not of the form 4.8", argument=f"{condition.place}.minKernel")
    return int(match[1]), int(match[2])


ALWAYS = """
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32
geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt
gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64
madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6
pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir
rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address
setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn
socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range
syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64
utimes vfork vmsplice wait4 waitid waitpid write writev
"""

BY_MACHINE: Mapping[str, str] = {
    "arm arm64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "amd64 x32": "arch_prctl",
    "amd64 x32 x86": "modify_ldt",
}

BY_CAPABILITY: Mapping[str, str] = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": """
bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
sethostname setns syslog umount umount2 unshare
""",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}
