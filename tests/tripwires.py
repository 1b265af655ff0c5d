"""What a test may not leave behind: descriptors, child processes, mounts and cgroups.

The kernel tears down mount namespaces and cgroups a little after the last process is gone, so a difference is looked at
again until the grace is over. Only then it is a leak.
"""

from __future__ import annotations

import gc
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GRACE_SECONDS", "Held", "leaks_since"]

GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Held:
    """What the test process and the host hold at one moment, as texts that can be shown."""

    descriptors: frozenset[str]
    children: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]

    @classmethod
    def now(cls) -> Held:
        return cls(_descriptors(), _children(os.getpid()), _mounts(), _cgroups(Path("/sys/fs/cgroup")))

    def beyond(self, before: Held) -> list[str]:
        """Name what is held now and was not before."""
        return [
            *(f"descriptor {text}" for text in sorted(self.descriptors - before.descriptors)),
            *(f"child process {text}" for text in sorted(self.children - before.children)),
            *(f"mount {text}" for text in sorted(self.mounts - before.mounts)),
            *(f"cgroup {text}" for text in sorted(self.cgroups - before.cgroups)),
        ]


def leaks_since(before: Held, grace_seconds: float = GRACE_SECONDS) -> list[str]:
    """Wait until nothing is held beyond `before`, or the grace is over; name what is left."""
    leaks = Held.now().beyond(before)
    if not leaks:
        return []
    gc.collect()
    deadline = time.monotonic() + grace_seconds
    while (leaks := Held.now().beyond(before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return leaks


def _descriptors() -> frozenset[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{number} -> {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue  # the descriptor of listdir itself
    return frozenset(found)


def _children(parent: int) -> frozenset[str]:
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, ppid = stat[stat.rindex(")") + 2 :].split(maxsplit=2)[:2]
        if int(ppid) == parent:
            found.add(f"{stat[: stat.rindex(')') + 1]} {'(zombie)' if state == 'Z' else ''}".rstrip())
    return frozenset(found)


def _mounts() -> frozenset[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return frozenset(" ".join(fields[4:]) for fields in (line.split() for line in lines))


def _cgroups(top: Path) -> frozenset[str]:
    """Find what this process made: cgroups of containers and of tests; the parents that all share may stay."""
    mine = re.compile(rf"{os.getpid()}\.\d+(\.\d+)?-.+|pyrt-\w+-{os.getpid()}")
    return frozenset(f"{path}/{name}" for path, names, _ in os.walk(top) for name in names if mine.fullmatch(name))
