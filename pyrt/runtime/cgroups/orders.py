"""The order of csrc/prt_cgroup.h, written, and its failures put into the words of the options.

Takes places and limits, gives the bytes that one call of the door executes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyrt.errors import InvalidOption, NameInUse, PyrtError, ResourceBusy, SyscallError, Unsupported
from pyrt.runtime.cgroups.hierarchy import Hierarchy
from pyrt.runtime.cgroups.limits import Limit

__all__ = ["Order", "Place"]

_NO_SWAP = "the kernel does not account swap: boot it with swapaccount=1"
_NO_WEIGHT = "the kernel has neither BFQ nor io.cost for weights; limit rates instead (device_read_bps, …)"
_LACKING = {
    "memory.memsw.limit_in_bytes": _NO_SWAP,
    "memory.swap.max": _NO_SWAP,
    "blkio.bfq.weight": _NO_WEIGHT,
    "blkio.bfq.weight_device": _NO_WEIGHT,
    "io.weight": _NO_WEIGHT,
    "cpu.rt_runtime_us": "the kernel was built without CONFIG_RT_GROUP_SCHED",
    "cpu.rt_period_us": "the kernel was built without CONFIG_RT_GROUP_SCHED",
}
_REFUSED = {errno.EINVAL, errno.ERANGE, errno.ENODEV, errno.EOVERFLOW, errno.ENXIO, errno.E2BIG, errno.ENOSPC}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Place:
    """A container's directory in one hierarchy."""

    hierarchy: Hierarchy
    directory: str


@dataclass(slots=True)
class Order:
    """Operations in the making: for each one `steps` has the limit that it sets, if any, `paths` what it is about."""

    parts: list[bytes] = field(default_factory=list)
    steps: list[Limit | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    directory: str = ""

    @property
    def ops(self) -> bytes:
        return b"\0".join(self.parts) + b"\0"

    @property
    def readings(self) -> list[Limit]:
        """The limits of which the kernel's own version is read back, in the order of the texts."""
        return [limit for limit in self.steps if limit is not None and limit.option]

    def make(self, parent: str) -> None:
        self.directory = parent
        self._add(None, b"d", parent, parent)

    def enter(self, directory: str) -> None:
        self.directory = directory
        self._add(None, b"c", directory, directory)

    def limit(self, limits: Iterable[Limit]) -> None:
        for limit in limits:
            op = b"r" if limit.option else b"w"
            self._add(limit, op, f"{self.directory}/{limit.file}", limit.file, limit.value)

    def open(self, file: str) -> None:
        self._add(None, b"o", f"{self.directory}/{file}", file)

    def _add(self, limit: Limit | None, op: bytes, path: str, *texts: str) -> None:
        self.parts += [op, *map(os.fsencode, texts)]
        self.steps.append(limit)
        self.paths.append(path)

    def explain(self, e: SyscallError) -> PyrtError:
        """Give the error that a failed operation means to the caller."""
        limit = self.steps[e.step - 1]
        path = str(e.filename)
        if limit is None:
            if e.errno == errno.EEXIST:
                return NameInUse(f"the cgroup {path} exists already")
            return e
        if e.errno in (errno.ENOENT, errno.EOPNOTSUPP):
            return Unsupported(limit.option, _LACKING.get(limit.file, f"the kernel has no {limit.file} here ({path})"))
        if e.errno in _FORBIDDEN:
            return Unsupported(limit.option, f"{path} does not take it: {e.strerror}")
        if e.errno in _REFUSED:
            return InvalidOption(f"the kernel refuses {limit.value!r} for {path}: {e.strerror}", argument=limit.option)
        if e.errno == errno.EBUSY:
            return ResourceBusy(
                f"{limit.option}: more than {limit.value} is in use now, or children have more ({path})"
            )
        return e
