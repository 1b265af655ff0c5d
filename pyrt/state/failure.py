"""SQLite's failures in the words of pyrt: what failed, on which file, and what mends it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pyrt.errors import IntegrityError, PyrtError, ResourceBusy, SyscallError

__all__ = ["damaged", "is_busy", "translated"]

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_AUTH: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_TOOBIG: errno.EFBIG,
}
_ERRNO_OF_INPUT = {sqlite3.SQLITE_IOERR_NOMEM: errno.ENOMEM}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection stands in the way now, and may not for long."""
    return _code(error) & 0xFF in _BUSY


def damaged(path: str, why: str) -> IntegrityError:
    """Give the error of a database whose content cannot be trusted."""
    return IntegrityError(
        f"{path} is damaged ({why}): move it away, with {os.path.basename(path)}-wal beside it, or restore it from a"
        " backup; without it this root starts empty, and images have to be pulled again"
    )


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise ResourceBusy, IntegrityError, SyscallError or PyrtError for what SQLite says of the file."""
    try:
        yield
    except sqlite3.Error as e:
        code = _code(e)
        if is_busy(e):
            raise ResourceBusy(f"{path} is in use by another process ({e})") from e
        if code & 0xFF in _DAMAGED:
            raise damaged(path, str(e)) from e
        number = _ERRNO_OF_INPUT.get(code) or _ERRNO.get(code & 0xFF)
        if number is not None:
            raise SyscallError(number, "sqlite", path, detail=str(e)) from e
        raise PyrtError(f"{path}: {e}") from e


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) or 0)
