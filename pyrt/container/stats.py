"""What a container uses at a moment, in the dictionary of Docker's `GET /containers/{id}/stats`.

A first sample has nothing before it: its `precpu_stats` are empty and `preread` is the year 1, as with Docker's
`one-shot`. So who computes a share of the processors from a single sample has to say 0, never the average of its life.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pyrt.container import life
from pyrt.container.documents import options_from_document
from pyrt.container.inspect import moment
from pyrt.container.keeping import Keeping
from pyrt.container.record import KeptContainer
from pyrt.container.sizes import size
from pyrt.errors import NotFound, WrongState
from pyrt.runtime.cgroups import Cgroup, Usage

__all__ = ["follow_stats", "sample"]

_INTERVAL_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


def follow_stats(take: Callable[[], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give a sample each second, each with the one before, until the container ends."""
    before: dict[str, Any] | None = None
    due = time.monotonic()
    with suppress(WrongState, NotFound):
        while True:
            now = take()
            if before is not None:
                now |= {"preread": before["read"], "precpu_stats": before["cpu_stats"]}
            yield now
            before = now
            due += _INTERVAL_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))


def sample(keeping: Keeping[Any], kept: KeptContainer) -> dict[str, Any]:
    """Take one sample, at once. Raises WrongState where the container does not run."""
    now = life.condition(keeping, kept)
    with life.cgroup(keeping, kept, now) as running:
        usage, cached = running.usage(), _cached_bytes(running)
    options = options_from_document(kept.options)
    return {
        "id": kept.id,
        "name": f"/{kept.name}",
        "read": moment(time.time_ns()),
        "preread": moment(0),
        "num_procs": 0,
        "pids_stats": {"current": usage.pids or 0, "limit": options.get("pids_limit") or 0},
        "cpu_stats": _cpu(usage),
        "precpu_stats": {"cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}},
        "memory_stats": {
            "usage": usage.memory_bytes or 0,
            "max_usage": usage.memory_peak_bytes or 0,
            "limit": _memory_limit(options.get("mem_limit")),
            "stats": {"inactive_file": cached},
        },
        "blkio_stats": {"io_service_bytes_recursive": _blocks(usage)},
        "storage_stats": {},
        "networks": {},
    }


def _cpu(usage: Usage) -> dict[str, Any]:
    return {
        "cpu_usage": {
            "total_usage": usage.cpu_ns or 0,
            "usage_in_kernelmode": usage.system_ns or 0,
            "usage_in_usermode": usage.user_ns or 0,
        },
        "system_cpu_usage": _system_ns(),
        "online_cpus": os.cpu_count() or 1,
        "throttling_data": {
            "throttled_periods": usage.throttled_periods or 0,
            "throttled_time": usage.throttled_ns or 0,
        },
    }


def _blocks(usage: Usage) -> list[dict[str, Any]]:
    """Give what was read and written; of which device is not known, so it is 0:0."""
    counts = (("read", usage.io_read_bytes), ("write", usage.io_write_bytes))
    return [{"major": 0, "minor": 0, "op": op, "value": value} for op, value in counts if value is not None]


def _system_ns() -> int:
    """Give the time of all processors since the machine came up, busy or not (proc(5), /proc/stat)."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(each) for each in file.readline().split()[1:9]]
    return sum(ticks) * (1_000_000_000 // _TICKS)


def _memory_limit(asked: int | str | None) -> int:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = size(asked, "mem_limit") if asked else 0
    return min(limit, total) if limit else total


def _cached_bytes(running: Cgroup) -> int:
    """Give what of its memory is files that nobody has used lately, which Docker does not count."""
    for place in running.places:
        with suppress(OSError), open(f"{place.directory}/memory.stat", encoding="ascii") as file:
            found = dict(line.split() for line in file)
            return int(found.get("total_inactive_file") or found.get("inactive_file") or 0)
    return 0
