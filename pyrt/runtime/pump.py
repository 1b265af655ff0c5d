"""Moves bytes between a container's streams and the host program, until the container has ended.

Takes sinks by descriptor, feeds them in bounded memory. The end is the container's, not that of the pipes: whatever
could write to them has died with it, so that what is in them then is all there is.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from pyrt.runtime.capture import Sink

__all__ = ["Pump"]

CHUNK = 1 << 16
READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


class Pump:
    """Reads what `sinks` are for, until `pidfd` says that the container has ended; -1 there: it has ended before.

    `on_chunk` is called after each chunk with its descriptor. `unsent` is what remains of the input after a deadline.
    """

    def __init__(
        self, pidfd: int, sinks: Mapping[int, Sink], on_chunk: Callable[[int], None] = lambda fd: None
    ) -> None:
        self._pidfd = pidfd
        self._sinks = dict(sinks)
        self._on_chunk = on_chunk
        self.unsent = memoryview(b"")
        self._poll = select.poll()
        for fd in (pidfd, *sinks):
            if fd >= 0:
                self._poll.register(fd, select.POLLIN)

    def run(self, stdin: IO[Any] | None, input: bytes | None, deadline: float | None) -> bool:
        """Write `input` to `stdin` and close it, read all sinks; answer False when `deadline` (monotonic) passed."""
        if self._pidfd < 0:
            self._drain()
            return True
        self.unsent = memoryview(input or b"")
        stdin_fd = -1 if stdin is None or stdin.closed else self._open_input(stdin)
        while True:
            for fd, events in self._wait(deadline):
                if fd == self._pidfd:
                    self._drain()
                    return True
                if fd == stdin_fd:
                    self.unsent = self.unsent[write_some(fd, self.unsent, events) :]
                    if not self.unsent:
                        self._poll.unregister(fd)
                        stdin_fd = -1
                        close(stdin)
                elif events & READABLE:
                    self._read(fd)
            if deadline is not None and time.monotonic() >= deadline:
                if stdin_fd >= 0:
                    os.set_blocking(stdin_fd, True)
                return False

    def _open_input(self, stdin: IO[Any]) -> int:
        """Send what the caller has written before, and be told when there is room for more."""
        with suppress(BrokenPipeError):
            stdin.flush()
        os.set_blocking(stdin.fileno(), False)
        self._poll.register(stdin.fileno(), select.POLLOUT)
        return stdin.fileno()

    def _wait(self, deadline: float | None) -> list[tuple[int, int]]:
        if deadline is None:
            return self._poll.poll()
        return self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)

    def _read(self, fd: int) -> None:
        try:
            chunk = os.read(fd, CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:  # what a terminal says when its other side is gone
                raise
            chunk = b""
        if chunk:
            self._sinks[fd].feed(chunk)
            self._on_chunk(fd)
        else:
            self._finish(fd)

    def _finish(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._sinks.pop(fd).finish()

    def _drain(self) -> None:
        """Read what is left. A forked child of the host program may hold a pipe open, so not to its end."""
        poll = select.poll()
        for fd in tuple(self._sinks):
            poll.register(fd, select.POLLIN)
            while fd in self._sinks and any(events & select.POLLIN for at, events in poll.poll(0) if at == fd):
                self._read(fd)
            poll.unregister(fd)
            if fd in self._sinks:
                self._finish(fd)


def write_some(fd: int, pending: memoryview, events: int) -> int:
    """Write what the pipe takes; a program that reads no further has all that it wants."""
    if events & (select.POLLERR | select.POLLHUP):
        return len(pending)
    try:
        return os.write(fd, pending[:CHUNK]) if pending else 0
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(pending)


def close(stream: IO[Any] | None) -> None:
    """Close the pipe to a program that may have gone."""
    if stream is not None:
        with suppress(BrokenPipeError):
            stream.close()
