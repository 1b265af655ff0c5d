"""What /proc says about cgroups, as values.

Takes the texts of /proc/self/mountinfo and /proc/self/cgroup, gives one Hierarchy for each that is mounted. Looks at
nothing else: cgroups(7), proc_pid_mountinfo(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Hierarchy", "parse"]

V1_CONTROLLERS = frozenset(
    [
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "devices",
        "freezer",
        "hugetlb",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
        "rdma",
    ]
)


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy. `own` is this process's directory; pyrt may create below `base`, None means nowhere.

    `controllers` are those that belong to it: fixed by the mount on v1, what `base` can hand down on v2.
    """

    version: int
    mount: str
    own: str
    controllers: frozenset[str] = frozenset()
    base: str | None = None


def parse(mountinfo: str, membership: str) -> tuple[Hierarchy, ...]:
    """Give the hierarchies that are mounted, v1 first; of one mounted twice, the mount that shows most."""
    paths = dict(_memberships(membership))
    found: dict[frozenset[str] | None, tuple[str, Hierarchy]] = {}
    for line in mountinfo.splitlines():
        fields = line.split()
        tail = fields.index("-")
        kind, options = fields[tail + 1], fields[tail + 3].split(",")
        if kind not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(options) & V1_CONTROLLERS if kind == "cgroup" else None
        root, mount = _unescape(fields[3]), _unescape(fields[4])
        if controllers == frozenset() or (controllers in found and len(found[controllers][0]) <= len(root)):
            continue  # a named hierarchy without controllers, systemd's own; or a mount that shows less
        own = _own(root, mount, paths.get(controllers, "/"))
        found[controllers] = root, Hierarchy(2 if controllers is None else 1, mount, own, controllers or frozenset())
    return tuple(sorted((hierarchy for _, hierarchy in found.values()), key=lambda each: each.version))


def _memberships(text: str) -> Iterator[tuple[frozenset[str] | None, str]]:
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        yield (None if number == "0" and not controllers else frozenset(controllers.split(",")) & V1_CONTROLLERS), path


def _own(root: str, mount: str, path: str) -> str:
    """Give the directory of `path` below a mount that shows the hierarchy from `root` on; else the mount."""
    root = root.rstrip("/")
    if not (path == root or path.startswith(root + "/")) or "/.." in path:
        return mount
    return (mount + path[len(root) :]).rstrip("/")


def _unescape(text: str) -> str:
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
