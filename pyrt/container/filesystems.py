"""The file systems that every container has, as Docker mounts them, and what becomes of them in a user namespace."""

from __future__ import annotations

import os

from pyrt.container.checks import fail
from pyrt.container.host import HostFacts
from pyrt.container.namespaces import Modes
from pyrt.container.options import RunOptions
from pyrt.container.sizes import size
from pyrt.oci.spec import Mount

__all__ = ["default_mounts"]

_STRICT = ("nosuid", "noexec", "nodev")
_PROC = Mount("/proc", "proc", "proc", _STRICT)
_DEV = Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"))
_PTS_OPTIONS = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
_PTS = Mount("/dev/pts", "devpts", "devpts", (*_PTS_OPTIONS, "gid=5"))
_PTS_WITHOUT_TTY_GROUP = Mount("/dev/pts", "devpts", "devpts", _PTS_OPTIONS)
_MQUEUE = Mount("/dev/mqueue", "mqueue", "mqueue", _STRICT)
_HOST_MQUEUE = Mount("/dev/mqueue", "bind", "/dev/mqueue", ("bind", *_STRICT))
_HOST_SHM = Mount("/dev/shm", "bind", "/dev/shm", ("bind", *_STRICT))
_SHM_BYTES = 64 << 20
_SHM_OPTIONS = (*_STRICT, "mode=1777")
_SHM = Mount("/dev/shm", "tmpfs", "shm", (*_SHM_OPTIONS, f"size={_SHM_BYTES}"))
_SYS = Mount("/sys", "sysfs", "sysfs", (*_STRICT, "ro"))
_SYS_RW = Mount("/sys", "sysfs", "sysfs", _STRICT)
_CGROUP = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", *_STRICT))
_CGROUP_RW = Mount("/sys/fs/cgroup", "cgroup", "cgroup", _STRICT)
_TTY_GROUP = 5
_RECURSIVE_ATTRIBUTES = (5, 12)  # mount_setattr(2)


def default_mounts(
    options: RunOptions, host: HostFacts, modes: Modes, *, privileged: bool, writable_cgroups: bool
) -> tuple[Mount, ...]:
    """Give the mounts in order. Raises InvalidOption for a shm_size that is none or says nothing."""
    found = [_PROC, _DEV, _pts(host, modes)]
    found.append(_sys(host, modes, privileged))
    if host.cgroup != "none":
        found.append(_cgroup(host, modes, writable_cgroups))
    shared = (_MQUEUE if modes.ipc else _HOST_MQUEUE, _shm(options, modes))
    # The host may have no such place itself, and then there is nothing to share.
    found += [mount for mount in shared if mount and (mount.type != "bind" or os.path.isdir(mount.source))]
    return tuple(found)


def _pts(host: HostFacts, modes: Modes) -> Mount:
    if not modes.user:
        return _PTS
    mapped = any(line.container_id <= _TTY_GROUP < line.container_id + line.size for line in host.gid_mappings)
    return _PTS if mapped else _PTS_WITHOUT_TTY_GROUP


def _sys(host: HostFacts, modes: Modes, privileged: bool) -> Mount:
    if not (modes.user and not modes.network):
        return _SYS_RW if privileged else _SYS
    # The kernel mounts a sysfs only for who owns the network namespace, and that is the host's.
    return _shown("/sys", host, privileged)


def _cgroup(host: HostFacts, modes: Modes, writable: bool) -> Mount:
    # In the host's cgroup namespace a new mount is refused to a user namespace, and for root would change the options
    # that the host has chosen for its own, such as nsdelegate.
    if not modes.cgroup:
        return _shown("/sys/fs/cgroup", host, writable)
    return _CGROUP_RW if writable else _CGROUP


def _shown(path: str, host: HostFacts, writable: bool) -> Mount:
    """Show what the host has there, with all that is mounted below."""
    words: tuple[str, ...] = _STRICT if writable else (*_STRICT, "ro")
    if host.kernel >= _RECURSIVE_ATTRIBUTES:
        words = tuple([f"r{word}" for word in words])
    return Mount(path, "bind", path, ("rbind", *words))


def _shm(options: RunOptions, modes: Modes) -> Mount | None:
    asked = options.get("shm_size")
    if asked is None:
        return None if not modes.shm else _SHM if modes.ipc else _HOST_SHM
    limit = size(asked, "shm_size")
    if not (modes.shm and modes.ipc):
        fail("shm_size", "ipc_mode leaves the container without a /dev/shm of its own")
    return Mount("/dev/shm", "tmpfs", "shm", (*_SHM_OPTIONS, f"size={limit}")) if limit else _SHM
