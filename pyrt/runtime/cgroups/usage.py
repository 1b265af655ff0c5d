"""What a container has used, read from descriptors that stay open.

The first reading opens the files, a later one is a pread(2) of each: that is why it is cheap. A file that
the kernel or the layout lacks makes its figures None.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pyrt.runtime.cgroups.files import read, read_open
from pyrt.runtime.cgroups.orders import Place

__all__ = ["Usage", "UsageReader"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of a container since its start; None where the host does not count it.

    `throttled_periods` are the scheduler's periods in which the CPU quota ran out. `memory_bytes` has the page cache in
    it. `pids` counts tasks (threads), as pids_limit does.
    """

    cpu_ns: int | None = None
    user_ns: int | None = None
    system_ns: int | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    pids: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    oom_kills: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None


class UsageReader:
    """Owns the descriptors of one container's counters."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._fds: dict[tuple[int, str], int | None] = {}

    def read(self, *, is_over: bool = False) -> Usage:
        """Read all counters; `is_over` says that no process is left, which need not be counted then."""
        cpu_ns, user_ns, system_ns = self._cpu()
        read_bytes, write_bytes = self._io()
        periods, throttled_ns = self._throttled()
        return Usage(
            cpu_ns=cpu_ns,
            user_ns=user_ns,
            system_ns=system_ns,
            memory_bytes=self._either("memory.usage_in_bytes", "memory.current"),
            memory_peak_bytes=self._either("memory.max_usage_in_bytes", "memory.peak"),
            pids=0 if is_over else self._pids(),
            io_read_bytes=read_bytes,
            io_write_bytes=write_bytes,
            oom_kills=self.oom_kills(),
            throttled_periods=periods,
            throttled_ns=throttled_ns,
        )

    def oom_kills(self) -> int | None:
        """Count the processes that the OOM killer has ended."""
        text = self._text(1, "memory.oom_control") or self._text(2, "memory.events")
        return None if text is None else _keyed(text).get("oom_kill")

    def close(self) -> None:
        for fd in self._fds.values():
            if fd is not None:
                os.close(fd)
        self._fds.clear()

    def _cpu(self) -> tuple[int | None, int | None, int | None]:
        total = self._number(1, "cpuacct.usage")
        if total is not None:
            return total, self._number(1, "cpuacct.usage_user"), self._number(1, "cpuacct.usage_sys")
        stat = _keyed(self._text(2, "cpu.stat") or "")
        return _ns(stat.get("usage_usec")), _ns(stat.get("user_usec")), _ns(stat.get("system_usec"))

    def _throttled(self) -> tuple[int | None, int | None]:
        stat = _keyed(self._text(1, "cpu.stat") or "")
        if stat:
            return stat.get("nr_throttled"), stat.get("throttled_time")
        stat = _keyed(self._text(2, "cpu.stat") or "")
        return stat.get("nr_throttled"), _ns(stat.get("throttled_usec"))

    def _pids(self) -> int | None:
        limited = self._either("pids.current", "pids.current")
        if limited is not None:
            return limited
        text = self._text(2, "cgroup.threads")
        if text is None and self._places:
            text = read(f"{self._places[0].directory}/tasks")  # v1 shows an open file an old list for a second
        return None if text is None else text.count("\n")

    def _io(self) -> tuple[int | None, int | None]:
        text = self._text(1, "blkio.throttle.io_service_bytes_recursive")
        if text is not None:
            fields = [line.split() for line in text.splitlines()]
            return _sum(fields, "Read"), _sum(fields, "Write")
        text = self._text(2, "io.stat")
        if text is None:
            return None, None
        pairs = [field.partition("=") for field in text.split() if "=" in field]
        received = sum(int(value) for key, _, value in pairs if key == "rbytes")
        return received, sum(int(value) for key, _, value in pairs if key == "wbytes")

    def _either(self, v1: str, v2: str) -> int | None:
        number = self._number(1, v1)
        return self._number(2, v2) if number is None else number

    def _number(self, version: int, file: str) -> int | None:
        text = self._text(version, file)
        return None if text is None else int(text)

    def _text(self, version: int, file: str) -> str | None:
        """Read a file of the container's directories of a version, opening it the first time."""
        key = version, file
        if key not in self._fds:
            self._fds[key] = self._open(version, file)
        fd = self._fds[key]
        if fd is None:
            return None
        try:
            return read_open(fd)
        except OSError:
            return None  # ENODEV: the directory has been removed

    def _open(self, version: int, file: str) -> int | None:
        controller = file.partition(".")[0]  # which begins the names of its files
        for hierarchy, directory in [(place.hierarchy, place.directory) for place in self._places]:
            if hierarchy.version == version and (version == 2 or controller in hierarchy.controllers):
                try:
                    return os.open(f"{directory}/{file}", os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    return None
        return None


def _keyed(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _ns(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds * 1000


def _sum(lines: Sequence[Sequence[str]], what: str) -> int:
    return sum(int(fields[2]) for fields in lines if len(fields) == 3 and fields[1] == what)
