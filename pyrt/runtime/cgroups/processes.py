"""The processes in a cgroup directory and below it: found, and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from pyrt.errors import ResourceBusy
from pyrt.runtime.cgroups.files import read

__all__ = ["kill_all", "kill_once", "read_pids"]

_PATIENCE_SECONDS = 10.0
_ROUNDS = 50


def read_pids(directory: str) -> list[int]:
    """Give the processes of a directory and of all below it; 0 stands for one of another pid namespace."""
    found: list[int] = []
    for path, _, _ in os.walk(directory):
        found += map(int, read(f"{path}/cgroup.procs").split())  # nothing of one that has just been removed
    return sorted(set(found))


def kill_all(directory: str, *, freeze: Callable[[bool], None]) -> None:
    """Send SIGKILL until no process is left. Raises ResourceBusy after 10 s.

    Frozen processes cannot fork, so the first round sees all of them; one that cannot be frozen is outrun.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = 0.0002
    while pids := read_pids(directory):
        freeze(True)
        for pid in read_pids(directory):
            _kill_member(pid, directory)
        freeze(False)
        if time.monotonic() > deadline:
            reason = "they are stuck in the kernel, or belong to another user"
            raise ResourceBusy(f"processes {pids} in {directory} do not die of SIGKILL: {reason}")
        time.sleep(pause)
        pause = min(pause * 2, 0.01)


def kill_once(directory: str) -> bool:
    """Send SIGKILL to every process, and say whether all have it: what forks faster than we look is not caught so.

    A process with a deadly signal pending does not fork any more, so those that are new end sooner or later.
    """
    known: set[int] = set()
    for _ in range(_ROUNDS):
        new = set(read_pids(directory)) - known
        if not new:
            return True
        for pid in new:
            _kill_member(pid, directory)
        known |= new
    return False


def _kill_member(pid: int, directory: str) -> None:
    """Kill a process if it is still a member once a descriptor holds it: its number may have gone to another."""
    if pid == 0:
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in read_pids(directory):
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
