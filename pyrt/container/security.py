"""What a program may do: capabilities, filter, hidden paths, confinement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyrt.container.checks import container_path, fail, mapping, sequence, strings
from pyrt.container.host import HostFacts
from pyrt.container.options import RunOptions
from pyrt.errors import InvalidArgument, InvalidOption, Unsupported
from pyrt.oci.spec import Capabilities
from pyrt.runtime.bundle import Landlock
from pyrt.runtime.capabilities import DEFAULT, select
from pyrt.runtime.seccomp import UNCONFINED, read_profile

__all__ = ["SecurityOptions", "capabilities", "hidden_paths", "landlock", "read_security_opt"]

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_NONE: tuple[str, ...] = ()
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_BOOLEANS = {"": True, "true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """What security_opt says; `seccomp` is a profile as pyrt.runtime.seccomp.Filters takes it."""

    no_new_privileges: bool = False
    seccomp: bytes | None = None
    hide_paths: bool = True
    writable_cgroups: bool = False


def read_security_opt(options: RunOptions, *, privileged: bool) -> SecurityOptions:
    """Read the list as Docker does; `name:value` is taken as `name=value`.

    Raises InvalidOption for what is no option or no profile, Unsupported for labels and AppArmor profiles.
    """
    seccomp = UNCONFINED if privileged else None
    given = options.get("security_opt")
    if given is None:
        return SecurityOptions(seccomp=seccomp, writable_cgroups=privileged)
    no_new_privileges, hide_paths, writable_cgroups = False, True, privileged
    for entry in strings(given, "security_opt"):
        name, separator, value = entry.partition("=") if "=" in entry else entry.partition(":")
        if name == "no-new-privileges":
            no_new_privileges = _boolean(entry, value)
        elif name == "writable-cgroups" and separator:
            writable_cgroups = _boolean(entry, value)
        elif name == "seccomp" and value:
            seccomp = _profile(value)
        elif entry in ("systempaths=unconfined", "systempaths:unconfined"):
            hide_paths = False
        elif name in ("label", "apparmor") and value:
            _check_unconfined(name, value)
        else:
            fail("security_opt", f"there is no option {entry!r}")
    return SecurityOptions(no_new_privileges, seccomp, hide_paths, writable_cgroups)


def capabilities(
    options: RunOptions, host: HostFacts, *, privileged: bool, in_userns: bool, is_root: bool
) -> Capabilities:
    """Give the sets: all three of bounding, effective and permitted for root, bounding alone for another user.

    In a user namespace everything can be had; elsewhere only what the bounding set of the host program holds. Raises
    InvalidOption, and Unsupported for a capability in cap_add that cannot be had.
    """
    available = host.known if in_userns else host.bounding
    chosen = select(
        strings(options.get("cap_add"), "cap_add"),
        strings(options.get("cap_drop"), "cap_drop"),
        privileged=privileged,
        default=DEFAULT & available,
        available=available,
    )
    return Capabilities(chosen, chosen, permitted=chosen) if is_root else Capabilities(chosen)


def hidden_paths(
    options: RunOptions, host: HostFacts, security: SecurityOptions, *, privileged: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the paths to mask and the paths to make read-only."""
    if privileged or not security.hide_paths:
        masked, read_only = _NONE, _NONE
    else:
        masked, read_only = _MASKED + host.thermal_paths, _READ_ONLY
    return _paths(options.get("masked_paths"), "masked_paths", masked), _paths(
        options.get("readonly_paths"), "readonly_paths", read_only
    )


def landlock(options: RunOptions) -> Landlock | None:
    """Give the paths to which the program is confined, None where it is not. Raises InvalidOption."""
    given = options.get("landlock")
    if given is None:
        return None
    lists: Mapping[str, object]
    if isinstance(given, Landlock):
        lists = {"read_only": given.read_only, "read_write": given.read_write}
    else:
        lists = mapping(given, "landlock")
    if unknown := lists.keys() - {"read_only", "read_write"}:
        fail("landlock", f"{min(unknown)!r} is neither read_only nor read_write")
    return Landlock(*(_paths(lists.get(name), "landlock", ()) for name in ("read_only", "read_write")))


def _paths(given: object, argument: str, default: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return default
    return tuple([container_path(path, argument) for path in sequence(given, argument)])


def _boolean(entry: str, value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    if found is None:
        fail("security_opt", f"{entry!r} is neither true nor false")
    return found


def _profile(value: str) -> bytes | None:
    try:
        return read_profile(value)
    except InvalidArgument as error:
        raise InvalidOption(str(error), argument="security_opt") from error


def _check_unconfined(name: str, value: str) -> None:
    unconfined = {"label": "disable", "apparmor": "unconfined"}[name]
    if value != unconfined:
        raise Unsupported(
            f"security_opt {name}={value}", f"pyrt sets no such labels; leave it out, or say {name}={unconfined}"
        )
