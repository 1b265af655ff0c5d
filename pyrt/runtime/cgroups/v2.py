"""Limits as the files of cgroup v2 (the kernel's admin-guide/cgroup-v2). One function for each controller of v1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyrt.errors import Unsupported
from pyrt.oci.spec import BlockIO, Cpu, HugepageLimit, Memory, Pids, ThrottleDevice
from pyrt.runtime.cgroups.convert import cpu_max, or_max, shares_to_weight, swap_max
from pyrt.runtime.cgroups.limits import Limit

__all__ = ["blkio", "cpu", "cpuset", "hugetlb", "memory", "pids"]


def memory(asked: Memory) -> Iterator[Limit]:
    if asked.swappiness is not None and asked.swappiness >= 0:
        raise Unsupported("mem_swappiness", "cgroup v2 has no swappiness of a cgroup; limit swap by memswap_limit")
    if asked.disable_oom_killer:
        raise Unsupported("oom_kill_disable", "cgroup v2 cannot switch the OOM killer off for a cgroup")
    if asked.limit:
        yield Limit("memory", "memory.max", or_max(asked.limit), "mem_limit")
    if asked.swap:
        yield Limit("memory", "memory.swap.max", or_max(swap_max(asked.limit or 0, asked.swap)), "memswap_limit")
    if asked.reservation:
        yield Limit("memory", "memory.low", or_max(asked.reservation), "mem_reservation")


def cpu(asked: Cpu) -> Iterator[Limit]:
    if asked.realtime_runtime or asked.realtime_period:
        raise Unsupported("cpu_rt_runtime", "cgroup v2 has no real-time budgets; they are cgroup v1's")
    if asked.shares:
        yield Limit("cpu", "cpu.weight", str(shares_to_weight(asked.shares)), "cpu_shares")
    if asked.quota or asked.period:
        yield Limit("cpu", "cpu.max", cpu_max(asked.quota, asked.period), "cpu_quota")
    if asked.burst is not None:
        yield Limit("cpu", "cpu.max.burst", str(asked.burst), "cpu_burst")
    if asked.idle is not None:
        yield Limit("cpu", "cpu.idle", str(asked.idle), "cpu_idle")


def cpuset(asked: Cpu) -> Iterator[Limit]:
    if asked.cpus:
        yield Limit("cpuset", "cpuset.cpus", asked.cpus, "cpuset_cpus")
    if asked.mems:
        yield Limit("cpuset", "cpuset.mems", asked.mems, "cpuset_mems")


def pids(asked: Pids) -> Iterator[Limit]:
    yield Limit("pids", "pids.max", str(asked.limit) if asked.limit > 0 else "max", "pids_limit")


def blkio(asked: BlockIO) -> Iterator[Limit]:
    """Weights go to BFQ's file, on the scale of v1; orders.py takes io.weight where the kernel has no BFQ."""
    if asked.weight:
        yield Limit("io", "io.bfq.weight", f"default {asked.weight}", "blkio_weight")
    for device in asked.weight_device:
        value = f"{device.major}:{device.minor} {device.weight}"
        yield Limit("io", "io.bfq.weight", value, "blkio_weight_device")
    yield from _throttle("rbps", "device_read_bps", asked.throttle_read_bps_device)
    yield from _throttle("wbps", "device_write_bps", asked.throttle_write_bps_device)
    yield from _throttle("riops", "device_read_iops", asked.throttle_read_iops_device)
    yield from _throttle("wiops", "device_write_iops", asked.throttle_write_iops_device)


def hugetlb(asked: Sequence[HugepageLimit]) -> Iterator[Limit]:
    for page in asked:
        yield Limit("hugetlb", f"hugetlb.{page.page_size}.max", str(page.limit), "hugepage_limits")


def _throttle(key: str, option: str, devices: Sequence[ThrottleDevice]) -> Iterator[Limit]:
    for device in devices:
        yield Limit("io", "io.max", f"{device.major}:{device.minor} {key}={device.rate or 'max'}", option)
