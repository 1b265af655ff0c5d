"""Choose the capabilities of a container.

Takes Docker's options (cap_add, cap_drop, privileged), gives names as config.json has them; `mask` and `names` turn
names into the kernel's 64-bit sets and back. Sources: capabilities(7), linux/capability.h, docker run's reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyrt.errors import InvalidOption, Unsupported

__all__ = ["DEFAULT", "NUMBERS", "last", "mask", "names", "select"]

NUMBERS: Mapping[str, int] = {
    f"CAP_{name}": number
    for number, name in enumerate(
        (
            "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
            "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
            "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
            "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
            "PERFMON BPF CHECKPOINT_RESTORE"
        ).split()
    )
}

DEFAULT: frozenset[str] = frozenset(
    "CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_MKNOD CAP_NET_BIND_SERVICE "
    "CAP_NET_RAW CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT".split()
)

_ALL = "ALL"
_HIGHEST = max(NUMBERS.values())


def select(
    cap_add: Iterable[str] = (),
    cap_drop: Iterable[str] = (),
    *,
    privileged: bool = False,
    default: frozenset[str] = DEFAULT,
    available: frozenset[str] | None = None,
) -> frozenset[str]:
    """Return the capabilities of a container, by Docker's rules.

    Names come in any case, with or without CAP_. Added ALL is everything but what is dropped by name; otherwise dropped
    ALL leaves what is added; otherwise the dropped go from `default` and then the added come, so that one that is in
    both is there. `privileged` is everything, and the two lists are not looked at further than for errors. Everything
    means `available`: what the running kernel has, unless the caller knows that there is less (a bounding set).
    Raises InvalidOption for a name that is no capability, Unsupported for one to add that is not available.
    """
    available = names((2 << last()) - 1) if available is None else available
    added, dropped = _read(cap_add, "cap_add"), _read(cap_drop, "cap_drop")
    if privileged:
        return available
    if lacking := added - available - {_ALL}:
        raise Unsupported(
            f"cap_add: {', '.join(sorted(lacking))}",
            "this kernel does not have it, or this process and its children may not; leave it out",
        )
    if _ALL in added:
        return available - dropped
    if _ALL in dropped:
        return added
    return (default - dropped) | added


def mask(capabilities: Iterable[str]) -> int:
    """Return the 64-bit set of the given names (`CAP_CHOWN`, …). Raises InvalidOption for a name that is none."""
    result = 0
    for name in capabilities:
        if name not in NUMBERS:
            raise _unknown(name, "capabilities")
        result |= 1 << NUMBERS[name]
    return result


def names(bits: int) -> frozenset[str]:
    """Return the names in a 64-bit set, such as CapBnd in /proc/self/status; bits without a name are left out."""
    return frozenset(name for name, number in NUMBERS.items() if bits >> number & 1)


def last(path: str = "/proc/sys/kernel/cap_last_cap") -> int:
    """Return the number of the last capability of the running kernel; at most the last that has a name here.

    Raises Unsupported where /proc is not mounted.
    """
    try:
        with open(path, encoding="ascii") as file:
            return min(int(file.read()), _HIGHEST)
    except (OSError, ValueError) as error:
        raise Unsupported("capabilities", f"cannot read the kernel's last one from {path}: {error}") from error


def _read(given: Iterable[str], argument: str) -> frozenset[str]:
    if isinstance(given, str):
        raise InvalidOption(f"must be a list of names, not the text {given!r}", argument=argument)
    return frozenset(_normal(name, argument) for name in given)


def _normal(given: str, argument: str) -> str:
    name = given.upper()
    if name == _ALL:
        return name
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    if name not in NUMBERS:
        raise _unknown(given, argument)
    return name


def _unknown(given: str, argument: str) -> InvalidOption:
    return InvalidOption(
        f"{given!r} is no capability; capabilities(7) lists them, CAP_CHOWN for one", argument=argument
    )
