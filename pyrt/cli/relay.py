"""Follows a container to its end: bytes between descriptors, signals, the timeout.

One loop on one poll(2), no threads. It reads no more than it can pass on, so that a slow reader slows the program down
as a pipe would; and it never waits in a write, so that signals and the timeout are served meanwhile.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Sequence

from pyrt.cli.signals import ENDING, Inbox
from pyrt.runtime.exit import TimedOut
from pyrt.runtime.process import Process

__all__ = ["Clip", "Copy", "follow"]

CHUNK = 1 << 16
PORTION = select.PIPE_BUF  # what a pipe that polls writable takes at once
GONE = frozenset({errno.EIO, errno.EPIPE, errno.ENXIO})  # what a terminal or pipe says whose other side is gone


class Clip:
    """Lets the head of a stream pass, keeps its tail, and says between them how much is left out."""

    def __init__(self, limit_bytes: int) -> None:
        self._room = (limit_bytes + 1) // 2
        self._tail_bytes = limit_bytes // 2
        self._tail = bytearray()
        self._omitted_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, give those that pass."""
        head, rest = chunk[: self._room], chunk[self._room :]
        self._room -= len(head)
        self._tail += rest
        if len(self._tail) > 2 * self._tail_bytes + CHUNK:
            self._trim()
        return head

    def finish(self) -> bytes:
        """Give what comes at the end."""
        self._trim()
        note = b"\n[... %d bytes left out ...]\n" % self._omitted_bytes if self._omitted_bytes else b""
        return note + self._tail

    def _trim(self) -> None:
        over = max(len(self._tail) - self._tail_bytes, 0)
        self._omitted_bytes += over
        del self._tail[:over]


class Copy:
    """Moves bytes from `source` to `target`, of which `own` is the container's side and never waits.

    `is_over` is true once all is moved; `is_broken` says that nobody takes it any more.
    """

    def __init__(self, source: int, target: int, own: int, clip: Clip | None = None) -> None:
        self.source, self.target, self._clip = source, target, clip
        self._pending = memoryview(b"")
        self._is_read = False
        self.is_broken = False
        os.set_blocking(own, False)

    @property
    def is_over(self) -> bool:
        return self.is_broken or (self._is_read and not self._pending)

    def interest(self) -> tuple[int, int] | None:
        """Give what to poll for."""
        if self.is_over:
            return None
        return (self.target, select.POLLOUT) if self._pending else (self.source, select.POLLIN)

    def step(self) -> None:
        """Read once or write once, as the interest was."""
        if self._pending:
            self._write()
        else:
            self._read()

    def drain(self) -> None:
        """Take what is there now as all there is, for whoever wrote it has ended."""
        while not self._pending and not self._is_read:
            if not self._read():
                self._finish()

    def _read(self) -> bool:
        """Say whether something could be read, be it the end."""
        try:
            chunk = os.read(self.source, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in GONE:
                raise
            chunk = b""
        if chunk:
            self._pending = memoryview(self._clip.feed(chunk) if self._clip else chunk)
        else:
            self._finish()
        return True

    def _finish(self) -> None:
        self._is_read = True
        if self._clip:
            self._pending = memoryview(self._clip.finish())

    def _write(self) -> None:
        try:
            written = os.write(self.target, self._pending[:PORTION])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in GONE:
                raise
            self.is_broken, self._pending = True, memoryview(b"")
            return
        self._pending = self._pending[written:]


def follow(
    process: Process,
    inbox: Inbox,
    on_signal: Callable[[int], None],
    *,
    inputs: Sequence[Copy] = (),
    outputs: Sequence[Copy] = (),
    timeout: float | None = None,
) -> None:
    """Return when the container has ended and all of `outputs` is written.

    `on_signal` is called with the number of each signal; one that asks for an end does not wait for output that nobody
    takes. Where the reader of the output is gone, or `timeout` seconds have passed, the container is killed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = False
    while not (ended and all(copy.is_over for copy in outputs)):
        copies = [*outputs] if ended else [*inputs, *outputs]
        ready = _poll(inbox.fileno(), -1 if ended else process.fileno(), copies, None if ended else deadline)
        if inbox.fileno() in ready:
            numbers = inbox.take()
            for number in numbers:
                on_signal(number)
            if ended and not ENDING.isdisjoint(numbers):
                return
        for copy in copies:
            if (interest := copy.interest()) is not None and interest[0] in ready:
                copy.step()
        if any(copy.is_broken for copy in outputs):
            process.kill()
        if deadline is not None and time.monotonic() >= deadline:
            process.end(TimedOut(timeout or 0))
            deadline = None
        ended = process.poll() is not None
        if ended:
            for copy in outputs:
                copy.drain()


def _poll(inbox: int, pidfd: int, copies: Sequence[Copy], deadline: float | None) -> frozenset[int]:
    """Wait for anything to happen, and give the descriptors at which it did."""
    poll = select.poll()
    for fd in (inbox, pidfd):
        if fd >= 0:
            poll.register(fd, select.POLLIN)
    for copy in copies:
        if (interest := copy.interest()) is not None:
            poll.register(*interest)
    left = None if deadline is None else max(0.0, (deadline - time.monotonic()) * 1000)
    return frozenset(fd for fd, _ in poll.poll(left))
