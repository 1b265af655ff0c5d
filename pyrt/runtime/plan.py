"""From a Bundle to the flat Plan that pyrt-init executes: every decision is taken here, every string encoded.

Takes a Bundle, the seccomp program and what the host looks like; gives bytes. Raises InvalidSpec for what cannot be
expressed. The order of the operations is the order in which privileges are needed and given up:
mounts, the terminal, names, masks, pivot, limits, identity, Landlock, the filter, capabilities, exec.
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Sequence

from pyrt.errors import InvalidSpec
from pyrt.oci.spec import Mount, Process, Spec
from pyrt.runtime import capabilities, landlock
from pyrt.runtime.bundle import Bundle
from pyrt.runtime.plan_writer import Kind, OpFlag, PlanWriter
from pyrt.runtime.rootfs import RootfsWriter

__all__ = ["compile"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOUNT_ATTR_RDONLY = 1
RLIM_INFINITY = 2**64 - 1


def compile(
    bundle: Bundle,
    *,
    stage: str,
    filter: bytes = b"",
    filter_flags: int = 0,
    cgroup_mounts: Sequence[Mount] = (),
    in_user_namespace: bool = False,
) -> bytes:
    """Give the plan for one container.

    `stage` is a directory of the host on which the root is built, in the container's mount namespace only. `filter` is a
    classic BPF program (struct sock_filter[]; empty: none), `filter_flags` are SECCOMP_FILTER_FLAG_*. `cgroup_mounts` take the place of the spec's mount of type
    "cgroup". Raises InvalidSpec.
    """
    spec = bundle.spec
    writer = PlanWriter()
    writer.add(Kind.SETSID)
    RootfsWriter(writer, bundle, stage=stage, in_user_namespace=in_user_namespace).write(cgroup_mounts)
    add_scene(writer, spec)
    add_limits(writer, spec.process)
    add_identity(writer, spec.process)
    if bundle.landlock is not None:
        landlock.add(writer, bundle.landlock)
    writer.add(Kind.GO)
    add_confinement(writer, spec.process, filter, filter_flags)
    if bundle.init:
        writer.add(Kind.STAY, a=int(spec.process.terminal))
    writer.add(Kind.EXEC, data=writer.offsets((candidates(spec.process), spec.process.args, spec.process.env)))
    return writer.finish()


def add_scene(writer: PlanWriter, spec: Spec) -> None:
    """Write what the container sees: terminal, names, loopback, sysctls, masks; then leave the host's files."""
    process, linux = spec.process, spec.linux
    made = {namespace.type for namespace in linux.namespaces if namespace.path is None}
    if process.terminal:
        rows, columns = process.console_size or (24, 80)
        writer.add(Kind.TTY, a=rows, b=columns, c=process.user.uid)
    if spec.hostname is not None:
        writer.add(Kind.HOSTNAME, path=spec.hostname)
    if spec.domainname is not None:
        writer.add(Kind.DOMAINNAME, path=spec.domainname)
    if "network" in made:
        writer.add(Kind.LOOPBACK)
    for name, value in linux.sysctl.items():
        text = value.encode()
        writer.add(Kind.SYSCTL, path=f"/proc/sys/{name.replace('.', '/')}", data=text, c=len(text))
    for path in linux.readonly_paths:
        writer.add(Kind.READONLY, path=path)
    for path in linux.masked_paths:
        writer.add(Kind.MASK, path=path)
    if process.cwd != "/":
        writer.add(Kind.MKDIRS, path=process.cwd, a=0o755)
    if spec.root.readonly:
        writer.add(Kind.ROOT_ATTRIBUTES, b=MOUNT_ATTR_RDONLY)
    writer.add(Kind.PIVOT)


def add_limits(writer: PlanWriter, process: Process) -> None:
    """Write the settings that the program inherits from its start."""
    if process.oom_score_adj is not None:
        text = str(process.oom_score_adj).encode()
        writer.add(Kind.OOM_SCORE, data=text, c=len(text))
    for limit in process.rlimits:
        number = getattr(resource, limit.type, None)
        if not isinstance(number, int):
            raise InvalidSpec(f"{limit.type} is no resource limit of this system", argument="rlimits")
        soft, hard = (RLIM_INFINITY if value < 0 else value for value in (limit.soft, limit.hard))
        writer.add(Kind.RLIMIT, path=limit.type, a=number, b=soft, c=hard)
    umask = process.user.umask
    writer.add(Kind.UMASK, a=0o022 if umask is None else umask)


def add_identity(writer: PlanWriter, process: Process) -> None:
    """Write who the program is. The directory comes after, for it is the user who must be allowed to enter it."""
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
