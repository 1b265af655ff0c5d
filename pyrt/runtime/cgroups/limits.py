"""Resources checked, and turned into the files of cgroups that hold them.

Takes an OCI Resources, gives Limits: a value for a file of a controller, in the order in which they are written. A
value of 0 means "not given" for sizes, shares, quotas and weights, as in Docker. Nothing here looks at the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyrt.errors import InvalidOption, InvalidSpec, Unsupported
from pyrt.oci.spec import BlockIO, Cpu, Memory, Resources
from pyrt.runtime.cgroups.convert import BLKIO_WEIGHT, SHARES

__all__ = ["Limit", "check", "compile_limits"]

MIN_MEMORY_BYTES = 6 << 20
_PERIOD_US = (1000, 1_000_000)
_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_PAGE_SIZE = re.compile(r"[1-9]\d*[KMG]B")
_UNIFIED = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_]+)+")
_UNLIMITED = frozenset(["-1", "max"])
_NO_LIMIT = frozenset("cgroup." + name for name in ["procs", "threads", "kill", "freeze", "type", "subtree_control"])


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` for `file` of `controller`; `option` is the name by which Docker's users know it."""

    controller: str
    file: str
    value: str
    option: str


def check(resources: Resources) -> None:
    """Raise InvalidOption or InvalidSpec where a value is none, whatever the host."""
    if resources.memory:
        _check_memory(resources.memory)
    if resources.cpu:
        _check_cpu(resources.cpu)
    if resources.pids and resources.pids.limit < -1:
        raise InvalidOption(f"{resources.pids.limit} is neither a number of tasks nor -1", argument="pids_limit")
    if resources.block_io:
        _check_block_io(resources.block_io)
    for page in resources.hugepage_limits:
        if not _PAGE_SIZE.fullmatch(page.page_size) or page.limit < 0:
            raise InvalidSpec(f"{page.page_size!r}, {page.limit}: want 2MB or 1GB and bytes", argument="hugepageLimits")
    for file, value in resources.unified.items():
        if not _UNIFIED.fullmatch(file) or file in _NO_LIMIT or "\0" in value or not value:
            raise InvalidSpec(f"{file!r} = {value!r} is not a limit file of cgroup v2 with a value", argument="unified")


def compile_limits(
    resources: Resources,
    version_of: Callable[[str], int],
    missing: Callable[[str, str], Unsupported],
) -> list[Limit]:
    """Give the limits that are asked for; `version_of(controller)` is 1, 2, or 0 where the host has no such controller.

    There `missing(controller, option)` is raised, unless all that is asked is to have no limit.
    """
    from pyrt.runtime.cgroups import v1, v2  # both need Limit

    made: list[Limit] = []
    for controller, section in _sections(resources):
        asked = list(getattr(v1, controller)(section))
        version = version_of(controller) if asked else 1
        if version == 0:
            limiting = [limit for limit in asked if limit.value not in _UNLIMITED]
            if limiting:
                raise missing(controller, limiting[0].option)
            continue
        made += asked if version == 1 else getattr(v2, controller)(section)
    for file, value in resources.unified.items():
        controller = file.partition(".")[0]
        if version_of("v2" if controller == "cgroup" else controller) != 2:
            raise missing(controller, "unified")
        made.append(Limit(controller, file, value, "unified"))
    return made


def _sections(resources: Resources) -> Iterator[tuple[str, object]]:
    """Give each controller that something is said of, by its name in v1, with what is said."""
    if resources.memory:
        yield "memory", resources.memory
    if resources.cpu:
        yield "cpu", resources.cpu
        yield "cpuset", resources.cpu
    if resources.pids:
        yield "pids", resources.pids
    if resources.block_io:
        yield "blkio", resources.block_io
    if resources.hugepage_limits:
        yield "hugetlb", resources.hugepage_limits


def _sizes(memory: Memory) -> Iterator[tuple[str, int]]:
    yield "mem_limit", memory.limit or 0
    yield "mem_reservation", memory.reservation or 0
    yield "memswap_limit", memory.swap or 0


def _check_memory(memory: Memory) -> None:
    for option, size in _sizes(memory):
        if size < -1:
            raise InvalidOption(f"{size} is neither a number of bytes nor -1", argument=option)
    limit, reservation, swap = memory.limit or 0, memory.reservation or 0, memory.swap or 0
    if 0 < limit < MIN_MEMORY_BYTES:
        raise InvalidOption(f"{limit} bytes; at least 6 MiB are needed to start a process", argument="mem_limit")
    if 0 < limit < reservation:
        raise InvalidOption(f"{reservation} bytes are more than the {limit} of mem_limit", argument="mem_reservation")
    if swap > 0 and limit <= 0:
        raise InvalidOption("it counts memory and swap together, so mem_limit is needed too", argument="memswap_limit")
    if 0 < swap < limit:
        raise InvalidOption(f"{swap} bytes are less than the {limit} of mem_limit", argument="memswap_limit")
    if memory.swappiness is not None and not -1 <= memory.swappiness <= 100:
        raise InvalidOption(f"{memory.swappiness} is not between 0 and 100, nor -1", argument="mem_swappiness")


def _check_cpu(cpu: Cpu) -> None:
    low, high = SHARES
    if cpu.shares and not low <= cpu.shares <= high:
        raise InvalidOption(f"{cpu.shares} is not between {low} and {high}", argument="cpu_shares")
    low, high = _PERIOD_US
    if cpu.period and not low <= cpu.period <= high:
        raise InvalidOption(f"{cpu.period} µs is not between {low} and {high}", argument="cpu_period")
    if cpu.quota and cpu.quota != -1 and cpu.quota < 1000:
        raise InvalidOption(f"{cpu.quota} µs; at least 1000 are needed, or -1 for no limit", argument="cpu_quota")
    if cpu.burst and (cpu.burst < 0 or not cpu.quota or cpu.quota < cpu.burst):
        raise InvalidOption(f"{cpu.burst} µs; it is at most the quota, which must be given", argument="cpu_burst")
    if cpu.idle not in (None, 0, 1):
        raise InvalidOption(f"{cpu.idle} is neither 0 nor 1", argument="cpu_idle")
    for option, text in (("cpuset_cpus", cpu.cpus), ("cpuset_mems", cpu.mems)):
        if text and not _CPU_LIST.fullmatch(text):
            raise InvalidOption(f"{text!r} is not a list such as 0-2,4", argument=option)


def _check_block_io(block: BlockIO) -> None:
    low, high = BLKIO_WEIGHT
    for weight in [block.weight or low, *(each.weight for each in block.weight_device)]:
        if not low <= weight <= high:
            raise InvalidOption(f"{weight} is not between {low} and {high}", argument="blkio_weight")
    throttles = [
        *(("device_read_bps", each) for each in block.throttle_read_bps_device),
        *(("device_write_bps", each) for each in block.throttle_write_bps_device),
        *(("device_read_iops", each) for each in block.throttle_read_iops_device),
        *(("device_write_iops", each) for each in block.throttle_write_iops_device),
    ]
    for option, throttle in throttles:
        if throttle.rate < 0:
            raise InvalidOption(f"{throttle.rate} is no rate", argument=option)
