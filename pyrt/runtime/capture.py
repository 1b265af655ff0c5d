"""What becomes of a stream that a container writes: kept, kept in part, or handed on line by line.

A sink takes chunks of bytes as they come, in constant memory where it has a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Capture", "Lines", "Sink"]


class Sink(Protocol):
    """Takes what is read from one stream."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Learn that no more will come."""

    @property
    def is_over(self) -> bool:
        """Whether more was fed than the limit allows."""


class Capture:
    """Keeps a stream; with a limit, its head and its tail, in equal parts, and the number of bytes between.

    `limit_bytes` None keeps all.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._head_bytes = None if limit_bytes is None else (limit_bytes + 1) // 2
        self._tail_bytes = 0 if limit_bytes is None else limit_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.total_bytes += len(chunk)
        if self._head_bytes is None:
            self._head += chunk
            return
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail += chunk
            if len(self._tail) > 2 * self._tail_bytes + 65536:
                self._trim()

    def finish(self) -> None:
        """Learn that no more will come."""
        self._trim()

    def _trim(self) -> None:
        del self._tail[: max(len(self._tail) - self._tail_bytes, 0)]

    @property
    def omitted_bytes(self) -> int:
        """How many bytes between head and tail are not kept."""
        if self._head_bytes is None:
            return 0
        return max(self.total_bytes - len(self._head) - self._tail_bytes, 0)

    @property
    def is_over(self) -> bool:
        """Whether anything had to be left out."""
        return self.omitted_bytes > 0

    def bytes(self) -> bytes:
        """Give what was kept, with a line that says how much is missing where something is."""
        if not self.omitted_bytes:
            return bytes(self._head + self._tail)
        note = b"\n[... %d bytes left out ...]\n" % self.omitted_bytes
        return bytes(self._head) + note + bytes(self._tail[len(self._tail) - self._tail_bytes :])


class Lines:
    """Calls back for every line as it is complete, with its line end taken off.

    A line longer than `limit_bytes` comes in pieces, so that memory stays bounded.
    """

    def __init__(self, callback: Callable[[bytes], object], limit_bytes: int = 1 << 20) -> None:
        self._callback = callback
        self._limit_bytes = limit_bytes
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._callback(self._cut(line))
        self._rest = self._cut(self._rest)

    def _cut(self, line: bytes) -> bytes:
        """Hand on pieces of a line that is too long; give its last piece."""
        while len(line) > self._limit_bytes:
            self._callback(line[: self._limit_bytes])
            line = line[self._limit_bytes :]
        return line

    def finish(self) -> None:
        """Hand on a last line without an end."""
        if self._rest:
            self._callback(self._rest)
            self._rest = b""

    @property
    def is_over(self) -> bool:
        """Never: nothing is kept."""
        return False
