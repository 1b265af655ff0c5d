"""Make the cgroup of one container: decide where, then one call of the door."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack

from pyrt._native import cgroup as door
from pyrt.errors import InvalidOption, NotFound, SyscallError, Unsupported
from pyrt.oci.spec import Resources
from pyrt.runtime.cgroups.cgroup import Cgroup
from pyrt.runtime.cgroups.devices import DEFAULT_DEVICE_RULES, check_rules
from pyrt.runtime.cgroups.layout import Layout
from pyrt.runtime.cgroups.limits import check, compile_limits
from pyrt.runtime.cgroups.orders import Order, Place
from pyrt.runtime.cgroups.parents import GONE, attach, keep_parents, parents_of
from pyrt.runtime.cgroups.sites import Site, make_ready, place_devices, sites_of

__all__ = ["adopt", "create", "execute"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


def create(layout: Layout, name: str, resources: Resources, *, parent: str | None) -> Cgroup:
    """See Layout.create."""
    _check_name(name)
    check(resources)
    if resources.devices != DEFAULT_DEVICE_RULES:
        check_rules(resources.devices)
    limits = compile_limits(resources, layout.version_of, layout.missing)
    sites = sites_of(layout, limits, parent or layout.top)
    needs_program = place_devices(layout, sites, resources.devices, parent)
    order = Order()
    for site in sites:
        make_ready(site)
        order.make(site.directory)
        order.limit(site.limits)
        order.open("." if site.hierarchy.version == 2 else "tasks")
    fds, texts = execute(order, sites, name)
    places = [Place(site.hierarchy, f"{site.directory}/{name}") for site in sites]
    is_filtered = needs_program or any(site.rules for site in sites)
    made = Cgroup(layout, name, parent or layout.top, places, fds, is_device_filtered=is_filtered)
    made.note({limit.file: text for limit, text in zip(order.readings, texts, strict=True)})
    if needs_program:
        try:
            attach(made.into_fd, resources.devices)
        except Unsupported:
            made.remove()
            raise
    return made


def adopt(layout: Layout, name: str, *, parent: str | None, required: bool) -> Cgroup:
    """See Layout.adopt."""
    _check_name(name)
    places = [
        Place(hierarchy, f"{hierarchy.base}/{above}/{name}")
        for hierarchy in layout.hierarchies
        if hierarchy.base is not None
        for above in ([parent] if parent else parents_of(hierarchy, layout.top))
        if os.path.isdir(f"{hierarchy.base}/{above}/{name}")
    ]
    if not places and required:
        raise NotFound(f"no hierarchy has a cgroup {name}")
    return Cgroup(layout, name, parent or layout.top, places, [], is_device_filtered=None)


def execute(order: Order, sites: Sequence[Site], name: str) -> tuple[list[int], list[str]]:
    """Run an order that makes directories.

    Where a parent is missing (the first time, or another process has tidied up) all of them are prepared, and kept from
    being tidied away until the second try is over.
    """
    if not sites:
        return [], []
    try:
        return _try(order, name)
    except SyscallError as e:
        if e.errno not in GONE:
            raise order.explain(e) from e
    with ExitStack() as held:
        for site in sites:
            held.enter_context(keep_parents(str(site.hierarchy.base)))
        for site in sites:
            site.prepare()
        try:
            return _try(order, name)
        except SyscallError as e:
            raise order.explain(e) from e


def _try(order: Order, name: str) -> tuple[list[int], list[str]]:
    fds, texts = door.create(order.ops, name.encode())
    return fds, [text.decode() for text in texts]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidOption(f"{name!r} is not a name for a cgroup: letters, digits, _ . -", argument="name")
