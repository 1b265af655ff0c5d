"""The owner's side of one worker process: start it, ask it, end it."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pyrt import errors
from pyrt.errors import PyrtError, SyscallError, Unsupported
from pyrt.layer.worker_wire import Line, Severed, pair, unpack_error

__all__ = ["Worker"]

# What site-packages and the environment say is not executed there; but what pyrt is made of must be found.
_PROGRAM = "import sys; sys.path += sys.argv[1:]; from pyrt.layer.worker import main; main()"
_OPTIONS = ("-I", "-S", "-X", "utf8")
_SAID_BYTES = 4096
_LAST_SECONDS = 1.0  # from the end of the connection to that of the process


class Worker:
    """A process that has joined a user namespace, or none; it does one thing at a time, for one thread.

    It ends by itself after `idle_seconds` without requests.
    Raises Unsupported where Python cannot be started here, and PyrtError or SyscallError where it cannot join.
    """

    def __init__(self, user_namespace: int | None, idle_seconds: float) -> None:
        self.is_busy = False
        self._pidfd = -1
        self._said = -1  # a file in memory: what the process says on its stderr
        ours, theirs = pair()
        self._line = Line(ours)
        try:
            with theirs:
                self._said = os.memfd_create("pyrt-worker")
                self._pidfd = _start(theirs.fileno(), self._said)
            self._line = Line(ours, self._pidfd)
            self._join(user_namespace, idle_seconds)
        except BaseException:
            self.end()
            raise

    @property
    def pidfd(self) -> int:
        """The process; it stays this object's own."""
        return self._pidfd

    def ask(self, verb: str, arguments: dict[str, Any], fds: Sequence[int]) -> None:
        """Send a request. Raises Severed, and then it will not be carried out: the process has ended."""
        self.is_busy = True
        self._line.tell({"verb": verb, "arguments": arguments}, fds)

    def answer(self, descriptors: list[int] | None = None) -> Any:
        """Wait for the result of what was asked; descriptors that come with it are appended, and the caller's.

        Raises what the verb has raised, PyrtError where the process ended.
        """
        try:
            reply = self._line.hear(descriptors)
            if not isinstance(reply, dict) or len(reply) != 1:
                raise Severed("its answer is none")
            error = unpack_error(reply["error"]) if "error" in reply else None
        except (Severed, LookupError, TypeError, ValueError) as e:
            raise self.death(str(e)) from e
        self.is_busy = False
        if error is not None:
            raise error
        return reply.get("result")

    def death(self, why: str) -> PyrtError:
        """Say how the process has ended, and `why` we know, with what Python said."""
        how = ""
        select.select([self._pidfd], [], [], _LAST_SECONDS)
        with suppress(ChildProcessError):
            if (status := os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                is_exit = status.si_code == os.CLD_EXITED
                how = f" ({'exit status' if is_exit else 'killed by signal'} {status.si_status})"
        failure = PyrtError(f"the process that works on trees has ended{how}: {why}")
        start = max(0, os.fstat(self._said).st_size - _SAID_BYTES)
        if said := os.pread(self._said, _SAID_BYTES, start).decode(errors="replace").strip():
            failure.add_note(said)
        return failure

    def end(self) -> None:
        """Kill the process and wait for its end. A second call does nothing."""
        try:
            if self._pidfd >= 0:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                with suppress(ChildProcessError):  # a host program that waits for any child has reaped it
                    os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close what this process has of it; in a forked child the worker itself is the parent's."""
        self._line.close()
        for fd in (self._said, self._pidfd):
            if fd >= 0:
                os.close(fd)
        self._said = self._pidfd = -1

    def _join(self, user_namespace: int | None, idle_seconds: float) -> None:
        owner = os.pidfd_open(os.getpid())
        fds = [owner] if user_namespace is None else [owner, user_namespace]
        try:
            self._line.tell({"idle_seconds": idle_seconds}, fds)
        except Severed as e:
            raise self.death(str(e)) from e
        finally:
            os.close(owner)
        self.answer()


def _start(connection: int, said: int) -> int:
    """Execute the worker with a connection as its descriptor 0; give a pidfd.

    Not by subprocess: a child that another thread forks just then would hold its pipe for errors open, and us up.
    """
    if not sys.executable:
        raise Unsupported("work on trees in a process", "sys.executable does not say where Python is")
    argv = [sys.executable, *_OPTIONS, "-c", _PROGRAM, *_homes()]
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    high: list[int] = []
    try:
        for fd in (connection, said):  # not to be overwritten where the host has closed 0, 1 or 2
            high.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))
        streams = [(os.POSIX_SPAWN_DUP2, high[min(number, 1)], number) for number in range(3)]
        pid = os.posix_spawn(sys.executable, argv, environment, file_actions=streams, setsid=True, setsigmask=())
        return os.pidfd_open(pid)
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "execute", sys.executable) from e
    finally:
        for fd in high:
            os.close(fd)


def _homes() -> list[str]:
    """Say where pyrt is, and what its doors need besides the standard library."""
    origins = [os.path.dirname(errors.__file__)]
    if (backend := importlib.util.find_spec("_cffi_backend")) is not None and backend.origin is not None:
        origins.append(backend.origin)
    return list(dict.fromkeys(os.path.dirname(os.path.abspath(origin)) for origin in origins))
