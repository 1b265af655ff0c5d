"""The standard streams of a container: subprocess's words (PIPE, STDOUT, DEVNULL, a descriptor, a file) as descriptors.

Takes what the caller wants, gives the child's three descriptors and the caller's ends of the pipes.
"""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from pyrt.errors import InvalidOption

__all__ = ["Stdio", "Stream", "TextMode", "close_all"]

Stream = int | IO[Any] | None


@dataclass(frozen=True, slots=True)
class TextMode:
    """How a stream is read and written as text."""

    encoding: str | None = None
    errors: str | None = None


@dataclass(slots=True)
class Stdio:
    """Owns descriptors: the child's until they are handed over, the caller's until they are wrapped."""

    child: list[int] = field(default_factory=list)
    owned: list[int] = field(default_factory=list)  # the child's that are ours to close
    ends: list[int | None] = field(default_factory=list)  # the caller's, by stream

    @classmethod
    def open(cls, stdin: Stream, stdout: Stream, stderr: Stream) -> Stdio:
        """Open what is asked for. None is the null device for stdin, and the caller's own stream for the others.

        Raises InvalidOption for what is no stream.
        """
        self = cls()
        try:
            for number, (name, wanted) in enumerate((("stdin", stdin), ("stdout", stdout), ("stderr", stderr))):
                self._add(number, name, wanted)
        except BaseException:
            self.close()
            raise
        return self

    @classmethod
    def open_terminal(cls, stdin: Stream, stdout: Stream, stderr: Stream) -> Stdio:
        """Open what a program has until it gets its terminal. Raises InvalidOption for streams that go elsewhere."""
        for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            if wanted not in (None, subprocess.PIPE) and (name, wanted) != ("stderr", subprocess.STDOUT):
                raise InvalidOption("cannot be sent elsewhere: with tty=True it is the terminal", argument=name)
        return cls.open(subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL)

    def _add(self, number: int, name: str, wanted: Stream) -> None:
        end: int | None = None
        if wanted == subprocess.PIPE:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            child, end = (reading, writing) if number == 0 else (writing, reading)
            self.owned.append(child)
        elif wanted == subprocess.DEVNULL or (wanted is None and number == 0):
            child = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self.owned.append(child)
        elif wanted == subprocess.STDOUT and number == 2:
            child = self.child[1]
        elif wanted is None:
            child = number
        else:
            child = descriptor(name, wanted)
        self.child.append(child)
        self.ends.append(end)

    def close_child(self) -> None:
        """Close the child's descriptors, which it has copies of by now."""
        close_all(self.owned)

    def close(self) -> None:
        """Close everything."""
        self.close_child()
        close_all([end for end in self.ends if end is not None])
        self.ends.clear()

    def wrap(self, text: TextMode | None, bufsize: int) -> tuple[IO[Any] | None, IO[Any] | None, IO[Any] | None]:
        """Turn the caller's ends into streams, which own them from now on."""
        streams = [
            None if end is None else wrap(end, "wb" if number == 0 else "rb", text, bufsize)
            for number, end in enumerate(self.ends)
        ]
        self.ends.clear()
        return streams[0], streams[1], streams[2]


def wrap(fd: int, mode: str, text: TextMode | None, bufsize: int) -> IO[Any]:
    """Open a descriptor as subprocess does: binary and buffered, or text with universal newlines."""
    is_by_line = text is not None and bufsize == 1
    stream: IO[Any] = open(fd, mode, -1 if is_by_line else bufsize)  # noqa: SIM115 (the caller owns it)
    if text is None:
        return stream
    return io.TextIOWrapper(
        stream,
        encoding=text.encoding,
        errors=text.errors,
        line_buffering=mode == "wb" and is_by_line,
        write_through=mode == "wb",
    )


def descriptor(name: str, wanted: Any) -> int:
    """Give the descriptor of a file that the caller owns."""
    fd = wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else None
    if fd is None and hasattr(wanted, "fileno"):
        try:
            fd = wanted.fileno()
        except (OSError, ValueError) as error:
            raise InvalidOption(f"{wanted!r} has no descriptor: {error}", argument=name) from error
    if not isinstance(fd, int) or fd < 0:
        raise InvalidOption(f"{wanted!r} is neither PIPE, DEVNULL, a descriptor nor a file", argument=name)
    try:
        os.fstat(fd)
    except OSError as error:
        raise InvalidOption(f"descriptor {fd} is not open", argument=name) from error
    return fd


def close_all(fds: list[int] | Sequence[int]) -> None:
    """Close descriptors, and empty the list."""
    for fd in fds:
        os.close(fd)
    if isinstance(fds, list):
        fds.clear()
