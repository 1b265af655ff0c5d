"""Read or write one file of a cgroup."""

from __future__ import annotations

import os

__all__ = ["read", "read_open", "write"]

_SIZE = 65536
_FULL = 4096 - 256  # the kernel hands out a list by the page: less than this, a line or two short of it, is the end


def read(path: str) -> str:
    """Give the text of a file, or "" where there is none that this process may read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return read_open(fd)
    except OSError:
        return ""
    finally:
        os.close(fd)


def read_open(fd: int) -> str:
    """Give the text of an open file, from its start. Raises OSError."""
    text = part = os.pread(fd, _SIZE, 0)
    while len(part) > _FULL:
        part = os.pread(fd, _SIZE, len(text))
        text += part
    return text.decode(errors="surrogateescape")


def write(path: str, text: str, *, dir_fd: int | None = None) -> None:
    """Write a text to a file that is there, below `dir_fd` where that is given. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
