"""One read or write of a cgroup file: each is one system call, which the kernel answers as a whole."""

from __future__ import annotations

import os

__all__ = ["read", "write"]

_SIZE = 65536


def read(path: str) -> str:
    """Give the text of a file, or "" where there is none that this process may read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _SIZE).decode(errors="surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(fd)


def write(path: str, text: str) -> None:
    """Write a text to a file that is there. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
