"""The end of a child, known by its pidfd."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct

from pyrt.errors import Unavailable

__all__ = ["killed", "reap", "wait_readable"]

WALL = 0x40000000
PIDFD_GET_INFO = 0xC040FF0B  # Linux 6.15 answers it also after the reaping
INFO_EXIT = 8
INFO = struct.Struct("=Q52xi")


def wait_readable(fd: int, timeout: float | None) -> bool:
    """Wait until a descriptor is readable; say whether it became so in `timeout` seconds (None: no limit)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0, timeout * 1000)))


def reap(pidfd: int) -> int | None:
    """Give the return code of a child (-N: ended by signal N) and reap it; None while it runs.

    Where the host program has reaped it behind our back (waitpid(-1), SIGCHLD ignored), the kernel is asked through the
    pidfd. Raises Unavailable where it is too old to tell.
    """
    if not wait_readable(pidfd, 0):
        return None
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | WALL)
    except ChildProcessError:
        return exit_info(pidfd)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def exit_info(pidfd: int) -> int:
    """Ask the kernel how a reaped process ended."""
    answer = bytearray(64)
    INFO.pack_into(answer, 0, INFO_EXIT, 0)
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, answer)
    except OSError as error:
        answer[0] = 0
        cause: OSError | None = error
    else:
        cause = None
    mask, status = INFO.unpack_from(answer)
    if not mask & INFO_EXIT:
        raise Unavailable(
            "the exit status of a container is lost: this program waits for children that are not its own "
            "(waitpid(-1), or SIGCHLD ignored), and only Linux 6.15 keeps the status then"
        ) from cause
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def killed(code: int) -> bool:
    """Say whether a return code is that of SIGKILL, seen directly or through an init that reports it."""
    return code in (-signal.SIGKILL, 128 + signal.SIGKILL)
