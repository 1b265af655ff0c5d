"""A host, a user and an image that the tests of container/ ask for containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pyrt.container import Draft, HostFacts, Identity, RunOptions, build
from pyrt.oci.config import ImageConfig
from pyrt.oci.spec import IdMapping, User

__all__ = ["CONTAINER_ID", "HOST", "ROOTLESS", "draft"]

CONTAINER_ID = "0123456789abcdef0123456789abcdef"
HOST = HostFacts(
    cpus=frozenset(range(4)),
    memory_nodes=frozenset({0}),
    hard_limits={"RLIMIT_NOFILE": 4096, "RLIMIT_CORE": -1},
    sysctls=frozenset({"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"}),
    uid_mappings=(IdMapping(0, 100000, 65536),),
    gid_mappings=(IdMapping(0, 100000, 65536),),
)
ROOTLESS = HostFacts(
    uid=1000,
    gid=1000,
    effective=frozenset(),
    bounding=HOST.bounding,
    hard_limits={"RLIMIT_NOFILE": 4096},
    sysctls=HOST.sysctls,
    oom_score_adj=100,
    uid_mappings=(IdMapping(0, 1000, 1),),
    gid_mappings=(IdMapping(0, 1000, 1),),
)


def draft(
    options: Mapping[str, Any] | None = None,
    *,
    host: HostFacts = HOST,
    config: ImageConfig | None = None,
    args: Any = ("/bin/nop",),
    user: Any = None,
) -> Draft:
    """Build with defaults for all that a test does not care about."""
    return build(
        config or ImageConfig(),
        args,
        cast(RunOptions, options or {}),
        host,
        user or Identity(User(), "/root"),
        container_id=CONTAINER_ID,
    )
