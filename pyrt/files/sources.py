"""Where a container's files are: the root of a process that runs, or the layers of a container that has ended.

Takes a process, or directories; gives a Root, to be closed. A running container's files are also what is mounted in it,
proc and all; one that has ended has its image and what was written.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Sequence

from pyrt.errors import SyscallError, WrongState
from pyrt.layer import LocalRoot, Root

__all__ = ["process_root", "stopped_root"]

_GONE = frozenset({errno.ENOENT, errno.ESRCH})


def process_root(pid: int, pidfd: int) -> Root:
    """Give the files of the container whose first process this is: with that one's ids where it has its own.

    Raises WrongState where it has ended, SyscallError where the caller may not look into it.
    """
    try:
        process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY)
        try:
            root = os.open("root", os.O_PATH | os.O_DIRECTORY, dir_fd=process)
            namespace = _own_namespace(process)
        finally:
            os.close(process)
    except OSError as e:
        if e.errno in _GONE:
            raise _ended(pid) from e
        raise SyscallError(e.errno or errno.EIO, "open", f"/proc/{pid}/root") from e
    waiter = select.poll()
    waiter.register(pidfd, select.POLLIN)
    if waiter.poll(0):  # what was opened may be another's, who has the number now
        os.close(root)
        if namespace is not None:
            os.close(namespace)
        raise _ended(pid)
    if namespace is None:
        return LocalRoot(root)
    from pyrt.layer import joined

    try:
        return joined(namespace, root)
    finally:
        os.close(namespace)


def stopped_root(
    upper: str,
    work: str,
    lowers: Sequence[str],
    user_namespace: int | None = None,
    *,
    on_close: Callable[[], None] = lambda: None,
) -> Root:
    """Give the files of a container that has ended; nobody may start it, or open it so, before `on_close` is called.

    What is written goes to `upper`, as the kernel's overlay writes it. Raises Unsupported where there is no overlay.
    """
    from pyrt.layer import overlaid

    return overlaid(user_namespace, upper, work, lowers, on_close=on_close)


def _own_namespace(process: int) -> int | None:
    """Open the user namespace of a process, a directory of proc, if it is not ours."""
    namespace = os.open("ns/user", os.O_RDONLY, dir_fd=process)
    if os.path.samestat(os.fstat(namespace), os.stat("/proc/self/ns/user")):
        os.close(namespace)
        return None
    return namespace


def _ended(pid: int) -> WrongState:
    return WrongState(f"the container of process {pid} has ended", have="exited", want="running")
