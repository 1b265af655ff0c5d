"""Where on this host a container's cgroups can be: found once, then a value.

Takes /proc/self/mountinfo, /proc/self/cgroup and the permissions of directories; gives a Layout, whose `create` makes
the cgroup of one container. The process that calls is never moved.

Root makes everything below a directory `pyrt` at the top of each hierarchy, beside the service manager's own. An
ordinary user makes it in the nearest directory above its own that is delegated to it, because a v2 cgroup that holds
processes (as its own one does) cannot hand controllers down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pyrt.errors import InvalidOption, Unsupported
from pyrt.oci.spec import Resources
from pyrt.runtime.cgroups.devices import DEFAULT_DEVICE_RULES
from pyrt.runtime.cgroups.files import read
from pyrt.runtime.cgroups.hierarchy import Hierarchy, parse
from pyrt.runtime.cgroups.parents import armed_parent

if TYPE_CHECKING:
    from pyrt.runtime.cgroups.cgroup import Cgroup

__all__ = ["Kind", "Layout"]

Kind = Literal["v1", "v2", "hybrid", "none"]

_DEVICE_PROGRAM_CAPABILITIES = (1 << 12) | (1 << 21)  # CAP_NET_ADMIN, CAP_SYS_ADMIN (which stands for CAP_BPF too)
_FIRST_USER_NAMESPACE = "0 0 4294967295"


@dataclass(frozen=True, slots=True)
class Layout:
    """The hierarchies of a host; `reason` says why pyrt may create in none. `top` is the directory that it makes."""

    kind: Kind
    hierarchies: tuple[Hierarchy, ...] = ()
    reason: str = ""
    top: str = "pyrt"
    device_parent: str = ""  # of the containers that have Docker's list of devices
    may_filter_devices: bool = False

    @classmethod
    def detect(
        cls,
        *,
        cgroup_parent: str | None = None,
        mountinfo: str | None = None,
        membership: str | None = None,
        top: str = "pyrt",
    ) -> Layout:
        """Look at the host. `cgroup_parent` is a cgroup (a path below the mounts) to use instead of the one found.

        The texts are read from /proc/self where not given. Raises Unsupported where the parent is not writable.
        """
        if mountinfo is None:
            mountinfo = read("/proc/self/mountinfo")
        if membership is None:
            membership = read("/proc/self/cgroup")
        parent = None if cgroup_parent is None else relative(cgroup_parent)
        placed = tuple(_place(hierarchy, parent) for hierarchy in parse(mountinfo, membership))
        versions = {hierarchy.version for hierarchy in placed}
        if not any(hierarchy.base for hierarchy in placed):
            if parent is not None:
                raise Unsupported("cgroup_parent", f"{cgroup_parent} is not a cgroup that this process may fill")
            return cls("none", placed, _why_none(placed), top)
        kind: Kind = "hybrid" if len(versions) == 2 else "v1" if versions == {1} else "v2"
        return cls(kind, placed, "", top, armed_parent(top, DEFAULT_DEVICE_RULES), _may_filter_devices())

    def find(self, controller: str) -> Hierarchy | None:
        """Give the hierarchy in which `controller` (by v1's name) can be used; "v2" is the unified one as such."""
        for hierarchy in self.hierarchies:
            if hierarchy.base is None:
                continue
            if controller == "v2" and hierarchy.version == 2:
                return hierarchy
            if ("io" if controller == "blkio" and hierarchy.version == 2 else controller) in hierarchy.controllers:
                return hierarchy
        return None

    def version_of(self, controller: str) -> int:
        """Give the version of cgroups that has a controller, 0 where none has it."""
        hierarchy = self.find(controller)
        return 0 if hierarchy is None else hierarchy.version

    def missing(self, controller: str, option: str) -> Unsupported:
        """Give the error that says why an option cannot be had here, and what would give it."""
        if self.kind == "none":
            return Unsupported(option, self.reason)
        if option == "unified" and self.kind == "v1":
            return Unsupported(option, "its files are cgroup v2's, and this host has cgroup v1: boot a v2 host")
        name = "io" if controller == "blkio" and self.kind == "v2" else controller
        v2 = self.find("v2")
        if self.kind == "v2" and v2 is not None and os.geteuid() != 0:
            mend = f"let the administrator add Delegate={name} to user@.service"
            return Unsupported(option, f"the cgroup controller {name} is not delegated to {v2.base}: {mend}")
        return Unsupported(option, f"no hierarchy of this host has the cgroup controller {name} (see /proc/cgroups)")

    def create(self, name: str, resources: Resources, *, parent: str | None = None) -> Cgroup:
        """Make the cgroup of one container with all its limits in force, or nothing at all.

        `parent` is a cgroup below the ones this layout may create in, made where missing. Where nothing was asked
        and the layout has no usable hierarchy, the Cgroup has no directory. Raises InvalidOption, InvalidSpec,
        Unsupported (a limit that cannot be given), NameInUse and SyscallError.
        """
        from pyrt.runtime.cgroups.create import create

        return create(self, name, resources, parent=None if parent is None else relative(parent))

    def adopt(self, name: str, *, parent: str | None = None, required: bool = True) -> Cgroup:
        """Give the Cgroup of a container that is there already, of this or another process.

        Where no hierarchy has one it is empty, or with `required` NotFound is raised.
        """
        from pyrt.runtime.cgroups.create import adopt

        return adopt(self, name, parent=None if parent is None else relative(parent), required=required)


def relative(path: str) -> str:
    """Give a cgroup's path without slashes around it; raise InvalidOption where it leads elsewhere or nowhere."""
    parts = [part for part in path.split("/") if part]
    if not parts or any(part in (".", "..") or "\0" in part for part in parts):
        raise InvalidOption(f"{path!r} is not the path of a cgroup", argument="cgroup_parent")
    return "/".join(parts)


def _place(hierarchy: Hierarchy, parent: str | None) -> Hierarchy:
    base = _base(hierarchy, parent)
    if hierarchy.version == 1:
        return replace(hierarchy, base=base)
    return replace(
        hierarchy, base=base, controllers=frozenset(read(f"{base or hierarchy.own}/cgroup.controllers").split())
    )


def _base(hierarchy: Hierarchy, parent: str | None) -> str | None:
    if parent is not None:
        candidate = f"{hierarchy.mount}/{parent}"
        return candidate if _may_fill(candidate) else None
    if _may_fill(hierarchy.mount):
        return hierarchy.mount
    delegated = list(_delegated(hierarchy))
    if hierarchy.version == 2:
        # Of those, the nearest that can hand controllers down; the last resort is one without limits.
        able = [each for each in delegated if read(f"{each}/cgroup.subtree_control").strip() or _is_empty(each)]
        delegated = able or delegated
    return delegated[0] if delegated else None


def _delegated(hierarchy: Hierarchy) -> Iterator[str]:
    """Give the process's own directory and those above it, for as long as it may create in them."""
    directory = hierarchy.own
    while directory.startswith(hierarchy.mount) and _may_fill(directory):
        yield directory
        directory = os.path.dirname(directory)


def _is_empty(directory: str) -> bool:
    return not read(f"{directory}/cgroup.procs").strip()


def _may_fill(directory: str) -> bool:
    """Say whether this process may make directories here and move processes in and out."""
    writable = os.access(directory, os.W_OK | os.X_OK, effective_ids=True)
    return writable and os.access(f"{directory}/cgroup.procs", os.W_OK, effective_ids=True)


def _why_none(hierarchies: tuple[Hierarchy, ...]) -> str:
    if not hierarchies:
        return "no cgroup file system is mounted: mount one at /sys/fs/cgroup"
    own = hierarchies[-1].own
    if hierarchies[-1].version == 2 and os.geteuid() != 0:
        mend = "start the program by `systemd-run --user --scope -p Delegate=yes`, or as root"
        return f"no cgroup above {own} is delegated to this user: {mend}"
    return f"{own} is not writable: the cgroup file systems are mounted read-only or belong to another user"


def _may_filter_devices() -> bool:
    status = read("/proc/self/status")
    effective = int(status.partition("CapEff:")[2].split(maxsplit=1)[0], 16)
    has_all = effective & _DEVICE_PROGRAM_CAPABILITIES == _DEVICE_PROGRAM_CAPABILITIES
    return has_all and " ".join(read("/proc/self/uid_map").split()) == _FIRST_USER_NAMESPACE
