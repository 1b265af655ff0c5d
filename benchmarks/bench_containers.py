"""Containers that outlive their caller, beside `docker run -d` and `docker exec`, in one interleaved run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks import peers
from benchmarks.fixtures import MEMORY_BYTES, PIDS, Fixtures, fixtures
from benchmarks.harness import Case, Missing, Options, Row, against, interleave, missing, row
from benchmarks.timer import Timer

__all__ = ["run"]

_LISTED = 1000
_EXEC, _DOCKER_EXEC = "pyrt exec (command)", "docker exec (command)"
_LIFE, _RUN, _DOCKER = "create + start + wait + remove", "run", "docker run -d + wait + rm"


def run(options: Options) -> list[Row]:
    """Give the rows of all scenarios, then the ratios that have a target."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(fixtures())
            root = str(made.top / "engine")
            timer = stack.enter_context(Timer(bytecode=made.top / "bytecode", variables={"PYRT_ROOT": root}))
        except Missing as reason:
            return [missing("containers", reason)]
        timer.ask("call", function="container_verbs:bring", root=root, archive=str(made.archive()))
        try:
            inside = stack.enter_context(peers.world(made))
            docker: list[str] | None = _docker(made, inside)
            rows: list[Row] = []
        except Missing as reason:
            docker, rows = None, [missing(_DOCKER, reason)]
        rows += _lives(root, timer, inside if docker else None, docker, options)
        rows += _execs(root, timer, inside if docker else None, docker, options)
        rows += _many(root, timer, inside if docker else None, docker, options)
        rows += _looks(root, timer, options)
    return rows + _targets({each["name"]: each["value"] for each in rows if each["value"] is not None})


def _docker(made: Fixtures, inside: Timer) -> list[str]:
    command = peers.docker_command(made, inside)
    inside.spawn([*command, "import", str(made.archive()), "nop:latest"], 1)
    return command


def _limits() -> list[str]:
    return ["--network=none", f"--memory={MEMORY_BYTES}", f"--pids-limit={PIDS}"]


def _lives(root: str, timer: Timer, inside: Timer | None, docker: list[str] | None, options: Options) -> list[Row]:
    def ask(function: str) -> Any:
        def sample(runs: int) -> list[float]:
            arguments = {"root": root, "options": peers.pyrt_options(), "runs": runs}
            times: list[float] = timer.ask("call", function=f"container_verbs:{function}", **arguments)
            return times[1:]

        return sample

    cases = [Case(_RUN, ask("run"), batch=6), Case(_LIFE, ask("life"), batch=6)]
    if docker and inside:
        script = f"id=$({' '.join([*docker, 'run', '-d', *_limits(), 'nop:latest', '/bin/nop'])})"
        script += f" && {' '.join(docker)} wait $id && {' '.join(docker)} rm $id"
        cases.append(Case(_DOCKER, lambda runs: inside.spawn(["/bin/sh", "-c", script], runs), batch=1))
    series = interleave(cases, options.rounds(full=15, quick=4))
    return [row(name, times, "ms", scale=1e3) for name, times in series.items()]


def _execs(root: str, timer: Timer, inside: Timer | None, docker: list[str] | None, options: Options) -> list[Row]:
    """Time the commands that start a further program: a new client each time, in a container that is there already."""
    id = timer.ask("call", function="container_verbs:sleeper", root=root, options=peers.pyrt_options())
    command = [peers.pyrt_program(), "exec", id, "/bin/nop"]
    cases = [Case(_EXEC, lambda runs: timer.spawn(command, runs), batch=5)]
    if docker and inside:
        inside.spawn([*docker, "run", "-d", "--name=sleeper", *_limits(), "nop:latest", "/bin/sleep", "600"], 1)
        peer = [*docker, "exec", "sleeper", "/bin/nop"]
        cases.append(Case(_DOCKER_EXEC, lambda runs: inside.spawn(peer, runs), batch=5))
    series = interleave(cases, options.rounds(full=10, quick=4))
    timer.ask("call", function="container_verbs:remove", root=root, id=id)
    if docker and inside:
        inside.spawn([*docker, "rm", "-f", "sleeper"], 1)
    return [row(name, times, "ms", scale=1e3) for name, times in series.items()]


def _many(root: str, timer: Timer, inside: Timer | None, docker: list[str] | None, options: Options) -> list[Row]:
    count = options.rounds(full=200, quick=50)
    limits = peers.pyrt_options()
    found = timer.ask("call", function="container_verbs:at_once", root=root, options=limits, count=count)
    rows = [
        row(f"{count} started at once", [found["us"]], "s", scale=1e6),
        row(f"{count} monitors: PSS", [found["pss_kib"]], "MiB", scale=1024),
        row(f"{count} monitors: CPU in an idle second", [found["idle_ticks"] * 10], "ms"),
    ]
    if docker and inside:
        start = f"{' '.join([*docker, 'run', '-d', *_limits(), 'nop:latest', '/bin/sleep', '600'])}"
        script = f"seq {count} | xargs -P 8 -I{{}} {start} > /dev/null"
        rows.append(row(f"docker: {count} started at once", inside.spawn(["/bin/sh", "-c", script], 1), "s", scale=1e6))
        clean = f"{' '.join(docker)} rm -f $({' '.join(docker)} ps -aq) > /dev/null"
        inside.spawn(["/bin/sh", "-c", clean], 1)
    return rows


def _looks(root: str, timer: Timer, options: Options) -> list[Row]:
    runs = options.rounds(full=40, quick=10)
    times = timer.ask("call", function="container_verbs:looks", root=root, count=_LISTED, runs=runs)
    rows = [row(name, times[key], "ms", scale=1e3) for key, name in _QUESTIONS.items()]
    limits = peers.pyrt_options()
    try:
        paused = timer.ask("call", function="container_verbs:pauses", root=root, options=limits, runs=runs)
        rows.append(row("pause", paused, "ms", scale=1e3))
    except Missing as reason:
        rows.append(missing("pause", reason))
    return rows


_QUESTIONS = {"list": f"list of {_LISTED}", "inspect": "inspect", "usage": "usage"}


def _targets(value: dict[str, float]) -> list[Row]:
    wanted = [(_LIFE, _RUN, 3.0), (_LIFE, _DOCKER, 0.1), (_EXEC, _DOCKER_EXEC, 0.4)]
    many = next((name for name in value if name.endswith("started at once") and not name.startswith("docker")), "")
    wanted.append((many, f"docker: {many}", 0.1))
    rows = [
        against(f"{above} ÷ {below}", value[above] / value[below], "×", limit)
        for above, below, limit in wanted
        if above in value and below in value
    ]
    limits = {f"list of {_LISTED}": 20.0, "inspect": 1.0, "usage": 1.0, "pause": 2.0}
    rows += [against(f"{name} (target)", value[name], "ms", limit) for name, limit in limits.items() if name in value]
    pss = next((name for name in value if name.endswith("PSS")), None)
    if pss:
        rows.append(against(f"{pss} (target)", value[pss], "MiB", 300.0))
    return rows
