"""Where file systems are mounted: /proc/self/mountinfo (proc_pid_mountinfo(5)), read into values."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MountPoint", "parse_mountinfo"]

# File systems that the kernel makes up: a container gets its own, or none.
_PSEUDO = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs "
    "proc pstore ramfs rpc_pipefs securityfs selinuxfs sysfs tracefs".split()
)


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A mount: its path in this process's mount namespace, and its type."""

    path: str
    type: str

    @property
    def is_pseudo(self) -> bool:
        """Whether the kernel makes its files up."""
        return self.type in _PSEUDO

    def is_below(self, directory: str) -> bool:
        """Say whether this lies strictly below a directory."""
        return self.path != directory and self.path.startswith(directory.rstrip("/") + "/")


def parse_mountinfo(text: str) -> tuple[MountPoint, ...]:
    """Give the mount points of a mountinfo file, sorted by path; of several mounts at one point the last, on top."""
    found = {}
    for line in text.splitlines():
        fields = line.split(" ")
        path = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4])
        found[path] = MountPoint(path, fields[fields.index("-") + 1])
    return tuple(found[path] for path in sorted(found))
