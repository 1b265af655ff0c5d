"""The kernel: its system calls, and programs in memory files.

A call is tried with arguments that cannot succeed, so that nothing happens: whoever knows it says EINVAL or EBADF.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator

from pyrt._native.spawn import spawn
from pyrt._native.syscalls import refusal
from pyrt.cli.checks.check import Check, limited, missing, ok
from pyrt.errors import PyrtError
from pyrt.runtime.program import open_program
from pyrt.runtime.wait import reap, wait_readable

__all__ = ["examine", "start", "system_call"]

# The number (the same on every architecture since Linux 5.0), the arguments, the kernel that brought it.
CALLS: dict[str, tuple[int, tuple[int, ...], str]] = {
    "clone3": (435, (0, 0), "5.3"),
    "pidfd_open": (434, (-1, 0), "5.3"),
    "close_range": (436, (1, 0, 0), "5.9"),
    "openat2": (437, (-1, 0, 0, 0), "5.6"),
    "open_tree": (428, (-1, 0, -1), "5.2"),
    "move_mount": (429, (-1, 0, -1, 0, -1), "5.2"),
    "fsopen": (430, (0, -1), "5.2"),
    "mount_setattr": (442, (-1, 0, -1, 0, 0), "5.12"),
}
WITHOUT = {"openat2": "paths are resolved step by step instead, which is slower"}
MOUNTING = frozenset({"open_tree", "move_mount", "fsopen", "mount_setattr"})  # EPERM: not outside of a user namespace


def examine() -> Iterator[Check]:
    """Give the release, each system call, and whether pyrt-init can be executed from memory."""
    system = os.uname()
    yield ok("kernel", f"{system.sysname} {system.release} on {system.machine}")
    for name in CALLS:
        number, arguments, _ = CALLS[name]
        yield system_call(name, refusal(number, *arguments))
    yield _memory_file()


def start(program: int, namespaces: int = 0, userns: int = -1) -> None:
    """Execute pyrt-init, without anything to do, in new namespaces. Raises SyscallError."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        _, pidfd = spawn(program, (b"pyrt-init",), (null, null, null), namespaces, userns=userns)
    finally:
        os.close(null)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_readable(pidfd, None)
        reap(pidfd)
    finally:
        os.close(pidfd)


def system_call(name: str, found: int) -> Check:
    """Say what the errno of a call that was tried in vain tells."""
    title, since = f"system call {name}", CALLS[name][2]
    if found == errno.ENOSYS:
        mend = f"a kernel since {since}; where it is newer, let the seccomp filter around this process pass {name}"
        if name in WITHOUT:
            return limited(title, f"the kernel does not have it: {WITHOUT[name]}", mend)
        return missing(title, "the kernel does not have it", mend)
    if found == errno.EPERM and name not in MOUNTING:
        return missing(title, "it is refused", f"let the seccomp filter around this process pass {name}")
    return ok(title)


def _memory_file() -> Check:
    title = "programs in memory files"
    mend = "sysctl vm.memfd_noexec=0"
    try:
        program = open_program()
    except PyrtError as error:
        return missing(title, str(error), mend)
    try:
        start(program)
    except PyrtError as error:
        return missing(title, str(error), mend)
    finally:
        os.close(program)
    return ok(title, "pyrt-init can be executed from one")
