"""What a container may use of memory, processors and tasks: Docker's options as cgroup limits."""

from __future__ import annotations

from typing import TypeVar

from pyrt.container.checks import boolean, fail, integer, text
from pyrt.container.host import HostFacts, parse_id_list
from pyrt.container.options import RunOptions
from pyrt.container.sizes import size
from pyrt.errors import Unsupported
from pyrt.oci.spec import Cpu, Memory, Pids

__all__ = ["cpu", "memory", "oom_score_adj", "pids"]

_T = TypeVar("_T")
_LEAST_MEMORY = 6 << 20
_PERIOD_US = 100_000
_NANO = 1_000_000_000
_MEMORY_OPTIONS = frozenset({"mem_limit", "memswap_limit", "mem_reservation", "mem_swappiness", "oom_kill_disable"})
_CPU_OPTIONS = frozenset(
    {
        *("cpus", "nano_cpus", "cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus", "cpuset_mems"),
        *("cpu_rt_period", "cpu_rt_runtime"),
    }
)


def memory(options: RunOptions, host: HostFacts) -> Memory | None:
    """Give the limits of memory, None where none is asked for.

    Memory and swap together are twice the memory unless memswap_limit says otherwise; -1 there is unlimited, 0 counts
    as not given. Raises InvalidOption, and Unsupported for what cgroup v2 no longer has.
    """
    if _MEMORY_OPTIONS.isdisjoint(options):
        return None
    limit = _memory_size(options.get("mem_limit"), "mem_limit")
    reservation = _memory_size(options.get("mem_reservation"), "mem_reservation")
    if limit and reservation and reservation > limit:
        fail("mem_reservation", f"{reservation} bytes are more than mem_limit, {limit} bytes")
    found = Memory(limit, reservation, _swap(options, limit), _swappiness(options, host), _oom_kill(options, host))
    return None if found == Memory() else found


def cpu(options: RunOptions, host: HostFacts) -> Cpu | None:
    """Give the limits of processors, None where none is asked for. Raises InvalidOption and Unsupported."""
    if _CPU_OPTIONS.isdisjoint(options):
        return None
    quota, period = _bandwidth(options, host)
    runtime, rt_period = _realtime(options, host)
    found = Cpu(
        shares=_or_zero(options.get("cpu_shares"), "cpu_shares", 2, 262144),
        quota=quota,
        period=period,
        realtime_runtime=runtime,
        realtime_period=rt_period,
        cpus=_id_list(options.get("cpuset_cpus"), "cpuset_cpus", host.cpus),
        mems=_id_list(options.get("cpuset_mems"), "cpuset_mems", host.memory_nodes),
    )
    return None if found == Cpu() else found


def pids(options: RunOptions) -> Pids | None:
    """Give the limit of tasks; None, 0 and -1 mean no limit."""
    value = options.get("pids_limit")
    if value is None or integer(value, "pids_limit", -1) <= 0:
        return None
    return Pids(value)


def oom_score_adj(options: RunOptions, host: HostFacts) -> int | None:
    """Give the preference of the OOM killer, from -1000 to 1000; None leaves the host program's."""
    value = options.get("oom_score_adj")
    if value is None:
        return None
    if integer(value, "oom_score_adj", -1000, 1000) < host.oom_score_adj and not host.has_sys_resource:
        reason = f"it is {host.oom_score_adj} here, {value} was asked for; lowering it needs CAP_SYS_RESOURCE"
        raise Unsupported("oom_score_adj", reason)
    return value


def _memory_size(value: object, argument: str) -> int | None:
    if value is None:
        return None
    found = size(value, argument)
    if 0 < found < _LEAST_MEMORY:
        fail(argument, f"{found} bytes are less than the least that a container gets, 6m")
    return found or None


