"""Limits, usage and membership of a container's processes, on every layout of cgroups.

Takes an OCI Resources, gives a Cgroup: `Layout.detect()` looks at the host once, `layout.create(name, resources)` makes
the directories of one container with all limits in force, before its first process is there. Works on cgroup v1, v2,
both together, in a part of the tree that is delegated to an ordinary user, and, where no limit is asked, without any.

Raises InvalidOption and InvalidSpec for a wrong value, before anything is created; Unsupported for a limit that this
host cannot give, with what would give it; NameInUse, NotFound, ResourceBusy and SyscallError.
"""

from __future__ import annotations

from pyrt.runtime.cgroups.cgroup import Cgroup
from pyrt.runtime.cgroups.devices import DEFAULT_DEVICE_RULES
from pyrt.runtime.cgroups.layout import Layout
from pyrt.runtime.cgroups.owner import is_orphan, owner_name, sweep
from pyrt.runtime.cgroups.usage import Usage

__all__ = ["DEFAULT_DEVICE_RULES", "Cgroup", "Layout", "Usage", "is_orphan", "owner_name", "sweep"]
