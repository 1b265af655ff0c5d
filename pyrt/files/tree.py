"""What a directory holds, read while others may change it: the entries of a tree, and the bytes of a file.

No symbolic link is followed on the way to an entry, so that no loop comes to be; what goes meanwhile is left out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyrt.errors import SyscallError
from pyrt.layer import Root

__all__ = ["VANISHED", "Entry", "entries", "pieces", "sized"]

PIECE_BYTES = 1 << 20
LYING_BYTES = 64 << 20  # of a file that says it is empty, as those of proc do
VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL})
"""How what was listed cannot be opened when it has gone, or something else has its name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its path below the top ("" is the top itself), that from the root, and what it is."""

    name: str
    path: str
    status: os.stat_result


def entries(root: Root, top: str, *, skip: Callable[[Entry], bool] = lambda entry: False) -> Iterator[Entry]:
    """Give what is at `top`, a canonical path, and all below it, directories before what they hold, sorted.

    Of a directory that `skip` says yes to nothing is given, neither itself nor what it holds.
    Of proc, sysfs and the like only the directories are given that they are mounted on, unless `top` is in one.
    """
    waiting = [Entry("", top, root.stat(top, follow=False, links=False))]
    goes_everywhere = None
    while waiting:
        entry = waiting.pop()
        if skip(entry):
            continue
        yield entry
        if not stat.S_ISDIR(entry.status.st_mode):
            continue
        try:
            fd = root.open(entry.path, os.O_RDONLY | os.O_DIRECTORY, links=False)
        except SyscallError as e:
            if e.errno not in VANISHED:
                raise
            continue
        try:
            is_kernels = _is_kernels(fd)
            if goes_everywhere is None:
                goes_everywhere = is_kernels
            names = os.listdir(fd) if goes_everywhere or not is_kernels else []
        finally:
            os.close(fd)
        waiting += _children(root, entry, sorted(names, reverse=True))


def sized(fd: int) -> tuple[int, bytes | None]:
    """Give how many bytes a file has; of one that says it has none, those that it has all the same.

    Raises SyscallError (EFBIG) for one that has no end.
    """
    size = os.fstat(fd).st_size
    if size:
        return size, None
    found = bytearray()
    while piece := os.read(fd, PIECE_BYTES):
        found += piece
        if len(found) > LYING_BYTES:
            raise SyscallError(errno.EFBIG, "read", detail=f"it says it is empty, and gives over {LYING_BYTES} bytes")
    return len(found), bytes(found)


def pieces(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Give (offset, bytes) of the first `size` bytes of a file without its holes, and nothing behind its end."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
            end = min(os.lseek(fd, at, os.SEEK_HOLE), size)
        except OSError as e:
            if e.errno == errno.ENXIO:
                return
            end = size
        while at < end:
            piece = os.pread(fd, min(PIECE_BYTES, end - at), at)
            if not piece:
                return
            yield at, piece
            at += len(piece)


def _children(root: Root, above: Entry, names: list[str]) -> Iterator[Entry]:
    for name in names:
        path = f"{above.path.rstrip('/')}/{name}"
        try:
            status = root.stat(path, follow=False, links=False)
        except SyscallError as e:
            if e.errno not in VANISHED:
                raise
            continue
        yield Entry(f"{above.name}/{name}".lstrip("/"), path, status)


def _is_kernels(fd: int) -> bool:
    """Say whether a directory is of a file system that the kernel makes up: it has neither blocks nor files."""
    found = os.fstatvfs(fd)
    return found.f_blocks == 0 and found.f_files == 0
