"""The OCI runtime-spec's config.json as frozen values.

Names are the specification's (config.md, config-linux.md of runtime-spec 1.2), in snake_case; sizes are bytes, times
microseconds where the specification says so, modes integers. None means "not given": the runtime leaves the kernel's
or the parent's setting alone. Nothing here looks at the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "BlockIO",
    "Capabilities",
    "Cpu",
    "Device",
    "DeviceRule",
    "HugepageLimit",
    "IdMapping",
    "Linux",
    "Memory",
    "Mount",
    "Namespace",
    "Pids",
    "Process",
    "Resources",
    "Rlimit",
    "Root",
    "Spec",
    "ThrottleDevice",
    "User",
    "WeightDevice",
]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: what the snapshotters return and what config.json lists.

    `destination` is a path in the container ("" for the root itself); options are mount(8)'s and the specification's
    (`ro`, `rbind`, `rslave`, `rro`, …), anything else is passed to the file system as data.
    """

    destination: str
    type: str
    source: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IdMapping:
    """A range of ids: `size` of them, from `container_id` inside and `host_id` outside."""

    container_id: int
    host_id: int
    size: int


@dataclass(frozen=True, slots=True)
class User:
    """The numeric identity of a process."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A resource limit by its name (`RLIMIT_NOFILE`, …); -1 is infinity."""

    type: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The five capability sets, as names (`CAP_CHOWN`, …)."""

    bounding: frozenset[str] = frozenset()
    effective: frozenset[str] = frozenset()
    inheritable: frozenset[str] = frozenset()
    permitted: frozenset[str] = frozenset()
    ambient: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Process:
    """The program and the state it starts with."""

    args: tuple[str, ...]
    cwd: str = "/"
    env: tuple[str, ...] = ()
    user: User = User()
    terminal: bool = False
    console_size: tuple[int, int] | None = None  # rows, columns
    capabilities: Capabilities = Capabilities()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """The root file system: a directory of the bundle."""

    path: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace to make (`path` None) or to join. `type` is mount pid uts ipc network cgroup user or time."""

    type: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device node in the container. `type` is c (u), b or p."""

    path: str
    type: str
    major: int
    minor: int
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """A line of the device cgroup's list. `type` is a, c or b; major and minor None mean all; access is of r, w, m."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory limits in bytes; -1 is unlimited. `swap` is memory and swap together, as in v1 and Docker."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = None


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU limits: `quota`, `period` and `burst` in microseconds, `shares` on v1's scale (2 to 262144)."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    burst: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: int | None = None


@dataclass(frozen=True, slots=True)
class Pids:
    """The limit of tasks; -1 is unlimited."""

    limit: int


@dataclass(frozen=True, slots=True)
class WeightDevice:
    """A weight (10 to 1000) for one block device."""

    major: int
    minor: int
    weight: int


@dataclass(frozen=True, slots=True)
class ThrottleDevice:
    """A rate (bytes or operations in a second) for one block device."""

    major: int
    minor: int
    rate: int


@dataclass(frozen=True, slots=True)
class BlockIO:
    """Block I/O limits, on v1's scale of weights (10 to 1000)."""

    weight: int | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class HugepageLimit:
    """A limit in bytes for one page size (`2MB`, `1GB`, …)."""

    page_size: str
    limit: int


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container may use. `unified` is written as it is, file by file, and needs cgroup v2."""

    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = None
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    devices: tuple[DeviceRule, ...] = ()
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Linux:
    """config-linux.md. `seccomp` is the document's own JSON (Docker's profile form is turned into it before)."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str | None = None
    resources: Resources = Resources()
    rootfs_propagation: str | None = None
    seccomp: bytes | None = None
    sysctl: Mapping[str, str] = field(default_factory=dict)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """The whole of config.json."""

    process: Process
    root: Root
    hostname: str | None = None
    domainname: str | None = None
    mounts: tuple[Mount, ...] = ()
    linux: Linux = Linux()
    annotations: Mapping[str, str] = field(default_factory=dict)
    oci_version: str = "1.2.1"
