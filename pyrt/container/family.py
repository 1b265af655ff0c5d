"""The processes that come from one, for containers without a cgroup."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["family"]


def family(pid: int) -> list[int]:
    """Give a process and all that descend from it, as the host numbers them (proc(5)).

    In a container that is all but what was executed in it from outside: an orphan becomes a child of its first process.
    """
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found
