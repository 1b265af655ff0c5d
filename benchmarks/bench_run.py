"""The start and end of a container that does nothing: pyrt beside the floor and every peer, in one interleaved run.

Also: containers a second at 1, 8 and 64 at once, the weight of `import pyrt`, and the memory that an idle container
costs the host program. README.md says what each row is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import peers
from benchmarks.fixtures import ARCHITECTURES, Fixtures, fixtures
from benchmarks.harness import Case, Missing, Options, Row, against, interleave, median, missing, row, usable
from benchmarks.timer import Timer

__all__ = ["run"]

_TOUCHED_BYTES = 2 << 30
_IDLE = 64
_AT_ONCE = (1, 8, 64)
_EXEC = "exec of /bin/nop from Python"
_NATIVE = "crun run, filter for x86-64 alone"

Made = Callable[[], Case]


def run(options: Options) -> list[Row]:
    """Give the rows of all scenarios, then the ratios that have a target."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(fixtures())
        except Missing as reason:
            return [missing("container start", reason)]
        names = ("host", "pyrt", "pyrt, large", "pyrt, fresh")
        timers = {name: stack.enter_context(Timer(bytecode=made.top / "bytecode")) for name in names}
        rows = _latency(made, timers, options, stack)
        rows += _throughput(made, timers["pyrt"], options)
        rows += _imports(timers["host"], options)
        rows += _memory(made, timers["pyrt, fresh"])
    return rows + _targets({row["name"]: row["value"] for row in rows if row["value"] is not None})


def _latency(made: Fixtures, timers: dict[str, Timer], options: Options, stack: ExitStack) -> list[Row]:
    host, nop = timers["host"], [str(made.nop)]
    cases, rows = usable(
        {
            "vfork + exec": lambda: peers.floor(made, "vfork + exec", "bare"),
            "floor": lambda: peers.floor(made, "floor"),
            "floor, host network": lambda: peers.floor(made, "floor, host network", "nonet"),
            "subprocess.run": lambda: Case("subprocess.run", _asking(host, "subprocess_run", argv=nop), batch=5),
            "pyrt.run": lambda: _pyrt(made, timers["pyrt"], "pyrt.run"),
            "pyrt.run, 2 GiB touched": lambda: _pyrt_large(made, timers["pyrt, large"]),
            _EXEC: lambda: _pyrt_exec(made, timers["pyrt"]),
            "pyrt run (command)": lambda: peers.pyrt_command(made, host),
            "bwrap": lambda: peers.bwrap(made, host),
        }
    )
    try:
        inside = stack.enter_context(peers.world(made))
        inside.ask("subprocess_run", argv=nop, runs=1)
    except Missing as reason:
        rows += [missing(name, reason) for name in ("crun run", _NATIVE, "runc run", "podman run", "docker run")]
    else:
        more, lacking = usable(
            {
                "crun run": lambda: peers.crun(made, inside, "crun run"),
                _NATIVE: lambda: peers.crun(made, inside, _NATIVE, ARCHITECTURES[:1]),
                "runc run": lambda: peers.runc(made, inside),
                "podman run": lambda: peers.podman(made, inside),
                "docker run": lambda: peers.docker(made, inside),
            }
        )
        cases, rows = cases + more, rows + lacking
    series = interleave(cases, options.rounds(full=40, quick=8))
    return [row(name, times, "ms", scale=1e3) for name, times in series.items()] + rows


def _throughput(made: Fixtures, timer: Timer, options: Options) -> list[Row]:
    """Start and end containers from as many threads as are to be at once, and give containers a second."""
    rows = []
    for jobs in _AT_ONCE:
        runs = max(jobs * 2, options.rounds(full=64, quick=32))

        def floor(_: int, jobs: int = jobs, runs: int = runs) -> list[float]:
            return [runs * 1e6 / peers.floor_times(made, runs, "-j", str(jobs))["wall_us"]]

        def pyrt(_: int, jobs: int = jobs, runs: int = runs) -> list[float]:
            return [runs * 1e6 / _ask_pyrt(made, timer, runs, jobs)["wall_us"]]

        pair = (Case(f"floor, {jobs} at once", floor), Case(f"pyrt.run, {jobs} at once", pyrt))
        cases, lacking = usable({case.name: partial(_as_it_is, case) for case in pair})
        series = interleave(cases, options.rounds(full=15, quick=3), warm_up=0)
        rows += [
            row(name, rates, "a second", note=f"{runs} containers a run") for name, rates in series.items()
        ] + lacking
    return rows


