"""The control socket between the host program and a starting pyrt-init.

Takes a socket whose other end is in the container; gives what came: the report of a start, and the terminal's master
end. End of file means that the program runs, for the exec closes the other end.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyrt._native.error import raise_packed
from pyrt.errors import Unavailable

__all__ = ["Controls", "Joined", "Started", "await_joined", "await_start"]

REPORT = struct.Struct("=3Q")
JOINED = struct.Struct("=Q")
ERROR_BYTES = 512
GO = b"g"


@dataclass(frozen=True, slots=True)
class Started:
    """When pyrt-init was where, on CLOCK_MONOTONIC, and the terminal, whose owner is the receiver."""

    entered_ns: int
    rooted_ns: int
    ready_ns: int
    terminal: int | None


@dataclass(frozen=True, slots=True)
class Joined:
    """The process that was made in a running container; who receives it owns the pidfd."""

    pid: int
    pidfd: int


class Controls:
    """Makes control sockets. A child that the host program forks meanwhile closes its copies of those in use.

    It would else keep the end of file from the host program for as long as it lives, and "go" from a container's end.
    """

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = lock = threading.RLock()  # no fork between the making of a socket and our knowing of it
        own = weakref.ref(self)

        def forget() -> None:
            lock.release()
            close_copies(own())

        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=forget)

    @contextmanager
    def pair(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """Give the host program's end and the container's, both closed at the end of the block."""
        with self._lock:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._open |= {ours, theirs}
        try:
            with ours, theirs:
                yield ours, theirs
        finally:
            with self._lock:
                self._open -= {ours, theirs}

    def close(self) -> None:
        """Close all that is open."""
        for each in self._open:
            each.close()
        self._open.clear()


def close_copies(controls: Controls | None) -> None:
    """Close what a forked child has inherited of an engine's sockets."""
    if controls is not None:
        controls.close()


def await_joined(control: socket.socket) -> Joined:
    """Wait until there is a process in the container, which goes no further before `await_start`.

    Raises SyscallError for what failed, Unavailable where pyrt-init was killed before it could say anything.
    """
    message, fds, _, _ = socket.recv_fds(control, ERROR_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
    if len(message) == JOINED.size and fds:
        (pid,) = JOINED.unpack(message)
        return Joined(pid, fds[0])
    for fd in fds:
        os.close(fd)
    if len(message) == ERROR_BYTES:
        raise_packed(message)
    raise Unavailable("the program was killed before it was in the container")


def await_start(control: socket.socket, what: str = "container") -> Started:
    """Let the container (or `what` else starts) go on and wait until its program runs.

    Raises SyscallError for a step that failed, Unavailable where pyrt-init was killed before it could say anything.
    """
    report: tuple[int, int, int] | None = None
    terminal: int | None = None
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has failed already, and says why below
            control.send(GO, socket.MSG_NOSIGNAL)
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(control, ERROR_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:  # said once, before what is there to read: it ended with GO unread
                continue
            if fds:
                terminal = fds[0]
            if len(message) == ERROR_BYTES:
                raise_packed(message)
            if len(message) == REPORT.size:
                report = REPORT.unpack(message)
            if not message:
                break
        if report is None:
            raise Unavailable(f"the {what} was killed while it started; was its memory limit too small to start in?")
    except BaseException:
        if terminal is not None:
            os.close(terminal)
        raise
    return Started(*report, terminal)
