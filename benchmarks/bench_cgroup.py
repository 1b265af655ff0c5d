"""Making, reading and removing the cgroup of one container: the door to C against its twin in Python.

Both cost what the kernel takes, some 20 to 60 µs for each directory: the door is not faster. It is there because
nothing comes between its system calls (no exception of a signal handler, no other thread that takes the interpreter's
lock), so a cgroup is made as a whole or not at all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.harness import Case, Options, Row, against, interleave, median, missing, row
from pyrt._native import cgroup as door
from pyrt.oci.spec import Cpu, Memory, Pids, Resources
from pyrt.runtime.cgroups import DEFAULT_DEVICE_RULES, Cgroup, Layout, owner_name, sweep
from tests.oracles import cgroup as twin

__all__ = ["run"]

ASKED = Resources(Memory(limit=256 << 20), Cpu(quota=50_000, period=100_000), Pids(64), devices=DEFAULT_DEVICE_RULES)
USAGE_TARGET_US = 100.0


def run(options: Options) -> list[Row]:
    """Give medians in µs, and the ratio of twin to door."""
    layout = Layout.detect(top=f"pyrt-bench-{os.getpid()}")
    if layout.kind == "none":
        return [missing("cgroup", layout.reason)]
    try:
        return _measure(layout, options.rounds(200, 20))
    finally:
        sweep(layout)


def _measure(layout: Layout, rounds: int) -> list[Row]:
    name = owner_name()
    removals: dict[str, list[float]] = {"door": [], "twin": []}
    with layout.create(f"{name}-held", ASKED) as held:  # keeps the parents while the others come and go
        order, parents = _order(held)
        pairs = [
            Case("create and remove, door", _pair(door.create, door.remove, order, parents, removals["door"])),
            Case("create and remove, twin", _pair(twin.create, twin.remove, order, parents, removals["twin"])),
        ]
        others = [
            Case("Layout.create and Cgroup.remove", _times(lambda: layout.create(f"{name}-1", ASKED).remove())),
            Case("Layout.create without limits", _times(lambda: layout.create(f"{name}-2", Resources()).remove())),
            Case("Cgroup.usage", _times(held.usage)),
            Case("Cgroup.update", _times(lambda: held.update(Resources(pids=Pids(65))))),
            Case("Layout.detect", _times(Layout.detect)),
        ]
        series = interleave([*pairs, *others], rounds, warm_up=2)
        rows = [row(case, values, "µs") for case, values in series.items()]
        rows[0]["note"] = f"{len(held.places)} directories"
        rows += [row(f"of these remove, {who}", values, "µs") for who, values in removals.items()]
        with _busy_thread():
            busy = interleave(pairs, max(rounds // 10, 5))
    rows += [row(f"{case}, beside a busy thread", values, "µs") for case, values in busy.items()]
    usage = against("Cgroup.usage", median(series["Cgroup.usage"]), "µs", USAGE_TARGET_US)
    return [*rows, _ratio("twin / door", series), _ratio("twin / door, beside a busy thread", busy), usage]


def _ratio(name: str, series: Mapping[str, Sequence[float]]) -> Row:
    ratio = median(series["create and remove, twin"]) / median(series["create and remove, door"])
    return {"name": name, "value": ratio, "unit": "×"}


@contextmanager
def _busy_thread() -> Iterator[None]:
    """Have a thread compute in Python, as a host program does."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _order(cgroup: Cgroup) -> tuple[bytes, bytes]:
    """Give the order that makes the like of a cgroup, and its parents."""
    limits = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}
    parts: list[str] = []
    for place in cgroup.places:
        version = place.hierarchy.version
        parts += ["d", os.path.dirname(place.directory)]
        for controller, files in limits.items():
            if os.path.exists(f"{place.directory}/{files[version - 1]}"):
                parts += ["r", files[version - 1], "268435456" if controller == "memory" else "64"]
        parts += ["o", "." if version == 2 else "tasks"]
    parents = "".join(f"{os.path.dirname(place.directory)}\0" for place in cgroup.places)
    return ("\0".join(parts) + "\0").encode(), parents.encode()


def _pair(
    create: Callable[[bytes, bytes], tuple[list[int], list[bytes]]],
    remove: Callable[[bytes, bytes], None],
    order: bytes,
    parents: bytes,
    removals: list[float],
) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            start = time.perf_counter_ns()
            fds, _ = create(order, b"pair")
            made = time.perf_counter_ns()
            for fd in fds:
                os.close(fd)
            closed = time.perf_counter_ns()
            remove(parents, b"pair")
            end = time.perf_counter_ns()
            removals.append((end - closed) / 1000)
            values.append((made - start + end - closed) / 1000)
        return values

    return sample


def _times(call: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            start = time.perf_counter_ns()
            call()
            values.append((time.perf_counter_ns() - start) / 1000)
        return values

    return sample
