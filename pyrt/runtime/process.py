"""A running container, with subprocess.Popen's manners.

A Process owns the pidfd of the container's first process, its cgroup, its terminal and its pipes. Its end is the end of
everything in the container: PID 1 takes its namespace with it.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Self
from weakref import WeakSet

from pyrt.errors import InvalidArgument, WrongState
from pyrt.oci.spec import Resources
from pyrt.runtime import tty
from pyrt.runtime.capture import Capture, Sink
from pyrt.runtime.cgroups import Cgroup, Usage
from pyrt.runtime.exit import Cancelled, ExitCause, Exited, OutOfMemory, Signalled
from pyrt.runtime.joinable import Joinable
from pyrt.runtime.pump import Pump
from pyrt.runtime.wait import killed, reap, wait_readable

if TYPE_CHECKING:
    from pyrt.files import ContainerFS
    from pyrt.layer import Root
    from pyrt.runtime.exec import Target

__all__ = ["Process", "Timings"]

_REPORT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the phases of a start took, in nanoseconds; `wall_ns` is from the call to the end, once there is one."""

    prepare_ns: int  # decisions, cgroup, plan
    spawn_ns: int  # clone, up to the first instruction of pyrt-init
    root_ns: int  # mounts, up to the new root
    confine_ns: int  # identity, filter, up to the exec
    exec_ns: int  # up to the moment at which the host program knew that it runs
    wall_ns: int | None = None


