"""The keeper: a small process that ends an engine's containers when the host program is gone (csrc/init/keeper.c).

Takes pidfds of containers, one slot each. A keeper that was killed is noticed at the next order and replaced by one
that knows all that runs; a forked child of the host program gets a keeper of its own at its first container.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress

from pyrt._native.spawn import spawn
from pyrt.errors import Unavailable
from pyrt.runtime.program import Program

__all__ = ["Keeper"]

ORDER = struct.Struct("=II")
DROP, ADD = 0, 1
SLOTS = 65536  # of csrc/init/keeper.c
RESERVED = 128  # descriptors of the keeper that are no containers' pidfds


class Keeper:
    """Holds the pidfds of running containers in a process that outlives this one by as long as it takes to kill them.

    `prefix` begins the names of this engine's cgroups, `top` those of the directories that they are in, which are in
    `bases`; the keeper thaws and removes them at the end.
    """

    def __init__(self, program: Program, prefix: str, top: str, bases: Sequence[str]) -> None:
        self._program = program
        self._prefix = prefix
        self._top = top
        self._bases = bases
        self._lock = threading.Lock()
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._socket: socket.socket | None = None
        self._pidfd = -1
        self._pid = os.getpid()

    def add(self, pidfd: int) -> int:
        """Entrust a container; the slot is for `drop`. Raises Unavailable where there are too many."""
        with self._lock:
            self._guard_fork()
            if len(self._slots) >= capacity():
                raise Unavailable(
                    f"this engine runs {len(self._slots)} containers, which is all that its keeper can hold; "
                    "a higher hard limit of open files (RLIMIT_NOFILE) gives more"
                )
            slot = self._free.pop() if self._free else len(self._slots)
            self._slots[slot] = pidfd
            try:
                self._tell(ADD, slot, pidfd)
            except BaseException:
                self._free.append(slot)
                del self._slots[slot]
                raise
            return slot

    def drop(self, slot: int) -> None:
        """Forget a container that has ended; before its pidfd is closed."""
        with self._lock:
            if self._pid != os.getpid() or self._slots.pop(slot, None) is None:
                return
            self._free.append(slot)
            self._tell(DROP, slot)

    def close(self) -> None:
        """End the keeper, and with it whatever container still runs."""
        with self._lock:
            self._release(wait=self._pid == os.getpid())

    def _guard_fork(self) -> None:
        if self._pid != os.getpid():
            self._release(wait=False)
            self._slots, self._free, self._pid = {}, [], os.getpid()

    def _release(self, *, wait: bool) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._pidfd >= 0:
            if wait:
                with suppress(ChildProcessError):  # a host program that waits for any child has reaped it
                    os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
            os.close(self._pidfd)
            self._pidfd = -1

    def _tell(self, kind: int, slot: int, pidfd: int | None = None) -> None:
        if self._socket is None:
            return self._start()
        try:
            fds = [] if pidfd is None else [pidfd]
            socket.send_fds(self._socket, [ORDER.pack(kind, slot)], fds, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            self._release(wait=True)
            self._start()

    def _start(self) -> None:
        """Start a keeper that knows all slots."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        host = os.pidfd_open(os.getpid())
        directories = []
        try:
            for path in self._bases:
                directories.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
            argv = [b"pyrt-init", b"keeper", os.fsencode(self._prefix), os.fsencode(self._top)]
            _, self._pidfd = spawn(self._program.source, argv, [theirs.fileno(), host, *directories])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            for fd in (host, *directories):
                os.close(fd)
        self._socket = ours
        for slot, pidfd in self._slots.items():
            socket.send_fds(ours, [ORDER.pack(ADD, slot)], [pidfd], socket.MSG_NOSIGNAL)


def capacity() -> int:
    """Give how many containers a keeper can hold: it raises its soft limit of descriptors to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return SLOTS if hard == resource.RLIM_INFINITY else max(min(SLOTS, hard - RESERVED), 0)
