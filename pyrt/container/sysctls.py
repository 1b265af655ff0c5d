"""Kernel parameters of a container: those that a namespace of its own keeps from the host."""

from __future__ import annotations

from pyrt.container.checks import fail, mapping, text
from pyrt.container.host import HostFacts
from pyrt.container.namespaces import Modes
from pyrt.container.options import RunOptions

__all__ = ["sysctls"]

_IPC = frozenset(f"kernel.{name}" for name in "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split())
_NAMES = {"kernel.hostname": "hostname", "kernel.domainname": "domainname"}
_PING = "net.ipv4.ping_group_range"
_PORTS = "net.ipv4.ip_unprivileged_port_start"


def sysctls(options: RunOptions, host: HostFacts, modes: Modes) -> dict[str, str]:
    """Give the parameters to write, Docker's two for an own network first: ping and low ports for every user.

    Raises InvalidOption for a parameter that has no namespace, or whose namespace is the host's.
    """
    found: dict[str, str] = {}
    if modes.network:
        if _PING in host.sysctls and not (modes.user or host.in_userns):  # it wants all gids mapped
            found[_PING] = "0 2147483647"
        if _PORTS in host.sysctls:
            found[_PORTS] = "0"
    for name, value in mapping(options.get("sysctls"), "sysctls").items():
        _check_name(name, modes)
        if isinstance(value, bool) or not isinstance(value, str | int):
            fail("sysctls", f"the value of {name} must be a str or an int, not {value!r}")
        found[name] = text(str(value), "sysctls")
        if not found[name].isascii():
            fail("sysctls", f"the value of {name} must be ASCII, not {value!r}")
    return found


def _check_name(name: str, modes: Modes) -> None:
    if name in _NAMES:
        fail("sysctls", f"{name} is set by the option {_NAMES[name]}")
    if "/" in name or not (name.isascii() and name.isprintable()) or not all(name.split(".")):
        fail("sysctls", f"{name!r} is not the name of a parameter, as in 'net.ipv4.ip_forward'")
    if name in _IPC or name.startswith("fs.mqueue."):
        if not modes.ipc:
            fail("sysctls", f"{name} would change the host: ipc_mode is 'host'")
    elif not name.startswith("net."):
        fail("sysctls", f"{name} is not kept apart by any namespace: it would change the host")
    elif not modes.network:
        fail("sysctls", f"{name} would change the host: network_mode is 'host'")
