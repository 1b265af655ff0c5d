"""From a Bundle to the flat Plan that pyrt-init executes: every decision is taken here, every string encoded.

Takes a Bundle, the seccomp program and what the host looks like; gives bytes. Raises InvalidSpec for what cannot be
expressed. The order of the operations is the order in which privileges are needed and given up:
mounts, the terminal, names, masks, pivot, limits, identity, Landlock, the filter, capabilities, exec.
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pyrt.errors import InvalidSpec
from pyrt.oci.spec import Mount, Process, Spec
from pyrt.runtime import capabilities, landlock
from pyrt.runtime.bundle import Bundle
from pyrt.runtime.plan_writer import Kind, OpFlag, PlanWriter
from pyrt.runtime.rootfs import RootfsWriter
from pyrt.runtime.stack import Clones

__all__ = ["Planner"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOUNT_ATTR_RDONLY = 1
RLIM_INFINITY = 2**64 - 1
KEPT = 16
T = TypeVar("T")


class Planner:
    """Compiles plans, and keeps the fragments that do not differ from container to container. Thread-safe.

    `stage` is a directory of the host on which roots are built, each in the container's own mount namespace.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._kept: dict[str, list[tuple[object, Any]]] = {"mounts": [], "covers": []}

    def compile(
        self,
        bundle: Bundle,
        *,
        filter: bytes = b"",
        filter_flags: int = 0,
        cgroup_mounts: Sequence[Mount] = (),
        in_user_namespace: bool = False,
        idmapped: Clones | None = None,
    ) -> bytes:
        """Give the plan for one container.

        `filter` is a classic BPF program (struct sock_filter[]; empty: none), `filter_flags` are
        SECCOMP_FILTER_FLAG_*. `cgroup_mounts` take the place of the spec's mount of type "cgroup". `idmapped`
        says which directories come as idmapped mounts. Raises InvalidSpec.
        """
        spec = bundle.spec
        root = RootfsWriter(
            bundle,
            cgroup_mounts,
            stage=self._stage,
            in_user_namespace=in_user_namespace,
            idmapped=idmapped,
        )
        before, made, mounts = self._keep("mounts", root.key(), root.mounts)
        hidden = spec.linux.readonly_paths, spec.linux.masked_paths
        covers = self._keep("covers", hidden, lambda: covers_fragment(*hidden))
        return b"".join(
            (
                before,
                root.uppers(),
                made,
                root.root_files(),
                mounts,
                scene_fragment(spec),
                covers,
                program_fragment(bundle, filter, filter_flags),
            )
        )

    def _keep(self, kind: str, key: object, make: Callable[[], T]) -> T:
        """Give what was made for an equal key before. Comparing is quick, for mostly it meets the same objects."""
        kept = self._kept[kind]
        for known, made in kept:
            if known == key:
                found: T = made
                return found
        made = make()
        self._kept[kind] = [(key, made), *kept[: KEPT - 1]]
        return made


def scene_fragment(spec: Spec) -> bytes:
    """Write what the container sees of itself: terminal, names, loopback, sysctls."""
    writer = PlanWriter()
    process, linux = spec.process, spec.linux
    writer.add(Kind.SETSID)
    if process.terminal:
        rows, columns = process.console_size or (24, 80)
        writer.add(Kind.TTY, OpFlag.AS_CONSOLE, a=rows, b=columns, c=process.user.uid)
    if spec.hostname is not None:
        writer.add(Kind.HOSTNAME, path=spec.hostname)
    if spec.domainname is not None:
        writer.add(Kind.DOMAINNAME, path=spec.domainname)
    if any(namespace.type == "network" and namespace.path is None for namespace in linux.namespaces):
        writer.add(Kind.LOOPBACK)
    for name, value in linux.sysctl.items():
        text = value.encode()
        writer.add(Kind.SYSCTL, path=f"/proc/sys/{name.replace('.', '/')}", data=text, c=len(text))
    return writer.finish()


