"""What the kernel made of the limits, by the names of Docker's options.

Takes the texts of limit files as read back, gives numbers: memory is rounded to pages, weights are on the scale of the
version in force (`cpu_weight`, `io_weight` on v2). A limit that is not in force is not in the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["effective"]

_UNLIMITED_BYTES = 1 << 62
_V2_RATES = {
    "rbps": "device_read_bps",
    "wbps": "device_write_bps",
    "riops": "device_read_iops",
    "wiops": "device_write_iops",
}


def effective(texts: Mapping[str, str]) -> dict[str, object]:
    """Give option → value for file → text."""
    made: dict[str, object] = {}
    for file, text in texts.items():
        made.update(_READERS.get(file, _other(file))(text.strip()))
    swap, limit = made.pop("_swap", None), made.get("mem_limit")
    if isinstance(swap, int) and isinstance(limit, int):
        made["memswap_limit"] = limit + swap
    quota, period = made.get("cpu_quota"), made.get("cpu_period")
    if isinstance(quota, int) and isinstance(period, int):
        made["cpus"] = quota / period
    return made


_Pairs = Iterable[tuple[str, object]]


def _size(option: str) -> Callable[[str], _Pairs]:
    def reader(text: str) -> _Pairs:
        if text not in ("max", "-1") and int(text) < _UNLIMITED_BYTES:
            yield option, int(text)

    return reader


def _text(option: str) -> Callable[[str], _Pairs]:
    return lambda text: [(option, text)] if text else []


def _rates(option: str) -> Callable[[str], _Pairs]:
    def reader(text: str) -> _Pairs:
        rates = dict(line.split() for line in text.splitlines())
        return [(option, {device: int(rate) for device, rate in rates.items()})] if rates else []

    return reader


def _weights(option: str, *, of_device: bool = False) -> Callable[[str], _Pairs]:
    def reader(text: str) -> _Pairs:
        lines = dict(line.split() for line in text.splitlines()) if " " in text else {"default": text}
        default = lines.pop("default", None)
        if default and not of_device:
            yield option, int(default)
        if lines:
            yield f"{option}_device", {device: int(weight) for device, weight in lines.items()}

    return reader


def _cpu_max(text: str) -> Iterator[tuple[str, object]]:
    quota, period = text.split()
    yield "cpu_period", int(period)
    if quota != "max":
        yield "cpu_quota", int(quota)


def _io_max(text: str) -> Iterator[tuple[str, object]]:
    lines = [line.split() for line in text.splitlines()]
    for key, option in _V2_RATES.items():
        pairs = ((line[0], dict(field.split("=") for field in line[1:]).get(key, "max")) for line in lines)
        rates = {device: int(rate) for device, rate in pairs if rate != "max"}
        if rates:
            yield option, rates


def _oom_control(text: str) -> Iterator[tuple[str, object]]:
    yield "oom_kill_disable", "oom_kill_disable 1" in text


def _other(file: str) -> Callable[[str], _Pairs]:
    """Read a page size's limit, or a `unified` file, which is reported as it is."""
    if file.startswith("hugetlb."):
        return _size(f"hugepage_limit_{file.split('.')[1]}")
    return _text(f"unified:{file}")


_READERS: dict[str, Callable[[str], _Pairs]] = {
    "memory.limit_in_bytes": _size("mem_limit"),
    "memory.memsw.limit_in_bytes": _size("memswap_limit"),
    "memory.soft_limit_in_bytes": _size("mem_reservation"),
    "memory.swappiness": _size("mem_swappiness"),
    "memory.oom_control": _oom_control,
    "cpu.shares": _size("cpu_shares"),
    "cpu.cfs_quota_us": _size("cpu_quota"),
    "cpu.cfs_period_us": _size("cpu_period"),
    "cpu.cfs_burst_us": _size("cpu_burst"),
    "cpu.rt_period_us": _size("cpu_rt_period"),
    "cpu.rt_runtime_us": _size("cpu_rt_runtime"),
    "cpu.idle": _size("cpu_idle"),
    "cpuset.cpus": _text("cpuset_cpus"),
    "cpuset.mems": _text("cpuset_mems"),
    "pids.max": _size("pids_limit"),
    "blkio.bfq.weight": _weights("blkio_weight"),
    "blkio.bfq.weight_device": _weights("blkio_weight", of_device=True),
    "blkio.throttle.read_bps_device": _rates("device_read_bps"),
    "blkio.throttle.write_bps_device": _rates("device_write_bps"),
    "blkio.throttle.read_iops_device": _rates("device_read_iops"),
    "blkio.throttle.write_iops_device": _rates("device_write_iops"),
    "memory.max": _size("mem_limit"),
    "memory.swap.max": _size("_swap"),
    "memory.low": _size("mem_reservation"),
    "cpu.weight": _size("cpu_weight"),
    "cpu.max": _cpu_max,
    "cpu.max.burst": _size("cpu_burst"),
    "io.bfq.weight": _weights("blkio_weight"),
    "io.weight": _weights("io_weight"),
    "io.max": _io_max,
}