def _imports(timer: Timer, options: Options) -> list[Row]:
    """Time new interpreters that import pyrt, less the time of one that imports nothing."""
    programs = {
        "nothing": "pass",
        "import pyrt": "import pyrt",
        "import pyrt, pyrt.run loaded": "import pyrt; pyrt.run",
    }
    interpreter = {name: [sys.executable, "-c", code] for name, code in programs.items()}
    made = {name: Case(name, partial(timer.spawn, argv), batch=3) for name, argv in interpreter.items()}
    cases, rows = usable({name: partial(_as_it_is, case) for name, case in made.items()})
    series = interleave(cases, options.rounds(full=20, quick=5))
    empty = median(series.pop("nothing"))
    return [row(name, [time - empty for time in times], "ms", scale=1e3) for name, times in series.items()] + rows


def _memory(made: Fixtures, timer: Timer) -> list[Row]:
    name = "pyrt: host memory of an idle container"
    image = f"rootfs:{made.rootfs}"
    try:
        grown = timer.ask("pyrt_idle", image=image, options=peers.pyrt_options(), count=_IDLE)
    except Missing as reason:
        return [missing(name, reason)]
    return [row(name, [grown], "KiB", note=f"private memory of the host program, {_IDLE} containers")]


def _targets(value: dict[str, float]) -> list[Row]:
    """Give the ratios that the project aims at, each as far as both its sides were measured."""
    wanted: list[tuple[str, str, float, bool]] = [
        ("pyrt.run", "floor", 1.3, False),
        ("pyrt.run", "crun run", 0.5, False),
        ("pyrt.run", _NATIVE, 0.5, False),
        ("pyrt.run, 2 GiB touched", "pyrt.run", 1.1, False),
        ("pyrt.run, 64 at once", "floor, 64 at once", 0.8, True),
        ("pyrt run (command)", "docker run", 0.35, False),
    ]
    rows = []
    for above, below, limit, at_least in wanted:
        if above in value and below in value:
            rows.append(against(f"{above} ÷ {below}", value[above] / value[below], "×", limit, at_least=at_least))
    for name, unit, limit in (
        ("import pyrt", "ms", 30.0),
        (_EXEC, "ms", 3.0),
        ("pyrt: host memory of an idle container", "KiB", 100.0),
    ):
        if name in value:
            rows.append(against(f"{name} (target)", value[name], unit, limit))
    return rows


def _as_it_is(case: Case) -> Case:
    return case


def _pyrt(made: Fixtures, timer: Timer, name: str) -> Case:
    return Case(name, lambda runs: _ask_pyrt(made, timer, runs, jobs=1)["us"], batch=10)


def _pyrt_exec(made: Fixtures, timer: Timer) -> Case:
    arguments = {"image": f"rootfs:{made.rootfs}", "options": peers.pyrt_options()}
    return Case(_EXEC, _asking(timer, "pyrt_exec", **arguments), batch=10)


def _pyrt_large(made: Fixtures, timer: Timer) -> Case:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if free < _TOUCHED_BYTES * 3 // 2:
        raise Missing(f"needs 3 GiB of free memory, there are {free >> 20} MiB")
    timer.ask("touch", size=_TOUCHED_BYTES)
    return _pyrt(made, timer, "pyrt.run, 2 GiB touched")


def _ask_pyrt(made: Fixtures, timer: Timer, runs: int, jobs: int) -> Any:
    return timer.ask("pyrt_run", image=f"rootfs:{made.rootfs}", options=peers.pyrt_options(), runs=runs, jobs=jobs)


def _asking(timer: Timer, verb: str, **arguments: Any) -> Callable[[int], Sequence[float]]:
    return lambda runs: timer.ask(verb, runs=runs, **arguments)
