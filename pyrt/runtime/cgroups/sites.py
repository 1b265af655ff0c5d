"""Where a container will be: in which hierarchies, below which parents, with which limits.

Every hierarchy costs some 50 µs to make, join and remove (memory 100), so a container is only in those that its
limits need, and in those that every container needs: memory (usage, OOM), cpuacct (usage), and the v2 tree where it has
to freeze. The v1 freezer is joined by the first pause. On a hybrid host the v2 tree is left alone: to start in a v2
cgroup costs a millisecond more, most of it waiting for RCU.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pyrt.errors import SyscallError, Unsupported
from pyrt.oci.spec import DeviceRule
from pyrt.runtime.cgroups.convert import blkio_weight_to_io_weight
from pyrt.runtime.cgroups.devices import DEFAULT_DEVICE_RULES, device_lines
from pyrt.runtime.cgroups.files import read
from pyrt.runtime.cgroups.hierarchy import Hierarchy
from pyrt.runtime.cgroups.limits import Limit
from pyrt.runtime.cgroups.parents import keep_parents, prepare

__all__ = ["Host", "Site", "make_ready", "place_devices", "sites_of"]

_ALWAYS_V1 = ("memory", "cpuacct")
_ALWAYS_V2 = frozenset({"memory", "pids"})


class Host(Protocol):
    """What sites need to know of a Layout."""

    @property
    def top(self) -> str: ...
    @property
    def device_parent(self) -> str: ...
    @property
    def may_filter_devices(self) -> bool: ...
    def find(self, controller: str) -> Hierarchy | None: ...


@dataclass(slots=True)
class Site:
    """Where a container will be in one hierarchy, with the limits that are set there."""

    hierarchy: Hierarchy
    parent: str
    limits: list[Limit] = field(default_factory=list)
    rules: Sequence[DeviceRule] = ()

    @property
    def directory(self) -> str:
        """The parent as an absolute path."""
        return f"{self.hierarchy.base}/{self.parent}"

    @property
    def needed(self) -> set[str]:
        """The controllers of the limits: a v2 parent must hand them down."""
        return {limit.controller for limit in self.limits} - {"cgroup"}

    @property
    def wanted(self) -> set[str]:
        """The controllers that count usage: a v2 parent hands them down where it can."""
        return {*_ALWAYS_V2} & self.hierarchy.controllers

    def prepare(self) -> None:
        """Make the parent ready. Raises Unsupported and SyscallError."""
        try:
            with keep_parents(str(self.hierarchy.base)):
                prepare(self.hierarchy, self.parent, self.needed, self.wanted, self.rules)
        except OSError as e:
            raise SyscallError(e.errno or 0, "prepare", e.filename or self.directory) from e


def sites_of(host: Host, limits: Sequence[Limit], parent: str) -> list[Site]:
    """Give a site for each hierarchy that is needed, the v2 tree last."""
    always = _ALWAYS_V1 if host.find("freezer") else (*_ALWAYS_V1, "v2")
    sites: dict[str, Site] = {}
    for controller, limit in [*((each, None) for each in always), *((limit.controller, limit) for limit in limits)]:
        hierarchy = host.find("v2" if controller == "cgroup" else controller)
        if hierarchy is None:
            continue
        site = sites.setdefault(hierarchy.mount, Site(hierarchy, parent))
        if limit is not None:
            site.limits.append(limit)
    return sorted(sites.values(), key=lambda site: site.hierarchy.version)


def place_devices(host: Host, sites: list[Site], rules: Sequence[DeviceRule], parent: str | None) -> bool:
    """Say at which site the list of devices holds; give True where a program must be attached to the cgroup itself.

    Docker's list is on a parent that is shared. An ordinary user cannot filter devices, and does not need that list:
    the kernel lets nobody make device nodes in a user namespace. Cgroup.effective reports it; another list is refused.
    """
    if not rules:
        return False
    is_default = tuple(rules) == DEFAULT_DEVICE_RULES
    shared = host.device_parent if is_default and parent is None else None
    v1, v2 = host.find("devices"), host.find("v2")
    if v1 is not None:
        lines = [] if shared else device_lines(rules)
        limits = [Limit("devices", file, line, "") for file, line in lines]
        _merge(sites, Site(v1, shared or parent or host.top, limits, rules))
        return False
    if v2 is None or not host.may_filter_devices:
        if not is_default:
            raise Unsupported("device_cgroup_rules", "filtering devices needs root and a cgroup hierarchy")
        return False
    if all(site.hierarchy != v2 for site in sites):
        sites.append(Site(v2, parent or host.top))
    if shared:
        site = next(site for site in sites if site.hierarchy == v2)
        site.parent, site.rules = shared, rules
    return not shared


def make_ready(site: Site) -> None:
    """Prepare the parent where that cannot wait for the first failure, and fit the limits to what is there."""
    if site.hierarchy.version == 2:
        controllers = site.needed | site.wanted
        if controllers and not controllers <= set(read(f"{site.directory}/cgroup.subtree_control").split()):
            site.prepare()
        if any(limit.controller == "io" for limit in site.limits) and not os.path.exists(
            f"{site.directory}/io.bfq.weight"
        ):
            site.limits = [_without_bfq(limit) for limit in site.limits]
    elif any(limit.controller == "cpuset" for limit in site.limits):
        site.prepare()
        asked = {limit.file for limit in site.limits}
        for file in sorted({"cpuset.cpus", "cpuset.mems"} - asked):
            site.limits.append(Limit("cpuset", file, read(f"{site.directory}/{file}").strip(), ""))


def _merge(sites: list[Site], site: Site) -> None:
    """Add the site of the devices, or its limits to a site of the same hierarchy (where it is mounted with others)."""
    for present in sites:
        if present.hierarchy == site.hierarchy:
            present.parent, present.rules = site.parent, site.rules
            present.limits += site.limits
            return
    sites.insert(0, site)


def _without_bfq(limit: Limit) -> Limit:
    """Put a weight on the scale of io.weight, which kernels without BFQ have."""
    if limit.file != "io.bfq.weight":
        return limit
    who, _, weight = limit.value.partition(" ")
    return replace(limit, file="io.weight", value=f"{who} {blkio_weight_to_io_weight(int(weight))}")
