"""Measure several things in one interleaved run, and say on what machine.

Takes cases (a name and a function that gives n samples), gives series of samples and the rows made of them. Every round
samples every case, and each round starts with the next case, so that a slow minute of the machine falls on all of them.
Values are compared within one run only: a figure of another run is another machine.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Case",
    "Missing",
    "Options",
    "Row",
    "against",
    "cgroup_layout",
    "interleave",
    "machine",
    "median",
    "missing",
    "order",
    "percentile",
    "row",
    "usable",
]

Row = dict[str, Any]
"""One line of a result: `name`, `value` and `unit`; where they apply `p95`, `runs`, `target`, `met` and `note`."""


class Missing(Exception):
    """A case cannot be measured on this host; the message says why, and the report repeats it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of every benchmark: `quick` wants an answer within seconds, at the cost of noise."""

    quick: bool = False

    def rounds(self, full: int, quick: int) -> int:
        """Give the number of rounds that fits."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure: `sample(n)` does it n times and gives n values, `batch` is the n of one round."""

    name: str
    sample: Callable[[int], Sequence[float]]
    batch: int = 1


def order(count: int, round_number: int) -> list[int]:
    """Give the order of `count` cases in a round: rotated, so that none always follows the same pause or the start."""
    first = round_number % count if count else 0
    return [*range(first, count), *range(first)]


def interleave(cases: Sequence[Case], rounds: int, *, warm_up: int = 1) -> dict[str, list[float]]:
    """Sample all cases round by round and give each one's samples by name; `warm_up` rounds are dropped."""
    if len({case.name for case in cases}) != len(cases):
        raise ValueError("two cases have one name")
    for _ in range(warm_up):
        for case in cases:
            case.sample(1)
    series: dict[str, list[float]] = {case.name: [] for case in cases}
    for round_number in range(rounds):
        for index in order(len(cases), round_number):
            case = cases[index]
            series[case.name].extend(case.sample(case.batch))
    return series


def usable(made: Mapping[str, Callable[[], Case]]) -> tuple[list[Case], list[Row]]:
    """Make each case and try it once: give those that work, and a row with the reason for each that does not."""
    cases, rows = [], []
    for name, make in made.items():
        try:
            case = make()
            case.sample(1)
        except Missing as reason:
            rows.append(missing(name, reason))
        else:
            cases.append(case)
    return cases, rows


def median(values: Sequence[float]) -> float:
    """Give the median; of an even count the mean of the middle two."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the smallest value that at least `percent` of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def row(name: str, values: Sequence[float], unit: str, *, scale: float = 1.0, note: str = "") -> Row:
    """Give the row of a series: its median, p95 and count, each value divided by `scale`."""
    scaled = [value / scale for value in values]
    made: Row = {
        "name": name,
        "value": median(scaled),
        "unit": unit,
        "p95": percentile(scaled, 95),
        "runs": len(scaled),
    }
    return made | ({"note": note} if note else {})


def against(name: str, value: float, unit: str, limit: float, *, at_least: bool = False) -> Row:
    """Give the row of a value that has a target: at most `limit`, or at least."""
    met = value >= limit if at_least else value <= limit
    return {"name": name, "value": value, "unit": unit, "target": f"{'≥' if at_least else '≤'} {limit:g}", "met": met}


def missing(name: str, reason: object) -> Row:
    """Give the row of a thing that could not be measured, with the reason (of a long one its end, which says most)."""
    text = " ".join(str(reason).split())
    return {"name": name, "value": None, "unit": "", "note": text if len(text) <= 160 else f"… {text[-160:]}"}


def machine(directory: Path) -> dict[str, str]:
    """Say what the figures belong to; `directory` is where the benchmark puts its files."""
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "file system": _file_system(Path("/proc/self/mounts").read_text(), directory.resolve()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cgroups": cgroup_layout(Path("/proc/self/mounts").read_text()),
        "user": "root" if os.geteuid() == 0 else f"uid {os.geteuid()}",
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}".rstrip(),
    }


def cgroup_layout(mounts: str) -> str:
    """Name the cgroup layout that the text of /proc/self/mounts shows: v1, v2, hybrid (both) or none."""
    types = {fields[2] for fields in map(str.split, mounts.splitlines()) if len(fields) > 2}
    names: Mapping[tuple[bool, bool], str] = {
        (True, True): "hybrid (v1 and v2)",
        (True, False): "v1",
        (False, True): "v2",
        (False, False): "none",
    }
    return names["cgroup" in types, "cgroup2" in types]


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _file_system(mounts: str, directory: Path) -> str:
    """Give the file system type of a directory: of the longest mount point above it, what was mounted last."""
    found = ("", "unknown")
    for fields in map(str.split, mounts.splitlines()):
        if directory.is_relative_to(fields[1]) and len(fields[1]) >= len(found[0]):
            found = fields[1], fields[2]
    return found[1]
