"""What the decisions have to know of the host, read once for an Engine."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pyrt.errors import Unsupported
from pyrt.oci.spec import IdMapping
from pyrt.runtime.capabilities import NUMBERS, last, names

__all__ = ["RLIMITS", "HostFacts", "parse_id_list"]

RLIMITS = {
    name.removeprefix("RLIMIT_").lower(): name
    for name in (
        "RLIMIT_AS RLIMIT_CORE RLIMIT_CPU RLIMIT_DATA RLIMIT_FSIZE RLIMIT_LOCKS RLIMIT_MEMLOCK RLIMIT_MSGQUEUE"
        " RLIMIT_NICE RLIMIT_NOFILE RLIMIT_NPROC RLIMIT_RSS RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING RLIMIT_STACK"
    ).split()
}
_RLIMIT_LOCKS = 10  # the module resource has no names for these two
_RLIMIT_RTTIME = 15
_ALL_IDS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host as the caller's process sees it. The defaults are those of root on a current kernel."""

    uid: int = 0
    gid: int = 0
    effective: frozenset[str] = frozenset(NUMBERS)  # capability sets of the process
    bounding: frozenset[str] = frozenset(NUMBERS)
    known: frozenset[str] = frozenset(NUMBERS)  # all capabilities that the kernel has
    kernel: tuple[int, int] = (6, 1)
    in_userns: bool = False
    cgroup: Literal["v1", "v2", "hybrid", "none"] = "v2"
    cpus: frozenset[int] = frozenset({0})
    memory_nodes: frozenset[int] = frozenset({0})
    hard_limits: Mapping[str, int] = field(default_factory=dict)  # RLIMIT_…: hard limit, -1 is infinity
    max_open_files: int = 1048576  # fs.nr_open, which no privilege lifts
    oom_score_adj: int = 0
    uid_mappings: tuple[IdMapping, ...] = ()  # of a user namespace, where a container gets one
    gid_mappings: tuple[IdMapping, ...] = ()
    sysctls: frozenset[str] = frozenset()  # which of Docker's default ones the kernel has
    thermal_paths: tuple[str, ...] = ()  # counters that would tell of other programs

    @property
    def is_rootless(self) -> bool:
        """Whether mounts need a user namespace first."""
        return "CAP_SYS_ADMIN" not in self.effective

    @property
    def has_sys_resource(self) -> bool:
        """Whether limits can be raised."""
        return "CAP_SYS_RESOURCE" in self.effective

    @classmethod
    def read(cls, uid_mappings: tuple[IdMapping, ...] = (), gid_mappings: tuple[IdMapping, ...] = ()) -> HostFacts:
        """Read the facts from /proc, /sys and getrlimit(2).

        The mappings are those that a user namespace will get, from runtime.rootless.own_mappings. Raises Unsupported
        where /proc is not mounted.
        """
        status = _status()
        return cls(
            uid=os.geteuid(),
            gid=os.getegid(),
            effective=names(int(status["CapEff"], 16)),
            bounding=names(int(status["CapBnd"], 16)),
            known=names((2 << last()) - 1),
            kernel=_kernel(),
            in_userns=_first_line("/proc/self/uid_map").split() not in ([], ["0", "0", str(_ALL_IDS)]),
            cgroup=_cgroup(),
            cpus=parse_id_list(_first_line("/sys/devices/system/cpu/online")) or frozenset(range(os.cpu_count() or 1)),
            memory_nodes=parse_id_list(_first_line("/sys/devices/system/node/online")) or frozenset({0}),
            hard_limits=_hard_limits(),
            max_open_files=int(_first_line("/proc/sys/fs/nr_open") or 1048576),
            oom_score_adj=int(_first_line("/proc/self/oom_score_adj") or 0),
            uid_mappings=uid_mappings,
            gid_mappings=gid_mappings,
            sysctls=frozenset(
                sysctl
                for sysctl in ("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start")
                if os.path.exists("/proc/sys/" + sysctl.replace(".", "/"))
            ),
            thermal_paths=_thermal_paths(),
        )


def parse_id_list(text: str) -> frozenset[int] | None:
    """Give the numbers of a list such as `0-3,8` (cpuset(7), "List format"), or None where it is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not all(edge.isascii() and edge.isdigit() and len(edge) <= 5 for edge in (first, last if dash else first)):
            return None
        found.update(range(int(first), int(last if dash else first) + 1))
        if dash and int(last) < int(first):
            return None
    return frozenset(found)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as lines:
            return lines.readline().strip()
    except OSError:
        return ""


def _status() -> dict[str, str]:
    path = "/proc/thread-self/status"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    except OSError as error:
        raise Unsupported("containers", f"cannot read {path}: {error.strerror}; mount /proc") from error


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(character for character in minor if character.isdigit()))


def _cgroup() -> Literal["v1", "v2", "hybrid", "none"]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        kinds = {line.partition(" - ")[2].partition(" ")[0] for line in lines}
    if "cgroup" in kinds:
        return "hybrid" if "cgroup2" in kinds else "v1"
    return "v2" if "cgroup2" in kinds else "none"


def _hard_limits() -> dict[str, int]:
    numbers = {"RLIMIT_LOCKS": _RLIMIT_LOCKS, "RLIMIT_RTTIME": _RLIMIT_RTTIME}
    return {
        name: resource.getrlimit(numbers[name] if name in numbers else getattr(resource, name))[1]
        for name in RLIMITS.values()
    }


def _thermal_paths(directory: str = "/sys/devices/system/cpu") -> tuple[str, ...]:
    names = os.listdir(directory) if os.path.isdir(directory) else []
    paths = [f"{directory}/{name}/thermal_throttle" for name in sorted(names) if name.startswith("cpu")]
    return tuple(path for path in paths if os.path.isdir(path))
