"""What the far end of a timer does with containers that outlive their caller, by pyrt's Python API.

Each function is called by Timer.ask("call", function="container_verbs:NAME", …). Times are microseconds.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["at_once", "bring", "life", "looks", "pauses", "remove", "run", "sleeper"]

_IMAGE = "nop:latest"
_SLEEP = ["/bin/sleep", "600"]


def bring(root: str, archive: str) -> None:
    """Import the image that all the others use."""
    import pyrt

    with pyrt.Engine(root) as engine, open(archive, "rb") as file:
        engine.images.import_tar(io.BytesIO(file.read()), _IMAGE)


def run(root: str, options: dict[str, Any], runs: int) -> list[float]:
    """Time `run`, which waits and leaves nothing."""
    import pyrt

    with pyrt.Engine(root) as engine:
        return [_timed(lambda: engine.run(_IMAGE, ["/bin/nop"], **options)) for _ in range(runs)]


def life(root: str, options: dict[str, Any], runs: int) -> list[float]:
    """Time create, start, wait and remove of a container."""
    import pyrt

    with pyrt.Engine(root) as engine:
        containers = engine.containers

        def whole() -> None:
            container = containers.create(_IMAGE, ["/bin/nop"], **options)
            container.start()
            container.wait()
            container.remove()

        return [_timed(whole) for _ in range(runs)]


def at_once(root: str, options: dict[str, Any], count: int) -> dict[str, float]:
    """Start containers that sleep: the time of all, and what their monitors cost: PSS, and CPU in a second of rest."""
    import pyrt
    from pyrt.runtime.protocol import MonitorState

    with pyrt.Engine(root) as engine, ThreadPoolExecutor(8) as pool:
        made = [engine.containers.create(_IMAGE, _SLEEP, **options) for _ in range(count)]
        us = _timed(lambda: list(pool.map(lambda each: each.start(), made)))
        states = [MonitorState.read(f"{root}/containers/{each.id}") for each in made]
        monitors = [state.monitor for state in states if state is not None]
        pss_kib = sum(map(_pss_kib, monitors))
        before = sum(map(_ticks, monitors))
        time.sleep(1)
        idle = sum(map(_ticks, monitors)) - before
        list(pool.map(lambda each: each.remove(force=True), made))
    return {"us": us, "pss_kib": pss_kib, "idle_ticks": idle}


def sleeper(root: str, options: dict[str, Any]) -> str:
    """Start a container that sleeps, and give its id."""
    import pyrt

    with pyrt.Engine(root) as engine:
        container = engine.containers.create(_IMAGE, _SLEEP, **options)
        container.start()
        return container.id


def remove(root: str, id: str) -> None:
    """Remove a container, whether it runs or not."""
    import pyrt

    with pyrt.Engine(root) as engine:
        engine.containers.get(id).remove(force=True)


def looks(root: str, count: int, runs: int) -> dict[str, list[float]]:
    """Time the questions: a list of `count` containers, and inspect and usage of one that runs."""
    import pyrt

    with pyrt.Engine(root) as engine:
        containers = engine.containers
        made = [containers.create(_IMAGE, ["/bin/nop"]) for _ in range(count)]
        running = containers.create(_IMAGE, _SLEEP)
        running.start()
        times = {
            "list": [_timed(lambda: containers.list(all=True)) for _ in range(runs)],
            "inspect": [_timed(lambda: running.attrs) for _ in range(runs)],
            "usage": [_timed(running.usage) for _ in range(runs)],
        }
        for each in (*made, running):
            each.remove(force=True)
    return times


def pauses(root: str, options: dict[str, Any], runs: int) -> list[float]:
    """Time the pause of a container that runs."""
    import pyrt

    times = []
    with pyrt.Engine(root) as engine:
        container = engine.containers.create(_IMAGE, _SLEEP, **options)
        container.start()
        for _ in range(runs):
            times.append(_timed(container.pause))
            container.unpause()
        container.remove(force=True)
    return times


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e3
