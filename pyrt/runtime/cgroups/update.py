"""Change the limits of a running container: all of what is given, or nothing.

Every earlier value is read before the first is written, and written back, last first, where one is refused. A hierarchy
in which the container is not yet gets its directory with the limits in it; the processes are moved at the very end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pyrt._native import cgroup as door
from pyrt.errors import InvalidOption, ResourceBusy, SyscallError
from pyrt.oci.spec import Resources
from pyrt.runtime.cgroups.create import execute
from pyrt.runtime.cgroups.files import read, write
from pyrt.runtime.cgroups.limits import Limit, check, compile_limits
from pyrt.runtime.cgroups.orders import Order, Place
from pyrt.runtime.cgroups.processes import read_pids
from pyrt.runtime.cgroups.sites import Site, make_ready, sites_of

if TYPE_CHECKING:
    from pyrt.runtime.cgroups.cgroup import Cgroup

__all__ = ["earlier_value", "join", "update"]

_V1_UNLIMITED_BYTES = 1 << 62
_MOVES = 1000


def update(cgroup: Cgroup, resources: Resources) -> None:
    """See Cgroup.update."""
    if resources.devices:
        raise InvalidOption("the list of devices is fixed when a container is made", argument="device_cgroup_rules")
    check(resources)
    layout = cgroup.layout
    limits = compile_limits(resources, layout.version_of, layout.missing)
    if limits and not cgroup.places:
        raise layout.missing(limits[0].controller, limits[0].option)
    present = {place.hierarchy.mount: place.directory for place in cgroup.places}
    sites = [site for site in sites_of(layout, limits, cgroup.parent) if site.limits]
    order = _change([site for site in sites if site.hierarchy.mount in present], present)
    added = [site for site in sites if site.hierarchy.mount not in present]
    texts = _add(added, cgroup.name)
    try:
        texts |= _apply(order)
    except BaseException:
        for site in added:
            os.rmdir(f"{site.directory}/{cgroup.name}")
        raise
    new = [Place(site.hierarchy, f"{site.directory}/{cgroup.name}") for site in added]
    for place in new:
        _move(cgroup.places[-1].directory, place.directory)
    cgroup.note(texts, new)


def join(cgroup: Cgroup, controller: str, option: str) -> None:
    """Put a running container into one more hierarchy, with all its processes, for the sake of `option`.

    Raises Unsupported, ResourceBusy and SyscallError.
    """
    hierarchy = cgroup.layout.find(controller)
    if hierarchy is None or not cgroup.places:
        raise cgroup.layout.missing(controller, option)
    site = Site(hierarchy, cgroup.parent)
    _add([site], cgroup.name)
    place = Place(hierarchy, f"{site.directory}/{cgroup.name}")
    _move(cgroup.places[-1].directory, place.directory)
    cgroup.note({}, [place])


def earlier_value(limit: Limit, text: str) -> str:
    """Give what to write to have again what `text` says, which was read from the file of a limit."""
    if limit.file == "memory.oom_control":
        return text.split()[1]
    who, _, setting = limit.value.partition(" ")
    if who != "default" and ":" not in who:
        return text.strip() or "\n"
    found = next((line for line in text.splitlines() if line.split()[0] == who), None)
    if found is not None:
        return found
    if limit.file == "io.max":
        return f"{who} {setting.partition('=')[0]}=max"
    return f"{who} {'default' if limit.file.startswith('io.') else 0}"


def _change(sites: Sequence[Site], present: Mapping[str, str]) -> Order:
    """Give the order for directories that are there."""
    order = Order()
    for site in sites:
        directory = present[site.hierarchy.mount]
        site.parent = os.path.relpath(os.path.dirname(directory), str(site.hierarchy.base))
        if site.hierarchy.version == 2:
            make_ready(site)
        order.enter(directory)
        order.limit(_in_order(site.limits, directory))
    return order


def _in_order(limits: Sequence[Limit], directory: str) -> list[Limit]:
    """Put v1's limit of memory and swap together first where it is raised: memory alone may never be above it."""
    by_file = {limit.file: limit for limit in limits}
    memory, both = by_file.get("memory.limit_in_bytes"), by_file.get("memory.memsw.limit_in_bytes")
    now = read(f"{directory}/memory.memsw.limit_in_bytes")
    if memory is None or not now:
        return list(limits)
    if both is None:
        if memory.value != "-1" and int(memory.value) <= int(now):
            return list(limits)
        if int(now) < _V1_UNLIMITED_BYTES:
            reason = f"{memory.value} is above memory and swap together ({now.strip()}): change memswap_limit too"
            raise InvalidOption(reason, argument="mem_limit")
        return list(limits)
    is_raised = both.value == "-1" or int(both.value) > int(now)
    return sorted(limits, key=lambda limit: limit is not both) if is_raised else list(limits)


def _add(sites: Sequence[Site], name: str) -> dict[str, str]:
    """Make the container's directories in more hierarchies, still empty, with their limits."""
    order = Order()
    for site in sites:
        make_ready(site)
        order.make(site.directory)
        order.limit(site.limits)
    _, texts = execute(order, sites, name)
    return {limit.file: text for limit, text in zip(order.readings, texts, strict=True)}


def _apply(order: Order) -> dict[str, str]:
    """Execute the order; on failure put back what was."""
    if not order.steps:
        return {}
    steps = list(zip(order.paths, order.steps, strict=True))
    earlier = [(path, earlier_value(limit, read(path))) for path, limit in steps if limit and os.path.exists(path)]
    try:
        _, texts = door.create(order.ops, b"")
    except SyscallError as e:
        for path, value in reversed(earlier):
            with suppress(OSError):
                write(path, value)
        raise order.explain(e) from e
    return {limit.file: text.decode() for limit, text in zip(order.readings, texts, strict=True)}


def _move(source: str, target: str) -> None:
    """Move all processes, also those that are forked meanwhile. Raises ResourceBusy where it never ends."""
    for _ in range(_MOVES):
        left = set(read_pids(source)) - set(read_pids(target))
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                write(f"{target}/cgroup.procs", str(pid))
    raise ResourceBusy(f"the container forks faster than its processes can be moved to {target}")
