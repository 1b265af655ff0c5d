"""Which namespaces a container has of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from pyrt.container.checks import fail, text
from pyrt.container.host import HostFacts
from pyrt.container.options import RunOptions
from pyrt.errors import Unsupported
from pyrt.oci.spec import Namespace

__all__ = ["Modes", "namespaces", "read_modes"]

_MOUNT, _PID = Namespace("mount"), Namespace("pid")
_UTS, _IPC, _NETWORK = Namespace("uts"), Namespace("ipc"), Namespace("network")
_CGROUP, _USER = Namespace("cgroup"), Namespace("user")


@dataclass(frozen=True, slots=True)
class Modes:
    """True for each namespace that is the container's own; those of mounts and processes always are."""

    network: bool
    ipc: bool
    shm: bool  # whether there is a /dev/shm
    uts: bool
    cgroup: bool
    user: bool


def read_modes(options: RunOptions, host: HostFacts) -> Modes:
    """Decide from network_mode, ipc_mode, pid_mode, uts_mode, cgroupns and userns_mode.

    Raises InvalidOption for a word that its option does not have, Unsupported for a mode that is Docker's but not ours.
    """
    network = _word(options, "network_mode", "none")
    if network not in ("none", "host"):
        raise Unsupported(f"network_mode={network!r}", "there are no networks yet; use 'none' or 'host'")
    ipc = _word(options, "ipc_mode", "private")
    if ipc not in ("private", "none", "host"):
        _refuse("ipc_mode", ipc, ("shareable",), "private, none or host")
    pid = _word(options, "pid_mode", "private")
    if pid == "host":
        reason = "the processes of a container end with it for certain only in a PID namespace of their own"
        raise Unsupported("pid_mode='host'", reason)
    if pid != "private":
        _refuse("pid_mode", pid, (), "private")
    return Modes(
        network=network == "none",
        ipc=ipc != "host",
        shm=ipc != "none",
        uts=_is_private(options, "uts_mode"),
        cgroup=_is_private(options, "cgroupns"),
        user=_has_user(options, host),
    )


def namespaces(modes: Modes) -> tuple[Namespace, ...]:
    """Give the namespaces to make."""
    found = [_MOUNT, _PID]
    if modes.network:
        found.append(_NETWORK)
    if modes.ipc:
        found.append(_IPC)
    if modes.uts:
        found.append(_UTS)
    if modes.cgroup:
        found.append(_CGROUP)
    if modes.user:
        found.append(_USER)
    return tuple(found)


def _has_user(options: RunOptions, host: HostFacts) -> bool:
    asked = _word(options, "userns_mode", "")
    if asked not in ("", "host", "private", "auto"):
        _refuse("userns_mode", asked, (), "private, auto or host")
    if asked == "host" and host.is_rootless:
        reason = "without CAP_SYS_ADMIN a container can only be made in a user namespace; run as root, or leave it out"
        raise Unsupported("userns_mode='host'", reason)
    wanted = asked in ("private", "auto") or (not asked and host.is_rootless)
    if wanted and not (host.uid_mappings and host.gid_mappings):
        raise Unsupported("user namespace", "this engine has no ids to map into it")
    return wanted


def _is_private(options: RunOptions, name: str) -> bool:
    word = _word(options, name, "private")
    if word not in ("private", "host"):
        fail(name, f"{word!r} is neither 'private' nor 'host'")
    return word == "private"


def _word(options: RunOptions, name: str, default: str) -> str:
    value = options.get(name)
    return default if value is None else text(value, name)


def _refuse(name: str, word: str, known: tuple[str, ...], offered: str) -> NoReturn:
    if word in known or word.startswith(("container:", "ns:")):
        raise Unsupported(f"{name}={word!r}", f"containers do not share namespaces yet; use {offered}")
    fail(name, f"{word!r} is not {offered}")
