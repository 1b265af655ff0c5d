"""System calls that Python lacks and that no hot path makes, by cffi."""

from __future__ import annotations

import errno
import os

from pyrt._native import _syscalls
from pyrt.errors import SyscallError

__all__ = [
    "exchange",
    "inotify",
    "inotify_add_watch",
    "join_user_namespace",
    "landlock_abi_version",
    "mount",
    "refusal",
    "set_undumpable",
    "unshare_mounts",
]

SYS_LANDLOCK_CREATE_RULESET = 444  # the same number on all architectures
LANDLOCK_CREATE_RULESET_VERSION = 1
CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
MS_RDONLY, MS_REC, MS_PRIVATE = 1, 1 << 14, 1 << 18
PR_SET_DUMPABLE = 4
AT_FDCWD = -100
RENAME_EXCHANGE = 2


def join_user_namespace(namespace: int) -> None:
    """Move this process, of one thread, to a user namespace, with all capabilities there. Raises SyscallError."""
    _call("setns", _syscalls.lib.SYS_setns, namespace, CLONE_NEWUSER)


def unshare_mounts() -> None:
    """Give this thread mounts of its own, from which nothing reaches those of others. Raises SyscallError.

    Its directory and its root are then in there; descriptors that it has are not.
    """
    _call("unshare", _syscalls.lib.SYS_unshare, CLONE_NEWNS)
    mount("", "/", "", MS_REC | MS_PRIVATE)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Make or change a mount (mount(2)); options are a page at most. Raises SyscallError."""
    ffi = _syscalls.ffi
    source_, target_, kind_, options_ = (
        ffi.new("char[]", os.fsencode(text)) for text in (source, target, kind, options)
    )
    pointers = [int(ffi.cast("uintptr_t", text)) for text in (source_, target_, kind_, options_)]
    _call("mount", _syscalls.lib.SYS_mount, *pointers[:3], flags, pointers[3])


def exchange(first: str, second: str) -> None:
    """Swap what two names stand for, at once (RENAME_EXCHANGE of rename(2)). Raises SyscallError, EINVAL on file
    systems that cannot.
    """
    names = [_syscalls.ffi.new("char[]", os.fsencode(name)) for name in (first, second)]
    pointers = [int(_syscalls.ffi.cast("uintptr_t", name)) for name in names]
    number = _syscalls.lib.SYS_renameat2
    _call("renameat2", number, AT_FDCWD, pointers[0], AT_FDCWD, pointers[1], RENAME_EXCHANGE, filename=second)


def inotify() -> int:
    """Give a new descriptor that reports changes of files, non-blocking (inotify(7)). Raises SyscallError."""
    detail = "the limits are fs.inotify.max_user_instances and RLIMIT_NOFILE"
    return _call("inotify_init1", _syscalls.lib.SYS_inotify_init1, os.O_NONBLOCK | os.O_CLOEXEC, detail=detail)


def inotify_add_watch(descriptor: int, path: str, mask: int) -> None:
    """Have the changes in `mask` of a file or directory reported (inotify_add_watch(2)). Raises SyscallError."""
    name = _syscalls.ffi.new("char[]", os.fsencode(path))
    pointer = int(_syscalls.ffi.cast("uintptr_t", name))
    number, detail = _syscalls.lib.SYS_inotify_add_watch, "the limit is fs.inotify.max_user_watches"
    _call("inotify_add_watch", number, descriptor, pointer, mask, filename=path, detail=detail)


def set_undumpable() -> None:
    """Let nobody without the machine's CAP_SYS_PTRACE look into this process (PR_SET_DUMPABLE of prctl(2))."""
    _call("prctl", _syscalls.lib.SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)


def landlock_abi_version() -> int:
    """Give the version of the kernel's Landlock, 0 where it has none or it is switched off (landlock(7))."""
    ffi, lib = _syscalls.ffi, _syscalls.lib
    integers = (ffi.cast("size_t", 0), ffi.cast("unsigned", LANDLOCK_CREATE_RULESET_VERSION))
    version: int = lib.syscall(SYS_LANDLOCK_CREATE_RULESET, ffi.NULL, *integers)
    if version >= 0:
        return version
    if ffi.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
        return 0
    raise SyscallError(ffi.errno, "landlock_create_ruleset")


def refusal(number: int, *arguments: int) -> int:
    """Make a call with arguments that it has to refuse, and give its errno: ENOSYS where the kernel lacks the call."""
    ffi, lib = _syscalls.ffi, _syscalls.lib
    failed: int = lib.syscall(number, *(ffi.cast("long", argument) for argument in arguments))
    return ffi.errno if failed == -1 else 0


def _call(name: str, number: int, *arguments: int, filename: str | None = None, detail: str = "") -> int:
    ffi, lib = _syscalls.ffi, _syscalls.lib
    given: int = lib.syscall(number, *(ffi.cast("long", argument) for argument in arguments))
    if given < 0:
        detail = detail if ffi.errno in (errno.EMFILE, errno.ENOSPC) else ""
        raise SyscallError(ffi.errno, name, filename, detail=detail)
    return given