class Process(Joinable):
    """A program in a container. `args`, `pid`, `stdin`, `stdout`, `stderr`, `returncode` are as in subprocess.Popen.

    `pid` is that of the container's first process, seen from here. With a terminal, `stdin` and `stdout` are its two
    directions, and `resize` changes its size. Leaving a `with` block, unlike Popen's, kills what still runs.
    `exit_cause` says how it ended, once it has; `timings` how long the start took. `fs` are the container's files.
    """

    def __init__(
        self,
        args: tuple[str, ...],
        pid: int,
        pidfd: int,
        cgroup: Cgroup,
        *,
        streams: tuple[IO[Any] | None, IO[Any] | None, IO[Any] | None],
        timings: Timings,
        started_ns: int,
        stop_signal: int,
        has_terminal: bool,
        effective: Mapping[str, object],
        on_end: Callable[[Process, int], None],
    ) -> None:
        super().__init__()
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self.exit_cause: ExitCause | None = None
        self.stdin, self.stdout, self.stderr = streams
        self.timings = timings
        self._pidfd = pidfd
        self._cgroup = cgroup
        self._started_ns = started_ns
        self._stop_signal = stop_signal
        self._has_terminal = has_terminal
        self._effective = dict(effective)
        self._on_end = on_end
        self._lock = threading.Lock()
        self._sent: int | None = None
        self._verdict: ExitCause | None = None
        self._usage: Usage | None = None
        self._is_paused = False
        self._sinks: dict[int, Capture] = {}
        self._unsent: bytes | None = None
        self._watchers = 0
        self._execs: WeakSet[Process] = WeakSet()
        self._owner = os.getpid()
        self._fs: ContainerFS | None = None

    @property
    def fs(self) -> ContainerFS:
        """The container's files, as long as it runs: see ContainerFS. Its methods raise WrongState afterwards."""
        from pyrt.files import ContainerFS

        with self._lock:
            if self._fs is None:
                self._fs = ContainerFS(self.open_root, keep=self.returncode is None)
            return self._fs

    def open_root(self) -> Root:
        """Give the container's root, to be closed. Raises WrongState when it has ended."""
        from pyrt.files import process_root

        with self._watched() as pidfd:
            if pidfd < 0:
                raise WrongState("the container has ended, and its files with it", have="exited", want="running")
            return process_root(self.pid, pidfd)

    @property
    def effective(self) -> Mapping[str, object]:
        """The limits that are really enforced, by the names of the options."""
        return {**self._effective, **self._cgroup.effective}

    def fileno(self) -> int:
        """Give the pidfd, which polls readable at the end of the container; -1 after that was noticed."""
        return self._pidfd if self.returncode is None else -1

    def poll(self) -> int | None:
        """Give the return code if the container has ended, else None."""
        with self._lock:
            if self.returncode is None:
                code = reap(self._pidfd)
                if code is not None:
                    self._finish(code)
            code = self.returncode
        if code is not None and self._fs is not None:
            self._fs.close()
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and give the return code (-N: ended by signal N).

        Raises subprocess.TimeoutExpired after `timeout` seconds; the container goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            code = self.poll()
            if code is not None:
                return code
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            with self._watched() as pidfd:
                if pidfd >= 0:
                    wait_readable(pidfd, left)

    def communicate(self, input: bytes | str | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Send `input`, read both streams to their end, wait; give what they said (None where there is no pipe).

        Raises subprocess.TimeoutExpired after `timeout` seconds, with what came up to then, as bytes; the container
        goes on, and the call may be repeated without loss: what is left of the first `input` is sent then.
        """
        outputs = [stream for stream in (self.stdout, self.stderr) if stream is not None]
        for stream in outputs:
            if not stream.closed:
                self._sinks.setdefault(stream.fileno(), Capture())
        numbers = [stream.fileno() for stream in outputs]
        if isinstance(input, str):
            input = input.encode(getattr(self.stdin, "encoding", None) or "utf-8")
        if not self.pump(self._sinks, self._unsent if input is None else input, timeout):
            came = [None if s is None else self._sinks[s.fileno()].bytes() for s in (self.stdout, self.stderr)]
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0, *came)
        self.wait()
        said = {number: decode(self._sinks[number].bytes(), s) for number, s in zip(numbers, outputs, strict=True)}
        out, err = (None if s is None else said[s.fileno()] for s in (self.stdout, self.stderr))
        for stream in outputs:
            stream.close()
        return out, err

    def pump(
        self,
        sinks: Mapping[int, Sink],
        input: bytes | None = None,
        timeout: float | None = None,
        on_chunk: Callable[[int], None] = lambda fd: None,
    ) -> bool:
        """Feed `sinks`, by the descriptors of the streams, until the container ends; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._watched() as pidfd:
            pump = Pump(pidfd, sinks, on_chunk)
            has_ended = pump.run(self.stdin, input, deadline)
        self._unsent = bytes(pump.unsent)
        return has_ended

    @contextmanager
    def _watched(self) -> Iterator[int]:
        """Lend the pidfd, which stays open meanwhile whoever notices the end; -1: it has been noticed before."""
        with self._lock:
            self._watchers += 1
            pidfd = self._pidfd
        try:
            yield pidfd
        finally:
            with self._lock:
                self._watchers -= 1
                self._close_pidfd()

    def _close_pidfd(self) -> None:
        if self.returncode is not None and not self._watchers and self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def send_signal(self, number: int) -> None:
        """Send a signal to the container's first process; nothing happens where it has ended.

        Without `init`, a program that does not handle a signal other than SIGKILL and SIGSTOP does not get it, for it
        is PID 1 of its namespace (pid_namespaces(7)).
        """
        with self._lock:
            if self.returncode is None:
                self._sent = number
                self._send(number)

    def terminate(self) -> None:
        """Send the image's stop signal (SIGTERM where it names none)."""
        self.send_signal(self._stop_signal)

    def kill(self) -> None:
        """End the whole container at once."""
        self.send_signal(signal.SIGKILL)

    def end(self, cause: ExitCause) -> None:
        """Kill the container, and let `cause` be why it ended unless it has ended before."""
        with self._lock:
            if self.returncode is None:
                self._verdict = self._verdict or cause
                self._send(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze everything in the container until `unpause`. Raises Unsupported without a cgroup that can."""
        with self._lock:
            self._is_paused = True
        self._cgroup.freeze()

    def unpause(self) -> None:
        """Let everything in the container go on."""
        self._cgroup.thaw()
        with self._lock:
            self._is_paused = False

    def update(self, resources: Resources) -> None:
        """Change the limits that are given while the program runs, all of them or none.

        Raises InvalidOption, Unsupported and ResourceBusy; `effective` tells what is in force afterwards.
        """
        self._cgroup.update(resources)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal. Raises WrongState where there is none, InvalidArgument for a silly size."""
        if not self._has_terminal or self.stdin is None:
            raise WrongState("the container has no terminal: start it with tty=True", have="no terminal", want="tty")
        for name, value in (("rows", rows), ("columns", columns)):
            if not 0 <= value < 1 << 16:
                raise InvalidArgument(f"{value} is not between 0 and 65535", argument=name)
        tty.resize(self.stdin.fileno(), rows, columns)

    def usage(self) -> Usage:
        """Give what the container has used up to now, or in all once it has ended."""
        with self._lock:
            return self._cgroup.usage() if self._usage is None else self._usage

    def close(self) -> None:
        """Kill what still runs, and free everything."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        if self.returncode is None and self._owner == os.getpid():
            self.end(Cancelled())
            self.wait()

    @contextmanager
    def _target(self) -> Iterator[Target]:
        from pyrt.runtime.exec import Target

        with self._watched() as pidfd:
            if pidfd < 0 or wait_readable(pidfd, 0):
                raise WrongState(f"the container of {self.args[0]} has ended", have="exited", want="running")
            if self._is_paused:
                raise WrongState(
                    f"the container of {self.args[0]} is paused: unpause it", have="paused", want="running"
                )
            yield Target(self.pid, pidfd, self._cgroup)

    def _note_exec(self, made: Process) -> None:
        with self._lock:
            self._execs.add(made)

    def _exec_started(self, process: Process) -> None:
        self._execs.add(process)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)
        if number == signal.SIGKILL and self._is_paused:  # what v1's freezer holds does not even die
            self._cgroup.thaw()

    def _finish(self, code: int) -> None:
        for each in tuple(self._execs):  # all have ended; their usage goes with the container's cgroup
            with suppress(subprocess.TimeoutExpired):
                each.wait(_REPORT_SECONDS)
        self._usage = self._cgroup.usage(is_over=True)
        self.exit_cause = self._cause(code, self._usage)
        self.timings = replace(self.timings, wall_ns=time.monotonic_ns() - self._started_ns)
        try:
            self._on_end(self, code)
        finally:
            self.returncode = code
            self._close_pidfd()

    def _cause(self, code: int, usage: Usage) -> ExitCause:
        if self._verdict is not None and code == -signal.SIGKILL:
            return self._verdict
        if killed(code) and self._sent != signal.SIGKILL and usage.oom_kills:
            limit = self.effective.get("mem_limit")
            return OutOfMemory(usage.oom_kills, limit if isinstance(limit, int) else None)
        if code >= 0:
            return Exited(code)
        return Cancelled(-code) if self._sent == -code else Signalled(-code)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "returncode", 0) is None and self._owner == os.getpid():
            note = f"the container of {self.args[0]} (process {self.pid}) was still running"
            warnings.warn(note, ResourceWarning, source=self, stacklevel=2)
            self.close()


def decode(raw: bytes, stream: IO[Any]) -> bytes | str:
    """Give bytes as the stream they came from would: as they are, or as text."""
    if isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(io.BytesIO(raw), stream.encoding, stream.errors).read()
    return raw
