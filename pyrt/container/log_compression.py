"""Old files of a log, made small.

A file is compressed in its place: it keeps its name, so that the monitor, which knows nothing of this, renames and
removes it as before, and its content says what it is. There is no lock for the monitor to wait for. Two names are
exchanged at once, and what came out is looked at: if it is not the file that was compressed, then the monitor has
rotated in the microsecond before, and it is put where its placeholder has gone.
"""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from gzip import GzipFile

from pyrt._native.syscalls import exchange
from pyrt.container.logs import LOG
from pyrt.errors import SyscallError
from pyrt.state import FileLock, JournalFile

__all__ = ["compress_rotated"]

_FIRST = 2  # who follows the log may still read the one before
_NEW = "compressing"
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_BLOCK_BYTES = 1 << 20


def compress_rotated(directory: str | os.PathLike[str]) -> int:
    """Compress the rotated files of a container's log but the newest; give how many were.

    Readers that have them open, and the monitor, go on meanwhile. Where another process does it already, and on a file
    system that cannot exchange names, none are. Raises SyscallError, as for a full disk; then the files are as before.
    """
    path = os.path.join(directory, LOG)
    lock = FileLock.attempt(f"{path}.{_NEW}.lock")
    if lock is None:
        return 0
    with lock:
        try:
            return sum(_compress(path, file) for file in _plain(path))
        except OSError as e:
            if e.errno == errno.EINVAL:
                return 0
            raise e if isinstance(e, SyscallError) else SyscallError(e.errno or errno.EIO, "compress", path) from e
        finally:
            with suppress(FileNotFoundError):
                os.unlink(f"{path}.{_NEW}")
            lock.unlink()


def _plain(path: str) -> Iterator[JournalFile]:
    for name in _names(path)[_FIRST - 1 :]:
        file = JournalFile.open(name)
        if file is not None:
            with closing(file):
                if not file.compressed:
                    yield file


def _compress(path: str, file: JournalFile) -> bool:
    """Put a compressed file in the place of one, wherever that is now; say whether there was one."""
    new = f"{path}.{_NEW}"
    with suppress(FileNotFoundError):
        os.unlink(new)  # never written over: it may be what was compressed before, which readers have open
    with open(os.open(new, _FLAGS, 0o600), "wb") as target, open(file.fd, "rb", closefd=False) as source:
        name = file.mark().decode()
        with GzipFile(name, "wb", compresslevel=zlib.Z_BEST_SPEED, fileobj=target, mtime=0) as packed:
            shutil.copyfileobj(source, packed, _BLOCK_BYTES)
        placeholder = os.fstat(target.fileno())
    if not _exchange(path, new, os.fstat(file.fd)):
        return False  # it was removed meanwhile
    if file.is_at(new):
        return True
    while _exchange(path, new, placeholder):
        if os.path.samestat(os.stat(new), placeholder):
            break
    return False


def _exchange(path: str, new: str, wanted: os.stat_result) -> bool:
    """Exchange the new file with where a file is; False where that is nowhere."""
    while (place := _place(path, wanted)) is not None:
        try:
            exchange(new, place)
        except SyscallError as e:
            if e.errno != errno.ENOENT:
                raise
        else:
            return True
    return False


def _names(path: str) -> list[str]:
    """Give the rotated files, the newest first."""
    directory, name = os.path.split(path)
    numbers = [each.removeprefix(f"{name}.") for each in os.listdir(directory) if each.startswith(f"{name}.")]
    return [f"{path}.{number}" for number in sorted(int(number) for number in numbers if number.isdecimal())]


def _place(path: str, wanted: os.stat_result) -> str | None:
    for name in _names(path):
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(name, follow_symlinks=False), wanted):
                return name
    return None
