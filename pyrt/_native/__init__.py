"""The doors into C: each takes Python values, makes one call without the GIL, checks it, and gives values back.

Every door raises SyscallError for a failed call, made in `error` alone. `pyrt-init`, the program that runs between
clone and exec, lies beside them. Nothing here decides anything.
"""

from __future__ import annotations

__all__ = [
    "cgroup",
    "copyup",
    "error",
    "flock",
    "mount",
    "path",
    "spawn",
    "syscalls",
    "tarwrite",
    "treediff",
    "untar",
    "userns",
    "watch",
]
