"""Make a cgroup within a container's, for one further program in it.

It counts what the program uses and holds all that the program starts. Limits stay the container's: where the kernel
would not apply them to a directory below (v1's blkio, memory without use_hierarchy), and where nothing is counted, the
program joins the container's own directory.
"""

from __future__ import annotations

from pyrt._native import cgroup as door
from pyrt.errors import SyscallError
from pyrt.runtime.cgroups.cgroup import Cgroup
from pyrt.runtime.cgroups.files import read
from pyrt.runtime.cgroups.orders import Order, Place

__all__ = ["create_below"]

_COUNTING = frozenset({"memory", "cpuacct"})
_NOT_INHERITED = frozenset({"blkio", "cpuset"})  # of cpuset an empty list, which takes no task


def create_below(container: Cgroup, name: str) -> Cgroup:
    """See Cgroup.create_below."""
    own = [place for place in container.places if _counts(place)]
    shared = [place for place in container.places if place not in own]
    order = Order()
    for place in own:
        order.make(place.directory)
        order.open("." if place.hierarchy.version == 2 else "tasks")
    for place in shared:
        order.enter(place.directory)
        order.open("tasks")
    fds: list[int] = []
    if container.places:
        try:
            fds, _ = door.create(order.ops, name.encode())
        except SyscallError as e:
            raise order.explain(e) from e
    filtered = container.effective["device_cgroup"]
    return Cgroup(
        container.layout,
        name,
        f"{container.parent}/{container.name}",
        [Place(place.hierarchy, f"{place.directory}/{name}") for place in own],
        fds[: len(own)],
        is_device_filtered=None if filtered is None else bool(filtered),
        more_fds=fds[len(own) :],
        is_part=True,
    )


def _counts(place: Place) -> bool:
    if place.hierarchy.version == 2:
        return True
    controllers = place.hierarchy.controllers
    if not controllers & _COUNTING or controllers & _NOT_INHERITED:
        return False
    return "memory" not in controllers or read(f"{place.directory}/memory.use_hierarchy").strip() != "0"
