"""The processes of a container that is kept."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from pyrt.container.keeping import Keeping
from pyrt.container.life import cgroup, check_owned, condition
from pyrt.container.record import KeptContainer
from pyrt.errors import Unsupported

__all__ = ["pids"]


def pids(keeping: Keeping[Any], kept: KeptContainer) -> list[int]:
    """Give the processes of a running container; without a cgroup those of its first one's PID namespace.

    Raises WrongState where it does not run.
    """
    now = condition(keeping, kept)
    if now.is_running:
        check_owned(kept, "looked into by another process than the one that runs it")
    try:
        with cgroup(keeping, kept, now) as running:
            return running.pids()
    except Unsupported:
        return _of_namespace(now.pid)


def _of_namespace(first: int) -> list[int]:
    """Give the processes that are in the PID namespace of `first`, or in one below it that it can see."""
    try:
        wanted = os.stat(f"/proc/{first}/ns/pid").st_ino
    except OSError:
        return []
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError):  # it ends at this moment, or is not this user's
            if entry.isdecimal() and os.stat(f"/proc/{entry}/ns/pid").st_ino == wanted:
                found.append(int(entry))
    return sorted(found)