def covers_fragment(readonly_paths: Sequence[str], masked_paths: Sequence[str]) -> bytes:
    """Write what the container shall not change or see."""
    writer = PlanWriter()
    for path in readonly_paths:
        writer.add(Kind.READONLY, path=path)
    for path in masked_paths:
        writer.add(Kind.MASK, path=path)
    return writer.finish()


def program_fragment(bundle: Bundle, filter: bytes, filter_flags: int) -> bytes:
    """Write the way from the finished root to the program."""
    writer = PlanWriter()
    spec, process = bundle.spec, bundle.spec.process
    if process.cwd != "/":
        writer.add(Kind.MKDIRS, path=process.cwd, a=0o755)
    if spec.root.readonly:
        writer.add(Kind.ROOT_ATTRIBUTES, b=MOUNT_ATTR_RDONLY)
    writer.add(Kind.PIVOT)
    add_oom_score(writer, process)
    add_limits(writer, process)
    add_identity(writer, process)
    if bundle.landlock is not None:
        landlock.add(writer, bundle.landlock)
    writer.add(Kind.PROGRAM, data=writer.offsets((candidates(process), process.args, process.env)))
    writer.add(Kind.GO)
    add_confinement(writer, process, filter, filter_flags)
    if bundle.init:
        writer.add(Kind.STAY, a=int(process.terminal))
    writer.add(Kind.EXEC)
    return writer.finish()


def add_oom_score(writer: PlanWriter, process: Process) -> None:
    """Write how gladly the kernel shall kill the program when memory lacks."""
    if process.oom_score_adj is not None:
        text = str(process.oom_score_adj).encode()
        writer.add(Kind.OOM_SCORE, data=text, c=len(text))


def add_limits(writer: PlanWriter, process: Process) -> None:
    """Write the limits that the program inherits from its start."""
    for limit in process.rlimits:
        number = getattr(resource, limit.type, None)
        if not isinstance(number, int):
            raise InvalidSpec(f"{limit.type} is no resource limit of this system", argument="rlimits")
        soft, hard = (RLIM_INFINITY if value < 0 else value for value in (limit.soft, limit.hard))
        writer.add(Kind.RLIMIT, path=limit.type, a=number, b=soft, c=hard)
    umask = process.user.umask
    writer.add(Kind.UMASK, a=0o022 if umask is None else umask)


def add_identity(writer: PlanWriter, process: Process) -> None:
    """Write who the program is, then its directory: entered with the user's ids, but with capabilities still held."""
    user = process.user
    writer.add(Kind.BOUNDING, a=capabilities.mask(process.capabilities.bounding))
    groups = struct.pack(f"<{len(user.additional_gids)}I", *user.additional_gids)
    writer.add(Kind.USER, a=user.uid, b=user.gid, c=len(user.additional_gids), data=groups)
    writer.add(Kind.CWD, path=process.cwd)


def add_confinement(writer: PlanWriter, process: Process, filter: bytes, flags: int) -> None:
    """Write the filter and the capabilities.

    Without no_new_privs the filter needs CAP_SYS_ADMIN, so it comes before they are given up, and must let capset(2)
    pass (seccomp(2)).
    """
    sets = process.capabilities
    if process.no_new_privileges:
        writer.add(Kind.NO_NEW_PRIVS)
    if filter and not process.no_new_privileges:
        writer.add(Kind.SECCOMP, data=filter, a=flags, c=len(filter) // 8)
    writer.add(
        Kind.CAPABILITIES,
        a=capabilities.mask(sets.permitted),
        b=capabilities.mask(sets.inheritable),
        c=capabilities.mask(sets.ambient),
    )
    if filter and process.no_new_privileges:
        writer.add(Kind.SECCOMP, data=filter, a=flags, c=len(filter) // 8)


def candidates(process: Process) -> list[str]:
    """Give the files that may be the program, as execvp(3) would try them."""
    program = process.args[0]
    if "/" in program:
        return [program]
    path = DEFAULT_PATH
    for entry in process.env:
        if entry.startswith("PATH="):
            path = entry.removeprefix("PATH=")
    return [os.path.join(directory or ".", program) for directory in path.split(":")]
