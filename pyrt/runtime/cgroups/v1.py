"""Limits as the files of cgroup v1 (the kernel's admin-guide/cgroup-v1). One function for each controller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyrt.oci.spec import BlockIO, Cpu, HugepageLimit, Memory, Pids, ThrottleDevice
from pyrt.runtime.cgroups.limits import Limit

__all__ = ["blkio", "cpu", "cpuset", "hugetlb", "memory", "pids"]


def memory(asked: Memory) -> Iterator[Limit]:
    """The limit comes before memory and swap together, which may not be lower than it at any moment."""
    if asked.limit:
        yield Limit("memory", "memory.limit_in_bytes", str(asked.limit), "mem_limit")
    if asked.swap:
        yield Limit("memory", "memory.memsw.limit_in_bytes", str(asked.swap), "memswap_limit")
    if asked.reservation:
        yield Limit("memory", "memory.soft_limit_in_bytes", str(asked.reservation), "mem_reservation")
    if asked.swappiness is not None and asked.swappiness >= 0:
        yield Limit("memory", "memory.swappiness", str(asked.swappiness), "mem_swappiness")
    if asked.disable_oom_killer:
        yield Limit("memory", "memory.oom_control", "1", "oom_kill_disable")


def cpu(asked: Cpu) -> Iterator[Limit]:
    """The period comes before the quota, and the quota before the burst that it bounds."""
    if asked.shares:
        yield Limit("cpu", "cpu.shares", str(asked.shares), "cpu_shares")
    if asked.period:
        yield Limit("cpu", "cpu.cfs_period_us", str(asked.period), "cpu_period")
    if asked.quota:
        yield Limit("cpu", "cpu.cfs_quota_us", str(asked.quota), "cpu_quota")
    if asked.burst is not None:
        yield Limit("cpu", "cpu.cfs_burst_us", str(asked.burst), "cpu_burst")
    if asked.realtime_period:
        yield Limit("cpu", "cpu.rt_period_us", str(asked.realtime_period), "cpu_rt_period")
    if asked.realtime_runtime:
        yield Limit("cpu", "cpu.rt_runtime_us", str(asked.realtime_runtime), "cpu_rt_runtime")
    if asked.idle is not None:
        yield Limit("cpu", "cpu.idle", str(asked.idle), "cpu_idle")


def cpuset(asked: Cpu) -> Iterator[Limit]:
    """A new v1 cpuset is empty, and holds no task before both are filled: what is not asked comes from the parent."""
    if asked.cpus:
        yield Limit("cpuset", "cpuset.cpus", asked.cpus, "cpuset_cpus")
    if asked.mems:
        yield Limit("cpuset", "cpuset.mems", asked.mems, "cpuset_mems")


def pids(asked: Pids) -> Iterator[Limit]:
    yield Limit("pids", "pids.max", str(asked.limit) if asked.limit > 0 else "max", "pids_limit")


def blkio(asked: BlockIO) -> Iterator[Limit]:
    """Weights need the BFQ scheduler; a device's line replaces its earlier one, a rate of 0 takes it away."""
    if asked.weight:
        yield Limit("blkio", "blkio.bfq.weight", str(asked.weight), "blkio_weight")
    for device in asked.weight_device:
        value = f"{device.major}:{device.minor} {device.weight}"
        yield Limit("blkio", "blkio.bfq.weight_device", value, "blkio_weight_device")
    yield from _throttle("read_bps_device", asked.throttle_read_bps_device)
    yield from _throttle("write_bps_device", asked.throttle_write_bps_device)
    yield from _throttle("read_iops_device", asked.throttle_read_iops_device)
    yield from _throttle("write_iops_device", asked.throttle_write_iops_device)


def hugetlb(asked: Sequence[HugepageLimit]) -> Iterator[Limit]:
    for page in asked:
        yield Limit("hugetlb", f"hugetlb.{page.page_size}.limit_in_bytes", str(page.limit), "hugepage_limits")


def _throttle(name: str, devices: Sequence[ThrottleDevice]) -> Iterator[Limit]:
    option = "device_" + name.removesuffix("_device")
    for device in devices:
        yield Limit("blkio", f"blkio.throttle.{name}", f"{device.major}:{device.minor} {device.rate}", option)
