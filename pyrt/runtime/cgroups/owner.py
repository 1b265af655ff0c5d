"""Whose a cgroup is: its name begins with the process that made it, so that what a dead one left can be cleared.

A process is told by its number and its start time (field 22 of proc_pid_stat(5)), which no later process of this number
shares. Numbers mean something in one pid namespace only, so in any but the first its inode is a third part.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress

from pyrt.errors import NotFound, ResourceBusy
from pyrt.runtime.cgroups.cgroup import Cgroup
from pyrt.runtime.cgroups.files import read
from pyrt.runtime.cgroups.layout import Layout
from pyrt.runtime.cgroups.parents import parents_of, tidy

__all__ = ["is_orphan", "owner_name", "sweep"]

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_OWNED = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?-.+")


def owner_name(pid: int | None = None) -> str:
    """Give the name under which a process (this one) owns cgroups: `<owner>-<n>` is one of them.

    Raises NotFound where there is no such process.
    """
    pid = os.getpid() if pid is None else pid
    start = _start_time(pid)
    if start is None:
        raise NotFound(f"no process {pid}")
    namespace = _pid_namespace()
    return f"{pid}.{start}" if namespace == _FIRST_PID_NAMESPACE else f"{pid}.{start}.{namespace}"


def sweep(layout: Layout, *, keep: Collection[str] = ()) -> list[str]:
    """Kill and remove the cgroups of processes that are gone, except `keep`; give their names.

    Those of living processes, and of other pid namespaces, are never touched; parents without children go too. Raises
    ResourceBusy for the first that does not die, after all have been tried.
    """
    removed: list[str] = []
    busy: list[ResourceBusy] = []
    for name in sorted(set(_names(layout)) - set(keep)):
        if is_orphan(name):
            try:
                _clear(layout.adopt(name))
                removed.append(name)
            except (NotFound, FileNotFoundError):
                continue  # another process sweeps too
            except ResourceBusy as e:
                busy.append(e)
    for hierarchy in layout.hierarchies:
        tidy(hierarchy, layout.top)
    if busy:
        raise busy[0]
    return removed


def _clear(cgroup: Cgroup) -> None:
    try:
        cgroup.kill()
        cgroup.remove()
    finally:
        cgroup.close()


def _names(layout: Layout) -> Iterator[str]:
    for hierarchy in layout.hierarchies:
        for parent in parents_of(hierarchy, layout.top):
            with suppress(FileNotFoundError):
                yield from os.listdir(f"{hierarchy.base}/{parent}")


def is_orphan(name: str) -> bool:
    """Say whether a name was given by a process of this pid namespace that is gone."""
    owned = _OWNED.fullmatch(name)
    if owned is None:
        return False
    pid, start, namespace = owned.groups()
    return int(namespace or _FIRST_PID_NAMESPACE) == _pid_namespace() and _start_time(int(pid)) != int(start)


def _start_time(pid: int) -> int | None:
    """Give when a process started; None where it has ended, reaped or not. A first thread may end before others."""
    stat = read(f"/proc/{pid}/stat")
    fields = stat[stat.rindex(")") + 2 :].split() if stat else []
    is_gone = not fields or (fields[0] in "ZX" and int(fields[17]) <= 1)
    return None if is_gone else int(fields[19])


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino
