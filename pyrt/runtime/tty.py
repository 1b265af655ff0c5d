"""Terminals: their size (ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

__all__ = ["resize", "size"]


def resize(fd: int, rows: int, columns: int) -> None:
    """Set the size of a terminal; what runs on it gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def size(fd: int) -> tuple[int, int] | None:
    """Give rows and columns of a terminal, or None where `fd` is none."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return rows, columns
