"""A long-lived process that runs things and times them; the harness talks to it in lines of JSON.

It exists so that nothing but the thing itself is timed: mount namespaces, daemons and touched memory are arranged once,
around or in the timer. `Timer` is the near end; `python -m benchmarks.timer` is the far one. A request is
{"verb": …, arguments}, an answer {"answer": …} or {"error": text}. Times are microseconds.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks.harness import Missing

__all__ = ["Timer"]


class Timer:
    """The near end: start the far end with `prefix` before its command line, ask it, and end it on close.

    Interpreters that it times keep their bytecode below `bytecode`, as an installed package does beside its sources.
    `variables` are further ones of the environment of what it times.
    """

    def __init__(
        self, prefix: Sequence[str] = (), *, bytecode: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        environment = {**os.environ, **(variables or {})}
        repository = str(Path(__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [repository, environment.get("PYTHONPATH")]))
        if bytecode is not None:
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "benchmarks.timer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # a Ctrl-C of the terminal reaches the harness alone, which then ends the timers
        )

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Give the far end's answer; raise Missing with its error."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"verb": verb, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Missing("the timing process has ended") from None
        line = self._process.stdout.readline()
        reply = json.loads(line) if line else {"error": "the timing process has ended"}
        if "error" in reply:
            raise Missing(reply["error"])
        return reply["answer"]

    def spawn(self, argv: Sequence[str], runs: int) -> list[float]:
        """Run a command `runs` times, one after the other, and give the time of each from its start to its reaping."""
        times: list[float] = self.ask("spawn", argv=list(argv), runs=runs)
        return times

    def close(self) -> None:
        """End the far end: end of input asks it to, and a minute later it is killed."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class FarEnd:
    """The verbs. One object lives as long as its process; each public method is a verb."""

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDWR)
        self._stderr = os.memfd_create("stderr")
        self._memory = bytearray()
        self._daemons: list[int] = []

    def spawn(self, argv: list[str], runs: int) -> list[float]:
        """Run a command with null streams; an exit code other than 0 is an error with what it wrote to stderr."""
        actions = [(os.POSIX_SPAWN_DUP2, self._null, 0), (os.POSIX_SPAWN_DUP2, self._null, 1)]
        actions.append((os.POSIX_SPAWN_DUP2, self._stderr, 2))
        os.truncate(self._stderr, os.lseek(self._stderr, 0, os.SEEK_SET))
        times = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            _, status = os.waitpid(os.posix_spawn(argv[0], argv, os.environ, file_actions=actions), 0)
            times.append((time.perf_counter_ns() - start) / 1e3)
            if status:
                wrote = os.pread(self._stderr, 4096, 0).decode(errors="replace").strip()
                raise RuntimeError(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}: {wrote[-400:]}")
        self._reap()
        return times

    def subprocess_run(self, argv: list[str], runs: int) -> list[float]:
        """Time subprocess.run itself."""
        return _timed(lambda: subprocess.run(argv, check=True), runs)

    def touch(self, size: int) -> int:
        """Make this process `size` bytes larger, every page written."""
        self._memory = bytearray(size)
        self._memory[::4096] = b"\1" * len(range(0, size, 4096))
        return len(self._memory)

    def pyrt_run(self, image: str, options: dict[str, Any], runs: int, jobs: int = 1) -> dict[str, Any]:
        """Time `pyrt.run` of /bin/nop, `jobs` at once from as many threads; also give the wall time of all."""
        import pyrt

        def once() -> None:
            result = pyrt.run(image, ["/bin/nop"], **options)
            if result.returncode != 0:
                raise RuntimeError(f"pyrt.run ended with {result.returncode}: {result.stderr}")

        if jobs == 1:
            times = _timed(once, runs)
            return {"us": times, "wall_us": sum(times)}
        with ThreadPoolExecutor(jobs) as pool:
            start = time.perf_counter_ns()
            parts = list(pool.map(lambda _: _timed(once, 1), range(runs)))
            wall = (time.perf_counter_ns() - start) / 1e3
        return {"us": [part[0] for part in parts], "wall_us": wall}

    def pyrt_exec(self, image: str, options: dict[str, Any], runs: int) -> list[float]:
        """Time `exec_run` of /bin/nop in a container that is there already."""
        import pyrt

        with pyrt.Engine() as engine, engine.popen(image, ["/bin/sleep", "600"], **options) as container:

            def once() -> None:
                code = container.exec_run(["/bin/nop"]).exit_code
                if code != 0:
                    raise RuntimeError(f"exec_run ended with {code}")

            once()  # loads what the first one needs
            return _timed(once, runs)

    def pyrt_idle(self, image: str, options: dict[str, Any], count: int) -> float:
        """Give the KiB by which this process grows (private memory) for each of `count` containers that sleep."""
        import pyrt

        with pyrt.Engine() as engine, ExitStack() as stack:

            def start() -> None:
                process = stack.enter_context(engine.popen(image, ["/bin/sleep", "600"], **options))
                stack.callback(process.kill)

            start()  # pays what is paid once and not for each container
            before = _private_kib()
            for _ in range(count):
                start()
            return (_private_kib() - before) / count

    def call(self, function: str, **arguments: Any) -> Any:
        """Give what a function of the benchmarks (`module:name`) gives, in this process."""
        module, _, name = function.partition(":")
        return getattr(importlib.import_module(f"benchmarks.{module}"), name)(**arguments)

    def daemon(self, argv: list[str], log: str) -> int:
        """Start a program that stays until this process ends, and give its pid; its output goes to the file `log`."""
        writes = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 1, log, writes, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
        self._daemons.append(os.posix_spawn(argv[0], argv, os.environ, file_actions=actions))
        return self._daemons[-1]

    def close(self) -> None:
        """Ask the daemons to end, by their pids, and wait for them up to 30 seconds."""
        os.close(self._null)
        os.close(self._stderr)
        if self._daemons:
            self._reap()
        for pid in self._daemons:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while self._daemons and time.monotonic() < deadline:
            time.sleep(0.01)
            self._reap()

    def _reap(self) -> None:
        """Collect children that ended; in a pid namespace of its own this process is everybody's last parent."""
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                if pid in self._daemons:
                    self._daemons.remove(pid)
        except ChildProcessError:
            self._daemons.clear()


def _timed(once: Callable[[], object], runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        once()
        times.append((time.perf_counter_ns() - start) / 1e3)
    return times


def _private_kib() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def _serve() -> None:
    end = FarEnd()
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                reply = {"answer": getattr(end, request.pop("verb"))(**request)}
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)
    finally:
        end.close()


if __name__ == "__main__":
    _serve()
