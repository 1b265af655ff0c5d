"""What can be taken from a program, and what this process can give it."""

from __future__ import annotations

from collections.abc import Iterator

from pyrt._native.syscalls import landlock_abi_version
from pyrt.cli.checks.check import Check, limited, missing, ok
from pyrt.container import HostFacts
from pyrt.runtime.capabilities import DEFAULT
from pyrt.runtime.seccomp import Filters

__all__ = ["examine", "landlock", "privileges"]

TRUNCATE, DEVICES = 3, 5  # the ABIs since which Landlock knows truncate(2) and ioctl(2) on devices
GRANT = "give it to this process (systemd: CapabilityBoundingSet=, docker: --cap-add)"


def examine() -> Iterator[Check]:
    """Give the default filter, Landlock, and what the capabilities of this process do not allow."""
    program = Filters().program(None, DEFAULT)
    if program is not None:
        yield ok("seccomp filter", f"docker's default profile in {program.instructions} instructions")
    yield landlock(landlock_abi_version())
    yield from privileges(HostFacts.read())


def landlock(abi: int) -> Check:
    """Say what a Landlock ABI can do; 0 is none."""
    if not abi:
        return missing("Landlock", "--landlock-ro and --landlock-rw need it", "Linux 5.13 booted with lsm=landlock,…")
    lacks = [what for since, what in ((TRUNCATE, "truncating"), (DEVICES, "ioctl on devices")) if abi < since]
    if lacks:
        return limited("Landlock", f"ABI {abi} does not hold back {' and '.join(lacks)}", "Linux 6.10")
    return ok("Landlock", f"ABI {abi}")


def privileges(host: HostFacts) -> Iterator[Check]:
    """Say what the capabilities of this process keep a container from."""
    lacking = sorted(DEFAULT - host.bounding)
    if lacking and not host.is_rootless:
        yield limited("capabilities", f"containers cannot have {', '.join(lacking)} of docker's fourteen", GRANT)
    else:
        yield ok("capabilities", "in its user namespace a container has docker's fourteen" if host.is_rootless else "")
    if host.has_sys_resource:
        yield ok("raising limits")
    else:
        reason = (
            "without CAP_SYS_RESOURCE a --ulimit cannot be above this process's own hard limit, nor --oom-score-adj"
        )
        yield limited(
            "raising limits", f"{reason} below {host.oom_score_adj}", "run as root" * host.is_rootless or GRANT
        )