def _swap(options: RunOptions, limit: int | None) -> int | None:
    value = options.get("memswap_limit")
    if value in (-1, "-1"):
        return -1
    found = 0 if value is None else size(value, "memswap_limit")
    if not found:
        return None if limit is None else min(2 * limit, 2**63 - 1)
    if limit is None:
        fail("memswap_limit", "it is memory and swap together, so it needs mem_limit beside it")
    if found < limit:
        fail("memswap_limit", f"{found} bytes of memory and swap together are less than mem_limit, {limit} bytes")
    return found


def _swappiness(options: RunOptions, host: HostFacts) -> int | None:
    value = options.get("mem_swappiness")
    if value is None or integer(value, "mem_swappiness", -1, 100) == -1:
        return None
    return _v1_only(value, "mem_swappiness", host)


def _oom_kill(options: RunOptions, host: HostFacts) -> bool | None:
    value = options.get("oom_kill_disable")
    if value is None or not boolean(value, "oom_kill_disable"):
        return None
    return _v1_only(value, "oom_kill_disable", host)


def _bandwidth(options: RunOptions, host: HostFacts) -> tuple[int | None, int | None]:
    period = _or_zero(options.get("cpu_period"), "cpu_period", 1000, 1_000_000)
    quota = options.get("cpu_quota")
    if quota is not None and integer(quota, "cpu_quota", -1) != -1:
        quota = _or_zero(quota, "cpu_quota", 1000, 2**63 - 1)
    nanos = _nano_cpus(options, host)
    if nanos is None:
        return quota, period
    for name, value in (("cpu_period", period), ("cpu_quota", quota)):
        if value is not None:
            fail(name, "it says the same as cpus and nano_cpus; give one of them")
    return nanos * _PERIOD_US // _NANO, _PERIOD_US


def _nano_cpus(options: RunOptions, host: HostFacts) -> int | None:
    cpus, nanos = options.get("cpus"), options.get("nano_cpus")
    if nanos is not None and integer(nanos, "nano_cpus", 0) and cpus is not None:
        fail("nano_cpus", "it says the same as cpus; give one of them")
    name, asked = ("nano_cpus", nanos or None) if cpus is None else ("cpus", _nanos(cpus))
    most = len(host.cpus)
    if asked is not None and not _NANO // 100 <= asked <= most * _NANO:
        fail(name, f"{asked / _NANO} processors are not between 0.01 and {most}, which is what there is")
    return asked


def _nanos(cpus: object) -> int | None:
    if isinstance(cpus, bool) or not isinstance(cpus, int | float):
        fail("cpus", f"must be a number, not {cpus!r}")
    if not 0 <= cpus < 1e9:  # a NaN is neither
        fail("cpus", f"{cpus} is not a number of processors")
    return None if cpus == 0 else round(cpus * _NANO)


def _realtime(options: RunOptions, host: HostFacts) -> tuple[int | None, int | None]:
    runtime = _or_zero(options.get("cpu_rt_runtime"), "cpu_rt_runtime", 1, 2**63 - 1)
    period = _or_zero(options.get("cpu_rt_period"), "cpu_rt_period", 1, 2**63 - 1)
    if runtime and period and runtime > period:
        fail("cpu_rt_runtime", f"{runtime} µs are more than cpu_rt_period, {period} µs")
    return _v1_only(runtime, "cpu_rt_runtime", host), _v1_only(period, "cpu_rt_period", host)


def _id_list(value: object, argument: str, available: frozenset[int]) -> str | None:
    if value is None or value == "":
        return None
    wanted = parse_id_list(text(value, argument))
    if wanted is None:
        fail(argument, f"{value!r} is not a list of numbers such as '0-3,8'")
    if not wanted <= available:
        there = ",".join(map(str, sorted(available)))
        fail(argument, f"{value!r} asks for more than this host has, which is {there}")
    return text(value, argument)


def _or_zero(value: object, argument: str, low: int, high: int) -> int | None:
    """Take a number in its range, or 0 and None, which ask for nothing."""
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    return integer(value, argument, low, high)


def _v1_only(value: _T, argument: str, host: HostFacts) -> _T:
    if value is not None and host.cgroup == "v2":
        raise Unsupported(argument, "cgroup v2 has no such setting; leave it out")
    return value
