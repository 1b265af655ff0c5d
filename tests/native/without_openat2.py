"""Runs a command on a kernel that seems to lack openat2(2): a seccomp filter, made with pyrt's own assembler, says so.

python -m tests.native.without_openat2 COMMAND…
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

from pyrt.runtime.seccomp.bpf import JEQ, Assembler

__all__ = ["SYS_OPENAT2", "forbid", "main"]

SYS_OPENAT2 = 437
PR_SET_NO_NEW_PRIVS = 38
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
SET_MODE_FILTER, ALLOW, ERRNO = 1, 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid(number: int) -> None:
    """Let a system call fail with ENOSYS in this thread and all that comes of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    assembler = Assembler()
    absent = assembler.give(ERRNO | errno.ENOSYS)
    code = assembler.finish(assembler.load(0, assembler.branch(JEQ, number, absent, assembler.give(ALLOW))))
    program = Program(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(
        SYS_SECCOMP[platform.machine()], SET_MODE_FILTER, 0, ctypes.byref(program)
    ):
        raise OSError(ctypes.get_errno(), "the filter was not taken")


def main() -> None:
    """Install the filter and become the command."""
    forbid(SYS_OPENAT2)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
