"""Limits: where pyrt may make cgroups, and which controllers are there."""

from __future__ import annotations

from collections.abc import Iterator

from pyrt.cli.checks.check import Check, limited, missing, ok, said
from pyrt.runtime.cgroups import Layout

__all__ = ["examine"]

CONTROLLERS = {
    "memory": "memory limits, and telling that a program ran out of memory",
    "cpu": "limits of processor time",
    "cpuset": "--cpuset-cpus and --cpuset-mems",
    "pids": "--pids-limit",
    "blkio": "limits of block devices",
}


def examine(layout: Layout | None = None) -> Iterator[Check]:
    """Give the layout, each controller that options need, freezing, and the filter of devices."""
    layout = Layout.detect() if layout is None else layout
    if layout.kind == "none":
        yield limited("cgroups", *said(f"{layout.reason}; containers run, without limits"))
        return
    places = [hierarchy.base for hierarchy in layout.hierarchies if hierarchy.base is not None]
    yield ok("cgroups", f"{layout.kind} at {places[0]}" + f" and {len(places) - 1} more" * (len(places) > 1))
    for controller, purpose in CONTROLLERS.items():
        yield _controller(layout, controller, purpose)
    yield _devices(layout)
    if layout.find("v2") is None and layout.find("freezer") is None:
        yield limited("cgroup freezer", "a container cannot be paused", "mount the v1 freezer or cgroup2")


def _controller(layout: Layout, controller: str, purpose: str) -> Check:
    title, found = f"cgroup controller {controller}", layout.find(controller)
    if found is None:
        reason, mend = said(layout.missing(controller, "").reason)
        return missing(title, f"{reason}; it is for {purpose}", mend)
    return ok(title, f"v{found.version} at {found.base}")


def _devices(layout: Layout) -> Check:
    title, found = "filter of devices", layout.find("devices")
    if found is not None:
        return ok(title, f"v1 at {found.base}")
    if layout.may_filter_devices and layout.find("v2") is not None:
        return ok(title, "eBPF on cgroup v2")
    reason = "it takes CAP_SYS_ADMIN and CAP_NET_ADMIN of the host; the permissions of the device nodes count instead"
    return limited(title, reason, "run as root where devices must be filtered")
