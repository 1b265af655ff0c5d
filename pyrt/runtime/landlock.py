"""Landlock (landlock(7)): the accesses that the rules of a container name, for the kernel at hand.

Takes a Landlock value, writes the operations of a plan. Raises Unsupported where the kernel has none.
"""

from __future__ import annotations

from pyrt.errors import Unsupported
from pyrt.runtime.bundle import Landlock
from pyrt.runtime.plan_writer import Kind, PlanWriter

__all__ = ["abi_version", "add"]

FILE = 0xC007  # EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV: what fits something that is no directory
READ = 0b1101  # EXECUTE, READ_FILE, READ_DIR
WRITES_BY_ABI = {1: 0x1FF2, 2: 0x2000, 3: 0x4000, 5: 0x8000}  # since then REFER, TRUNCATE, IOCTL_DEV


def abi_version() -> int:
    """Give the version of this kernel's Landlock, 0 where there is none."""
    from pyrt._native.syscalls import landlock_abi_version  # cffi is not worth loading for those who do not ask

    return landlock_abi_version()


def add(writer: PlanWriter, landlock: Landlock) -> None:
    """Write the rules: reading and executing below `read_only`, everything below `read_write`, nothing elsewhere."""
    abi = abi_version()
    if not abi:
        raise Unsupported("landlock", "this kernel has none; Linux 5.13 with lsm=landlock has")
    writes = sum(bits for since, bits in WRITES_BY_ABI.items() if since <= abi)
    writer.add(Kind.LANDLOCK_NEW, a=READ | writes)
    for path in landlock.read_only:
        writer.add(Kind.LANDLOCK_PATH, path=path, a=READ, b=READ & FILE)
    for path in landlock.read_write:
        writer.add(Kind.LANDLOCK_PATH, path=path, a=READ | writes, b=(READ | writes) & FILE)
    writer.add(Kind.LANDLOCK_ENFORCE)
