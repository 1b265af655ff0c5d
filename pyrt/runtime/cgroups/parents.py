"""The directories above the containers' own: made at need, and ready for children before any can be made there.

On v2 they hand the needed controllers down, on v1 they fill cpusets. A list of devices that many containers share is
put on a parent once, and children inherit it: "armed" below it is made after the list, so what is in there is held by
it at any moment, whoever made it and whenever it died.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from pyrt._native import cgroup as door
from pyrt.errors import SyscallError, Unsupported
from pyrt.oci.spec import DeviceRule
from pyrt.runtime.cgroups.devices import device_lines, device_program, digest
from pyrt.runtime.cgroups.files import read, write
from pyrt.runtime.cgroups.hierarchy import Hierarchy

__all__ = ["armed_parent", "attach", "hand_down", "keep_parents", "parents_of", "prepare", "tidy"]

ARMED = "armed"
GONE = (errno.ENOENT, errno.ENODEV)  # what a file of a cgroup says that has been removed


def armed_parent(top: str, rules: Sequence[DeviceRule]) -> str:
    """Give the path, relative to the base, of the parent that holds a list of devices."""
    return f"{top}-devices-{digest(rules)}/{ARMED}"


def parents_of(hierarchy: Hierarchy, top: str) -> list[str]:
    """Give the parents of containers that are there, relative to the base: the plain one and those with a list."""
    if hierarchy.base is None:
        return []
    shared = [name for name in os.listdir(hierarchy.base) if name.startswith(f"{top}-devices-")]
    found = [top, *(f"{name}/{ARMED}" for name in sorted(shared))]
    return [parent for parent in found if os.path.isdir(f"{hierarchy.base}/{parent}")]


def prepare(
    hierarchy: Hierarchy, parent: str, needed: Collection[str], wanted: Collection[str], rules: Sequence[DeviceRule]
) -> None:
    """Make `parent` (relative to the base) with all above it; an armed one gets its list of devices.

    Raises Unsupported where a controller that is needed cannot be handed down; one that is wanted may lack.
    """
    base = str(hierarchy.base)
    path = base
    for part in parent.split("/"):
        if hierarchy.version == 2:
            hand_down(path, needed, wanted)
        if part == ARMED:
            _arm(path, hierarchy.version, rules)
        path = f"{path}/{part}"
        with suppress(FileExistsError):
            _make(path)
        if "cpuset" in hierarchy.controllers and hierarchy.version == 1:
            _fill_cpuset(path)
    if hierarchy.version == 2:
        hand_down(path, needed, wanted)


def hand_down(directory: str, needed: Collection[str], wanted: Collection[str] = ()) -> None:
    """Enable controllers for the children of a v2 directory. Raises Unsupported for the first needed one that fails.

    Above processes none is tried: the kernel would enable pids and cpu there, and then take no process into a child.
    """
    file = f"{directory}/cgroup.subtree_control"
    lacking = {*needed, *wanted} - set(read(file).split())
    if lacking and _holds_processes(directory):
        if refused := sorted(lacking & {*needed}):
            raise Unsupported(f"cgroup controller {refused[0]}", _why_not(errno.EBUSY, directory))
        return
    for controller in sorted(lacking):
        try:
            write(file, f"+{controller}")
        except OSError as e:
            if controller in needed:
                raise Unsupported(f"cgroup controller {controller}", _why_not(e.errno, directory)) from e


def _holds_processes(directory: str) -> bool:
    """Say whether there are processes directly in a v2 cgroup; the root of all, which has no type, may have them."""
    return bool(read(f"{directory}/cgroup.type")) and bool(read(f"{directory}/cgroup.procs"))


def tidy(hierarchy: Hierarchy, top: str) -> None:
    """Remove the parents that have no children. A create that needs them makes them again."""
    if hierarchy.base is None:
        return
    with _locked(hierarchy.base):
        for parent in parents_of(hierarchy, top):
            path = f"{hierarchy.base}/{parent}"
            with suppress(OSError):
                os.rmdir(path)
                if parent.endswith(f"/{ARMED}"):
                    os.rmdir(os.path.dirname(path))


@contextmanager
def keep_parents(base: str) -> Iterator[None]:
    """Hold off everyone's `tidy` below `base`, for as long as it takes to make a parent and the first child in it."""
    with _locked(base, fcntl.LOCK_SH):
        yield


def _why_not(error: int | None, directory: str) -> str:
    if error == errno.EBUSY:
        mend = "move them into a child of it, or name another cgroup by cgroup_parent"
        return f"{directory} holds processes, so it cannot hand controllers down: {mend}"
    return f"{directory} cannot hand it down: {os.strerror(error or 0)}"


def _arm(directory: str, version: int, rules: Sequence[DeviceRule]) -> None:
    """Put the list on a directory, unless "armed" says that it is there.

    All goes by the descriptor: under the path there may meanwhile be another directory, without a list.
    """
    with _locked(directory) as descriptor:
        if _has(descriptor, ARMED):
            return
        if version == 1:
            for file, line in device_lines(rules):
                write(file, line, dir_fd=descriptor)
        else:
            attach(descriptor, rules)
        _make(ARMED, descriptor)


def _make(path: str, at: int | None = None) -> None:
    """Make a directory through which a user namespace may pass to mount its cgroup, whatever the caller's umask."""
    os.mkdir(path, dir_fd=at)
    os.chmod(path, 0o755, dir_fd=at)


def _has(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def attach(cgroup: int, rules: Sequence[DeviceRule]) -> None:
    """Filter the devices of a v2 cgroup, given by a descriptor of its directory. Raises Unsupported."""
    try:
        program = door.load_device_program(device_program(rules))
        try:
            door.attach_device_program(cgroup, program)
        finally:
            os.close(program)
    except SyscallError as e:
        if e.errno in GONE:
            raise
        reason = f"{e}; the kernel needs CONFIG_CGROUP_BPF, the caller CAP_SYS_ADMIN in the first user namespace"
        raise Unsupported("device_cgroup_rules", reason) from e


@contextmanager
def _locked(directory: str, kind: int = fcntl.LOCK_EX) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def _fill_cpuset(path: str) -> None:
    """Give a new v1 cpuset what its parent has: an empty one takes no task and no child's list."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not read(f"{path}/{file}").strip():
            write(f"{path}/{file}", read(f"{os.path.dirname(path)}/{file}").strip())
