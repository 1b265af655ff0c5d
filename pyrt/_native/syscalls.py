"""System calls that Python lacks and that no hot path makes, by cffi."""

from __future__ import annotations

import errno

from pyrt._native import _syscalls
from pyrt.errors import SyscallError

__all__ = ["join_user_namespace", "landlock_abi_version", "refusal", "set_undumpable"]

SYS_LANDLOCK_CREATE_RULESET = 444  # the same number on all architectures
LANDLOCK_CREATE_RULESET_VERSION = 1
CLONE_NEWUSER = 0x10000000
PR_SET_DUMPABLE = 4


def join_user_namespace(namespace: int) -> None:
    """Move this process, of one thread, to a user namespace, with all capabilities there. Raises SyscallError."""
    _call("setns", _syscalls.lib.SYS_setns, namespace, CLONE_NEWUSER)


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


def _call(name: str, number: int, *arguments: int) -> None:
    ffi, lib = _syscalls.ffi, _syscalls.lib
    if lib.syscall(number, *(ffi.cast("long", argument) for argument in arguments)) < 0:
        raise SyscallError(ffi.errno, name)
